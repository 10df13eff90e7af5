"""The ranking: what is known of each chip, what bounds it, who is said to be faster."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi import zoo
from chanzi.chip import load_chip
from chanzi.cli.app import make_app
from chanzi.cli.guard import USER_ERROR, guarded
from chanzi.cost.foreign import foreign_chip, foreign_chips, roofline
from chanzi.errors import CostError
from chanzi.market import rank, verdict
from chanzi.market.network import Network, Work, deliver
from chanzi.zoo import digits

RESNET = Work(name="resnet50", macs=4.09e9, weight_bytes=25.6e6, frame_bytes=151_528)
OTHER = replace(RESNET, name="mine")

works = st.builds(
    Work,
    name=st.just("net"),
    macs=st.floats(1e5, 1e13),
    weight_bytes=st.floats(0, 1e11),
    frame_bytes=st.floats(1, 1e9),
)
modes = st.sampled_from(["throughput", "latency"])


@given(works, modes)
def test_every_chip_is_there_and_no_bound_passes_its_roofline(work: Work, mode: rank.Mode) -> None:
    entries = rank.foreign_entries(work, mode)
    assert {e.key for e in entries} == set(foreign_chips())
    for e in entries:
        chip = foreign_chip(e.key)
        assert e.known == "upper bound"
        assert 0 < e.fps <= roofline(chip, macs=work.macs, bytes_moved=work.frame_bytes).frames_per_s * (1 + 1e-9)
        assert e.share <= 1 + 1e-9
        assert e.likely is not None
        assert 0 < e.likely[0] < e.likely[1]


@given(works, modes, st.floats(1, 100))
def test_more_work_is_never_faster(work: Work, mode: rank.Mode, factor: float) -> None:
    more = replace(work, macs=work.macs * factor, weight_bytes=work.weight_bytes * factor)
    for chip in foreign_chips().values():
        assert rank.bound_fps(chip, more, mode)[1] <= rank.bound_fps(chip, work, mode)[1] * (1 + 1e-9)


@given(works)
def test_waiting_for_one_frame_is_never_faster_than_a_batch(work: Work) -> None:
    for chip in foreign_chips().values():
        assert rank.bound_fps(chip, work, "latency")[1] <= rank.bound_fps(chip, work, "throughput")[1]


def test_mlperf_is_used_for_its_own_network_alone() -> None:
    def known(work: Work, mode: rank.Mode) -> dict[str, rank.Entry]:
        return {e.label: e for e in rank.foreign_entries(work, mode) if e.known == "measured"}

    offline = known(RESNET, "throughput")
    assert set(offline) == {"nvidia_orin", "nvidia_orin (MaxQ)", "nvidia_a100_sxm", "nvidia_h100_sxm"}
    assert offline["nvidia_orin"].fps == 6423.63  # the newer of two rounds
    assert offline["nvidia_orin (MaxQ)"].watts == 22.66
    assert known(RESNET, "latency")["nvidia_orin"].fps == pytest.approx(1e3 / 0.640259)
    assert not known(OTHER, "throughput")
    assert not known(replace(RESNET, macs=2 * RESNET.macs), "throughput")  # the name alone does not do


@given(works, st.sampled_from(rank.KEYS))
def test_order_falls_and_the_unknown_comes_last(work: Work, key: rank.Key) -> None:
    entries = rank.ordered(rank.foreign_entries(work, "throughput"), key)
    if key == "name":
        assert [e.chip.lower() for e in entries] == sorted(e.chip.lower() for e in entries)
        return
    values = [rank.value_of(e, key) for e in entries]
    known = [v for v in values if v is not None]
    assert known == sorted(known, reverse=True)
    assert values[: len(known)] == known


def entry(**more: object) -> rank.Entry:
    base = rank.Entry(
        chip="A", key="a", known="measured", paper_tops=10, peak_tops=10, fps=100, work=OTHER, watts=10, mm2=10, usd=10
    )
    return replace(base, **more)  # type: ignore[arg-type]


def test_a_bound_wins_nothing() -> None:
    bound = entry(chip="B", key="b", known="upper bound", fps=500, likely=(50, 400))
    assert "open: at most 500" in verdict.compare(entry(), bound)
    assert "a is 2 times as fast" in verdict.compare(entry(fps=1000), bound)
    assert "b is likely faster" in verdict.compare(entry(), replace(bound, likely=(150, 400)))
    assert "nobody can say (a price of b is not published)" in verdict.compare(entry(), replace(bound, usd=None))


@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_the_order_of_asking_does_not_matter(x: float, y: float) -> None:
    a, b = entry(fps=x), entry(chip="B", key="b", fps=y, watts=3)
    one, other = verdict.compare(a, b), verdict.compare(b, a)
    if x != y and x / 10 != y / 3:
        assert one.partition(": ")[2] == other.partition(": ")[2]


def test_paper_and_delivery_disagree() -> None:
    entries = (entry(), entry(chip="B", key="b", paper_tops=20, fps=50), entry(chip="C", key="c", paper_tops=5, fps=10))
    found = verdict.paper_wrong(rank.Ranking(work=OTHER, mode="throughput", entries=entries))
    assert found.startswith("In 1 of 3 pairs")
    alone = verdict.paper_wrong(rank.Ranking(work=OTHER, mode="throughput", entries=entries[:1]))
    assert alone.startswith("Of its TOPS on paper a delivers")


def test_names() -> None:
    entries = rank.foreign_entries(OTHER, "throughput")
    assert verdict.find(entries, "orin").key == "nvidia_orin"
    with pytest.raises(CostError, match="several"):
        verdict.find(entries, "tesla")
    with pytest.raises(CostError, match="no chip"):
        verdict.find(entries, "cray")


def test_delivery_is_the_simulators() -> None:
    from chanzi.runtime.build import compile as compiled
    from chanzi.runtime.timing import time_model

    feeds = tuple(zoo.calibration("digits", 4))
    network = Network(name="digits", path=digits.model_path(), calibration=feeds)
    chip = load_chip("chanzi-8")
    at = deliver(network, chip)
    timing = time_model(compiled(digits.model_path(), chip, calibration=feeds, mode="throughput"))
    assert at.frames_per_s == timing.frames_per_s
    assert at.work.macs == 2_387_968  # the zoo's count
    assert at.on_chip == 1
    assert at.watts is not None
    assert 0.01 < at.watts < 5


@pytest.mark.parametrize(
    "words",
    [["--chip", "chanzi-9"], ["--between", "hw4"], ["--between", "hw4,cray"], ["--csv", "--json"], ["-m", "nothing"]],
)
def test_mistakes_are_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(make_app(), ["rank", *(() if "--chip" in words else ("-c", "chanzi-8")), *words]) == USER_ERROR
    assert capsys.readouterr().err.startswith("error: ")


def test_command(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    page = tmp_path / "rank.html"
    assert guarded(make_app(), ["rank", "-c", "chanzi-8", "--json", "--sort", "watt", "--page", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)[0]
    assert len(found["chips"]) == 1 + len(foreign_chips())
    assert found["answers"][0].startswith("On digits, Tesla FSD computer 2")
    text = page.read_text(encoding="utf-8")
    assert '"paper0"' in text
    assert "≤" in text
