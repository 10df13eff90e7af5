"""Energy of our own RTL as it is mapped: prices between two libraries, clock pins that gating takes away."""

from dataclasses import replace

import pytest

from chanzi.chip import load_chip
from chanzi.cost.energy import event_costs
from chanzi.cost.mapped import flops_of, mapped_costs, prices
from chanzi.errors import CostError


def test_prices_lie_between_the_two_libraries():
    old, middle, new = (prices(nm) for nm in (130, 14, 7))
    for name in ("flop_clock", "flop_data", "gate"):
        assert getattr(old, name) > getattr(middle, name) > getattr(new, name)
    assert new.of(0, 100) == pytest.approx(100 * (new.flop_clock + new.flop_data))
    assert new.of(0, 100, activity=0) == pytest.approx(100 * new.flop_clock)


def test_the_flip_flops_of_a_synthesized_core_are_counted_as_synthesis_does():
    core = replace(load_chip("chanzi-8").core, lanes=8, epilogue_lanes=8, taps_per_lane=3)
    assert core.dim == core.port_bytes == 8
    counted = flops_of(core)
    assert counted["MACs"] + counted["shadow registers"] == pytest.approx(6520, rel=0.01)
    assert counted["feeders"] == pytest.approx(2500, rel=0.01)
    assert counted["epilogue lanes"] == pytest.approx(11361, rel=0.01)
    assert counted["vector lanes"] == pytest.approx(16585 + 3238, rel=0.01)


def test_gating_takes_clock_away_and_nothing_else():
    chip = load_chip("tesla-fsd-hw3")
    base, plain, gated = event_costs(chip), mapped_costs(chip), mapped_costs(chip, gated=0.75)
    assert gated.clock_pj == pytest.approx(plain.clock_pj / 4)
    assert gated.pj == plain.pj
    assert plain.clock_pj > base.clock_pj
    assert plain.pj["macs"] > base.pj["macs"]
    assert plain.pj["reads"] == base.pj["reads"]
    assert plain.leakage_w == base.leakage_w
    low = mapped_costs(chip, volt=0.65)
    assert low.clock_pj == pytest.approx(plain.clock_pj * (0.65 / base.volt) ** 2)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_is_a_share(share):
    with pytest.raises(CostError, match="clock gating"):
        mapped_costs(load_chip("chanzi-8"), gated=share)
