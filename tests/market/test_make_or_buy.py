"""Make or buy: money adds up, moves the way it must, and nonsense is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.chip import load_chip
from chanzi.cli.app import make_app
from chanzi.cli.guard import USER_ERROR, guarded
from chanzi.cost.dollars import Terms, cost_of
from chanzi.errors import CostError
from chanzi.market import assumptions, business, supply
from chanzi.market.make_or_buy import VOLUMES, break_even, decide, guess, plan_of, rival_of
from chanzi.market.network import Delivery, Work
from chanzi.market.worlds import Bought, Plan, best_guess, random_worlds

RESNET = Work(name="resnet50", macs=4.09e9, weight_bytes=25.6e6, frame_bytes=151_528)
CHIP = load_chip("tesla-fsd-hw3")
DELIVERY = Delivery(work=RESNET, frames_per_s=5000.0, latency_s=1e-3, watts=8.0, on_chip=1.0)
SURE = {"respin_probability": 0.0, "failure_probability": 0.0}


def plan(given: dict | None = None, **more: float) -> Plan:
    asked = {"fps": 36, "cameras": 8, "units": 5e5, "years": 7} | more
    _, silicon, _ = assumptions.split(given or {})
    return plan_of(CHIP, DELIVERY, terms=Terms(volume=1, overrides=silicon), given=given or {}, **asked)  # type: ignore[arg-type]


def orin(**given: object) -> Bought:
    return rival_of("orin", RESNET, given, 288)  # type: ignore[arg-type]


# ---------------------------------------------------------------- present values


@given(st.floats(0, 10), st.floats(0, 10), st.floats(-0.2, 0.2), st.floats(0, 0.3))
def test_an_annuity_is_its_integral(begin: float, length: float, growth: float, discount: float) -> None:
    t = np.linspace(begin, begin + length, 20_001)
    flow = ((1 + growth) / (1 + discount)) ** t
    wanted = float(np.sum((flow[1:] + flow[:-1]) / 2 * np.diff(t)))
    got = business.annuity(np.array([begin]), np.array([begin + length]), growth, np.array([discount]))[0]
    assert got == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@given(st.floats(1e3, 1e7), st.floats(1, 15), st.floats(10, 5000))
def test_buying_without_interest_is_arithmetic(units: float, years: float, price: float) -> None:
    given_ = {"discount_rate": 0.0, "buy_price_change": 0.0, "volume_discount": 0.0, "demand": 1.0}
    ours, rival = plan(given_, units=units, years=years), orin(price_usd=price, watts=10.0, brings_dram=1.0)
    f = {name: figure.value for name, figure in ours.figures.items()}
    car = price + 10 * f["watt_usd"] + f["buy_return_share"] * f["return_usd"]
    wanted = units * years * car + f["integration_usd"] + (years + 1.5) * f["support_usd_per_year"]
    world = best_guess(ours, rival)
    assert business.total(business.buying(ours, world), world)[0] == pytest.approx(wanted)


def test_items_sum_to_the_total_and_money_is_only_ever_spent() -> None:
    answer = decide(plan(), orin(), draws=200)
    assert sum(b.value for b in answer.make_items.values()) == pytest.approx(answer.make.value)
    assert sum(b.value for b in answer.buy_items.values()) == pytest.approx(answer.buy.value)
    assert answer.saving.value == pytest.approx(answer.buy.value - answer.make.value)
    for over_time, total in ((answer.make_over_time, answer.make), (answer.buy_over_time, answer.buy)):
        values = [b.value for b in over_time]
        assert values == sorted(values)
        assert values[0] == 0
        assert values[-1] == pytest.approx(total.value)


def test_a_project_that_fails_costs_its_design_and_nothing_else() -> None:
    ours = plan({"failure_probability": 1.0, "development_years": 4.0, "respin_probability": 0.0})
    world = best_guess(ours, orin())
    made, bought = business.making(ours, world), business.buying(ours, world)
    items, other = business.by_name(made, world), business.by_name(bought, world)
    assert business.total(made, world)[0] - business.total(bought, world)[0] == pytest.approx(
        items["design"][0] + items["software"][0]
    )
    for name in ("bought chips", "support", "integration"):
        assert items[name][0] == pytest.approx(other[name][0])
    assert items["our chips"][0] == 0


def test_the_chip_costs_what_chanzi_cost_says() -> None:
    ours = plan({"make_price_change": 0.0, "demand": 1.0}, units=1e6)
    bill = cost_of(CHIP, Terms(volume=1e6))
    wanted = sum(band.value for name, band in bill.unit_items.items() if name != "design (NRE)")
    assert business.made_usd(ours, best_guess(ours, orin()), 1e6)[0] == pytest.approx(wanted)


# ---------------------------------------------------------------- which way it moves


@settings(max_examples=25, deadline=None)
@given(st.floats(100, 2000), st.floats(1.01, 4))
def test_a_dearer_chip_to_buy_lowers_the_break_even(price: float, factor: float) -> None:
    def at(usd: float) -> float:
        found = decide(plan(), orin(price_usd=usd), draws=10).break_even.value
        return np.inf if found is None else found

    assert at(price * factor) <= at(price)


@given(st.floats(2e5, 2e6), st.floats(1.5, 5))
def test_costs_are_linear_in_cars(units: float, factor: float) -> None:
    rival = orin()
    ours = plan({"volume_discount": 0.0})
    world = best_guess(ours, rival)

    def both(u: float) -> tuple[float, float]:
        streams = business.making(ours, world, u), business.buying(ours, world, u)
        return business.total(streams[0], world)[0], business.total(streams[1], world)[0]

    points = [both(u) for u in (units, units * factor, units * (2 * factor - 1))]
    for i, close in ((0, 1e-3), (1, 1e-9)):  # whole wafers make the first a little uneven
        low, middle, high = (p[i] for p in points)
        assert high - middle == pytest.approx(middle - low, rel=close)


@given(st.sampled_from(["software_usd_per_year", "host_usd", "wafer_usd", "failure_probability", "development_years"]))
def test_what_burdens_the_maker_lowers_the_saving(name: str) -> None:
    low, value, high = (3.5, 4.5, 6.0) if name == "development_years" else (0.1, 0.2, 0.4)
    scale = 1.0 if name in ("failure_probability", "development_years") else 1e4 if name == "wafer_usd" else 100.0
    found = [guess(plan({name: v * scale, "start_years": 3.5}), orin()) for v in (low, value, high)]
    assert found[0] >= found[1] >= found[2]


@given(st.floats(1, 1e5), st.floats(1, 1e5), st.integers(1, 4))
def test_chips_of_a_car_are_enough_and_none_too_many(rate: float, needed: float, sets: int) -> None:
    ours = replace(plan({"redundancy": float(sets)}), frames_needed=needed)
    count = business.chips_needed(ours, rate, best_guess(ours, orin()))[0]
    assert count % sets == 0
    each = count / sets
    assert each * rate >= needed * (1 - 1e-6)
    assert each == 1 or (each - 1) * rate < needed


def test_without_ranges_there_is_no_band() -> None:
    answer = decide(plan(SURE), orin(), draws=50, width=0.0)
    for b in (answer.make, answer.buy, answer.saving, *answer.owning.values(), *answer.make_over_time):
        assert b.p10 == pytest.approx(b.value, rel=1e-9)
        assert b.p90 == pytest.approx(b.value, rel=1e-9)
    assert answer.wins in (0.0, 1.0)
    assert answer.break_even.p10 == pytest.approx(answer.break_even.value)


def test_the_same_question_has_the_same_answer() -> None:
    assert decide(plan(), orin(), draws=100).saving == decide(plan(), orin(), draws=100).saving


def test_bands_hold_most_of_the_worlds_and_the_best_guess() -> None:
    answer = decide(plan(), orin())
    assert answer.saving.p10 < answer.saving.p50 < answer.saving.p90
    assert answer.break_even.p10 < answer.break_even.value < answer.break_even.p90
    world = random_worlds(plan(), orin())
    for name in ("host_usd", "discount_rate", "buy_price_change"):
        low, high = plan().figures[name].bounds
        drawn = world[name][1:]
        assert np.mean(drawn < low) == pytest.approx(0.1, abs=0.02)
        assert np.mean(drawn > high) == pytest.approx(0.1, abs=0.02)
    assert np.mean(world.failed[1:]) == pytest.approx(np.mean(world["failure_probability"][1:]), abs=0.02)


def test_the_tornado_is_the_model_asked_again() -> None:
    ours, rival = plan(), orin()
    answer = decide(ours, rival, draws=20)
    swings = [s.swing for s in answer.tornado]
    assert swings == sorted(swings, reverse=True)
    by_name = {s.name: s for s in answer.tornado}
    price = by_name["nvidia_orin.price_usd"]
    assert price.low_usd == pytest.approx(guess(ours, orin(price_usd=price.low)))
    assert price.high_usd == pytest.approx(guess(ours, orin(price_usd=price.high)))
    host = by_name["host_usd"]
    assert host.high_usd == pytest.approx(guess(plan({"host_usd": host.high}), rival))
    assert host.high_usd < host.low_usd


@given(st.lists(st.integers(-1000, 1000).map(float), min_size=3, max_size=12))
def test_a_break_even_is_where_saving_starts_for_good(savings: list[float]) -> None:
    xs = [float(i) for i in range(len(savings))]
    found = break_even(xs, np.array(savings)[:, None])[0]
    if savings[-1] <= 0:
        assert np.isnan(found)
        return
    after = [s for x, s in zip(xs, savings, strict=True) if x > found]
    assert all(s > 0 for s in after)
    if found > 0:
        assert [s for x, s in zip(xs, savings, strict=True) if x <= found][-1] <= 0


# ---------------------------------------------------------------- supply


def test_events_that_change_nothing_cost_nothing() -> None:
    ours = plan({"price_times": 1.0, "allocation": 1.0})
    price, cut, stop = supply.events(ours, best_guess(ours, orin()))
    assert price.buyer[0] == price.foundry[0] == cut.buyer[0] == cut.foundry[0] == 0
    assert stop.buyer[0] > 0


def test_who_makes_in_time_is_not_hit_by_a_supplier() -> None:
    ours = plan(SURE | {"development_years": 2.0, "start_years": 3.0})
    for event in supply.events(ours, best_guess(ours, orin())):
        assert event.maker[0] == 0
        assert event.buyer[0] > 0
        assert event.foundry[0] > 0
    second = plan(SURE | {"development_years": 2.0, "second_source_share": 1.0})
    assert all(e.foundry[0] == 0 for e in supply.events(second, best_guess(second, orin())))
    assert guess(second, orin()) < guess(ours, orin())


def test_who_failed_is_hit_as_the_buyer() -> None:
    ours = plan({"failure_probability": 1.0})
    for event in supply.events(ours, best_guess(ours, orin())):
        assert event.maker[0] == pytest.approx(event.buyer[0])
        assert event.foundry[0] == 0


@given(st.floats(1e3, 2e6), st.floats(50, 2000))
def test_owning_adds_up(units: float, price: float) -> None:
    ours, rival = plan(units=units), orin(price_usd=price)
    world = best_guess(ours, rival)
    saved = business.saving(ours, world)
    own = supply.owning(ours, world, saved)
    assert own.net[0] == pytest.approx(saved[0] + own.insurance[0] + own.right_to_buy[0])
    assert own.right_to_buy[0] >= 0
    assert own.sunk[0] > 0


def test_the_right_to_buy_is_worth_something_where_buying_is_cheaper() -> None:
    ours, rival = plan(SURE | {"development_years": 2.0}, units=2000), orin(price_usd=20.0)
    world = best_guess(ours, rival)
    own = supply.owning(ours, world, business.saving(ours, world))
    assert own.right_to_buy[0] > 0
    # with it, the owner is never worse off after the design is paid than who never designed
    assert own.saves[0] + own.right_to_buy[0] == pytest.approx(0, abs=1e-6 * own.right_to_buy[0])


# ---------------------------------------------------------------- assumptions and nonsense


@pytest.mark.parametrize(
    "bad",
    [
        {"wafer_usd": -1.0},
        {"host_usd": -1.0},
        {"failure_probability": 1.2},
        {"discount_rate": (0.2, 0.1, 0.3)},
        {"discount_rate": 1.0},
        {"demand": float("nan")},
        {"no_such_thing": 1.0},
        {"nvidia_orin.colour": 1.0},
        {"nvidia_orin.price_usd": -5.0},
        {"redundancy": 1.5},
        {"buy_price_change": -1.0},
    ],
)
def test_nonsense_figures_are_refused(bad: dict) -> None:
    with pytest.raises(CostError):
        decide(plan(bad), orin(), draws=10)


@pytest.mark.parametrize(
    ("what", "value"),
    [("fps", 0.0), ("fps", float("nan")), ("cameras", -1), ("units", 0.0), ("units", float("inf")), ("years", 0.0)],
)
def test_nonsense_questions_are_refused(what: str, value: float) -> None:
    with pytest.raises(CostError):
        plan(**{what: value})


def test_a_chip_nobody_sells_needs_a_price() -> None:
    with pytest.raises(CostError, match="is not sold"):
        rival_of("tesla_hw4", RESNET, {}, 288)
    assert rival_of("tesla_hw4", RESNET, {"price_usd": 300.0}, 288).known == "estimated"
    with pytest.raises(CostError, match="no record"):
        rival_of("cray", RESNET, {"price_usd": 300.0}, 288)
    mine = {"price_usd": 300.0, "frames_per_s": 1000.0, "watts": 20.0}
    assert rival_of("cray", RESNET, mine, 288).key == "cray"


def call(*words: str) -> int:
    return guarded(make_app(), ["make-or-buy", *words])


@pytest.mark.parametrize(
    "words",
    [
        ["--units", "0"],
        ["--units=-1"],
        ["--units", "many"],
        ["--node", "13nm"],
        ["--block", "cpu=900"],
        ["--versus", ""],
        ["--versus", "orin,orin"],
        ["--set", "nvidia_a100_sxm.price_usd=3"],
        ["--set", "wafer_usd=-3"],
        ["--assumptions", "none.toml"],
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == USER_ERROR
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1


def test_what_is_written_can_be_read_and_edited(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.toml"
    assert call("--write", str(path)) == 0
    capsys.readouterr()

    def ask(*words: str) -> dict:
        assert call("--json", "--draws", "50", *words) == 0
        return json.loads(capsys.readouterr().out)[0]

    plain, read = ask(), ask("--assumptions", str(path))
    assert read["make_usd"]["value"] == pytest.approx(plain["make_usd"]["value"], rel=1e-6)
    assert read["buy_usd"]["p90"] == pytest.approx(plain["buy_usd"]["p90"], rel=1e-6)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("price_usd = [300, 400, 500]", "price_usd = 800"), encoding="utf-8")
    edited = ask("--assumptions", str(path))
    assert edited["buy_usd"]["value"] > plain["buy_usd"]["value"]
    assert edited["break_even_cars_per_year"]["value"] < plain["break_even_cars_per_year"]["value"]


def test_the_page_has_every_plot(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert call("--page", str(page), "--versus", "orin,a100", "--draws", "50") == 0
    out = capsys.readouterr().out
    for words in ("Break-even", "what owning is worth".capitalize(), "In: design", "nvidia_a100_sxm"):
        assert words in out
    text = page.read_text(encoding="utf-8")
    for name in ("time", "volume", "tornado", "events"):
        assert f'id="{name}0"' in text
        assert f'"{name}1"' in text
    assert VOLUMES[0] == 1e3
