"""A compiled model survives the file; a file that makes no sense is refused in one line, whatever its hashes say."""

import contextlib
import dataclasses
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from small_program import small_model

from chanzi.errors import ProgramError
from chanzi.isa.instruction import decode, encode
from chanzi.program import container
from chanzi.program.check import expand_runs
from chanzi.program.model import ChipStep

MODEL = small_model()
SECTIONS = {name: bytes(data) for name, data in container.to_sections(MODEL).items()}
META = json.loads(SECTIONS["meta.json"])


def same(a, b, where="model"):
    """Assert that two values of dataclasses, arrays and plain things are equal, all the way down."""
    if isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, err_msg=where)
    elif isinstance(a, memoryview | bytes):
        assert bytes(a) == bytes(b), where
    elif dataclasses.is_dataclass(a):
        assert type(a) is type(b), where
        for field in dataclasses.fields(a):
            same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            same(a[key], b[key], f"{where}[{key}]")
    elif isinstance(a, tuple):
        assert len(a) == len(b), where
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            same(left, right, f"{where}[{i}]")
    else:
        assert a == b, where


@pytest.mark.parametrize("mmap", [True, False])
def test_what_is_written_is_read(tmp_path, mmap):
    path = tmp_path / "small.chz"
    container.write(path, MODEL)
    same(container.read(path, mmap=mmap), MODEL)
    assert container.is_program(path.read_bytes()[:8])


def test_writing_twice_gives_the_same_bytes(tmp_path):
    container.write(tmp_path / "a.chz", MODEL)
    container.write(tmp_path / "b.chz", container.read(tmp_path / "a.chz"))
    assert (tmp_path / "a.chz").read_bytes() == (tmp_path / "b.chz").read_bytes()


def test_the_file_can_be_read_while_it_is_replaced(tmp_path):
    path = tmp_path / "small.chz"
    container.write(path, MODEL)
    old = container.read(path)
    container.write(path, dataclasses.replace(MODEL, name="other"))
    same(old, MODEL)
    assert container.read(path).name == "other"


def changed(change):
    """Return the sections with `change` applied to the decoded meta.json."""
    meta = json.loads(SECTIONS["meta.json"])
    change(meta)
    return SECTIONS | {"meta.json": json.dumps(meta).encode()}


def refused(sections):
    with pytest.raises(ProgramError) as error:
        container.from_sections(sections, origin="t.chz")
    text = str(error.value)
    assert text.startswith("t.chz")
    assert text.isprintable()
    assert len(text) < 600
    return text


def put(path, value):
    """Return a change that sets meta[path[0]][path[1]]... to `value`."""

    def change(meta):
        at = meta
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


