"""Settings are what the page says, survive the journal, and seeds of different purposes never meet."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.drive.engine.scenario import Purpose, scenarios, seed_of
from chanzi.drive.engine.settings import Settings, read_settings
from chanzi.drive.engine.unit import canonical
from chanzi.errors import LoopError

PAGE = Path(__file__).parents[3] / "docs" / "loop.md"


def test_the_page_shows_settings_that_are_taken_and_defaults_that_are_so(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    file = tmp_path / "loop.toml"
    file.write_text(text, encoding="utf-8")
    found = msgspec.to_builtins(read_settings(file))
    default = msgspec.to_builtins(Settings())
    found["collect"]["triggers"] = [t for t in default["collect"]["triggers"] if t["name"] == "intervention"]
    default["collect"]["triggers"] = found["collect"]["triggers"]
    assert found == default


def test_settings_survive_the_journal():
    assert msgspec.json.decode(canonical(Settings(seed=7)), type=Settings) == Settings(seed=7)


KEYS = st.tuples(st.sampled_from(Purpose), st.integers(0, 99), st.integers(0, 99), st.integers(0, 999))


@given(KEYS, KEYS)
def test_seeds_are_different_and_small_enough_for_every_generator(one, other):
    a, b = seed_of(*one), seed_of(*other)
    assert (a == b) == (one == other)
    assert 0 <= a < 2**31


def test_more_drives_than_seeds_are_refused():
    with pytest.raises(LoopError, match="1000 drives a turn"):
        seed_of(Purpose.ROAD, 0, 0, 1000)


@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 4))
def test_every_world_meets_every_weather_evenly(count, worlds, weathers):
    found = scenarios(
        Purpose.SUITE,
        worlds=tuple(f"w{i}" for i in range(worlds)),
        weathers=tuple(f"c{i}" for i in range(weathers)),
        seconds=1.0,
        run_seed=0,
        turn=0,
        count=count,
    )
    pairs = [(s.world, s.weather) for s in found]
    each = [pairs.count((f"w{i}", f"c{j}")) for i in range(worlds) for j in range(weathers)]
    assert sum(each) == count == len({s.seed for s in found})
    assert max(each) - min(each) <= 1