CHIP = ("steps", 0)
PORT = (*CHIP, "input_ports", 0)
OUT = (*CHIP, "output_ports", 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "chz 2"),
        (("name",), 7),
        (("steps",), []),
        (("steps",), {}),
        (("options", "mode"), "fastest"),
        ((*CHIP, "on"), "gpu"),
        ((*CHIP, "cores"), 0),
        ((*CHIP, "cores"), 2),
        ((*CHIP, "cores"), 10**30),
        ((*CHIP, "frames"), 0),
        ((*CHIP, "frames"), 3),
        ((*CHIP, "dram_bytes"), 1),
        ((*CHIP, "dram_bytes"), -1),
        ((*CHIP, "dram_bytes"), 1 << 60),
        ((*PORT, "name"), "other"),
        ((*PORT, "shape"), [8, 8]),
        ((*PORT, "shape"), [8, 8, 0]),
        ((*PORT, "shape"), [8, 8, -3]),
        ((*PORT, "shape"), [1 << 40, 1 << 40, 1 << 40]),
        ((*PORT, "addresses"), []),
        ((*PORT, "addresses"), [-4]),
        ((*PORT, "addresses"), [1 << 50]),
        ((*PORT, "quant", "scale"), 0.0),
        ((*PORT, "quant", "scale"), -1.0),
        ((*PORT, "quant", "zero"), 300),
        ((*PORT, "quant", "dtype"), "float64"),
        ((*OUT, "layout", "line_bytes"), 1),
        ((*OUT, "layout", "line_bytes"), -1),
        ((*OUT, "layout", "pixel_bytes"), 1 << 45),
        ((*OUT, "layout", "channel_runs"), []),
        ((*OUT, "layout", "channel_runs"), [[0, 1 << 62]]),
        ((*OUT, "layout", "channel_runs"), [[0, 5], [1 << 55, 5]]),
        ((*OUT, "layout", "channel_runs"), [[0, 11], [0, -1]]),
        ((*OUT, "layout", "kind"), "tiles"),
        ((*CHIP, "buffers", 0, "base"), 1 << 31),
        ((*CHIP, "buffers", 0, "core"), 1),
        ((*CHIP, "buffers", 0, "n_bytes"), -1),
        ((*CHIP, "layers", 0, "macs"), -1),
        ((*CHIP, "inputs", 0, "perm"), [0, 1, 2, 2]),
        ((*CHIP, "inputs", 0, "perm"), [0, 1]),
        ((*CHIP, "inputs", 0, "shape"), [1, 3, 8, 9]),
        ((*CHIP, "inputs", 0, "tensor"), "nobody\u202e"),
        ((*CHIP, "inputs"), []),
        (("inputs", 0, "frame"), [1, 3, 8]),
        (("inputs", 0, "frame"), [1 << 40, 3, 8, 8]),
        (("outputs", 0, "name"), "nothing writes this"),
        (("extra",), 1),
        (("source_sha256",), None),
    ],
)
def test_meta_that_makes_no_sense_is_refused(path, value):
    refused(changed(put(path, value)))


def test_stems_that_make_no_sense_are_refused():
    layout = META["steps"][0]["input_ports"][0]["layout"]
    assert layout["kind"] == "stem"
    for key in set(layout) - {"kind"}:
        for value in (-1, 1 << 31, 1 << 62):
            refused(changed(put((*PORT, "layout", key), value)))


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b"[" * 100_000, b'{"format": "chz 1"}', b"\xff\xfe", b"null"])
def test_bad_json_is_refused(text):
    refused(SECTIONS | {"meta.json": text})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1e-400"])
def test_scales_that_are_no_numbers_are_refused(number):
    text = SECTIONS["meta.json"].replace(b'"scale":0.05', b'"scale":' + number.encode())
    assert text != SECTIONS["meta.json"]
    refused(SECTIONS | {"meta.json": text})


def test_bad_chips_are_refused():
    for text in (b"", b"\xff", b"name = 1", SECTIONS["chip.toml"] + b"\nmagic = 1\n"):
        refused(SECTIONS | {"chip.toml": text})


def test_missing_and_additional_sections_are_refused():
    for name in SECTIONS:
        if not name.startswith("a/"):
            assert name in refused({k: v for k, v in SECTIONS.items() if k != name})
    assert "belongs to nothing" in refused(SECTIONS | {"s7/image": b""})


def test_code_that_is_no_code_is_refused():
    refused(SECTIONS | {"s0/core0/frame": b"x"})
    refused(SECTIONS | {"s0/core0/frame": b"\xee" * 256})


def test_random_changes_of_meta_are_read_or_refused():
    """Values swapped for others of the wrong kind, sign or size, with hashes that are right."""
    rng = random.Random(5)
    values = [0, -1, 1, 1 << 31, 1 << 63, 1 << 70, 0.5, 1e308, "", "x", None, True, [], {}, [1, 2], [[0, 1]]]

    def spots(node, path=()):
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            yield (*path, key)
            yield from spots(value, (*path, key))

    places = list(spots(META))
    for _ in range(1500):
        sections = changed(put(rng.choice(places), rng.choice(values)))
        with contextlib.suppress(ProgramError):
            container.from_sections(sections, origin="t.chz")


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60, unique=True))
def test_channel_offsets_survive_as_runs(offsets):
    runs = container._runs(np.array(offsets, np.int64))
    np.testing.assert_array_equal(expand_runs(runs, len(offsets), "t"), offsets)


def test_instructions_survive():
    step = MODEL.steps[0]
    assert isinstance(step, ChipStep)
    for core in step.segment.cores:
        assert tuple(decode(encode(core.frame))) == core.frame
