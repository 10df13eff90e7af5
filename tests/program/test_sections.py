"""The envelope of a .chz: what is written is read, and any damage is told in one line."""

import hashlib
import os
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.errors import ProgramError
from chanzi.program.sections import ALIGN, MAGIC, pack, read_sections, unpack, write_sections

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=32)
FILES = st.dictionaries(NAMES, st.binary(max_size=9000), min_size=1, max_size=6)
SMALL = {"meta.json": b"{}", "empty": b"", "code": bytes(range(256)) * 20}


def whole(sections):
    head, offsets = pack(sections)
    data = bytearray(head)
    for offset, part in zip(offsets, sections.values(), strict=True):
        data += bytes(offset - len(data)) + part
    return bytes(data)


def one_line(error):
    text = str(error.value)
    return text and text.isprintable() and len(text) < 400


@given(FILES)
def test_what_is_packed_is_unpacked(sections):
    read = unpack(memoryview(whole(sections)))
    assert {name: bytes(view) for name, view in read.items()} == sections


@pytest.mark.parametrize("map_file", [True, False])
def test_what_is_written_is_read(tmp_path, map_file):
    path = tmp_path / "a.chz"
    size = write_sections(path, SMALL)
    assert size == path.stat().st_size
    read = read_sections(path, map_file=map_file)
    assert {name: bytes(view) for name, view in read.items()} == SMALL
    assert all(view.readonly for view in read.values())
    assert os.listdir(tmp_path) == ["a.chz"]


def test_sections_start_on_pages():
    _, offsets = pack(SMALL)
    assert all(offset % ALIGN == 0 for offset in offsets)


def test_every_flipped_bit_is_found():
    data = whole(SMALL)
    rng = random.Random(1)
    places = {*range(64 + 80 * 3), *rng.sample(range(len(data)), 600)}
    for at in places:
        spoiled = bytearray(data)
        spoiled[at] ^= 1 << rng.randrange(8)
        with pytest.raises(ProgramError) as error:
            unpack(memoryview(bytes(spoiled)))
        assert one_line(error)


def test_every_truncation_is_found():
    data = whole(SMALL)
    for size in [*range(300), *range(300, len(data), 97), len(data) - 1]:
        with pytest.raises(ProgramError) as error:
            unpack(memoryview(data[:size]))
        assert one_line(error)


def test_bytes_after_the_end_are_found():
    with pytest.raises(ProgramError):
        unpack(memoryview(whole(SMALL) + b"\0"))


def rehashed(fixed, table, rest):
    return memoryview(fixed + hashlib.sha256(fixed + table).digest() + table + rest)


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))))
def test_hostile_tables_with_right_hashes_are_refused(entries):
    table = b"".join(struct.pack("<32sQQ32s", *entry, bytes(32)) for entry in entries)
    size = 64 + len(table)
    fixed = struct.pack("<8sIIQQ", MAGIC, 1, len(entries), size, 0)
    with pytest.raises(ProgramError) as error:
        unpack(rehashed(fixed, table, b""))
    assert one_line(error)


def test_overlapping_sections_are_refused():
    part = bytes(100)
    entry = struct.pack("<32sQQ32s", b"a", ALIGN, 100, hashlib.sha256(part).digest())
    table = entry + entry.replace(b"a", b"b", 1)
    size = ALIGN + 100
    fixed = struct.pack("<8sIIQQ", MAGIC, 1, 2, size, 0)
    with pytest.raises(ProgramError, match="misplaced"):
        unpack(rehashed(fixed, table, bytes(ALIGN - 64 - len(table)) + part))


def test_another_version_is_named():
    data = bytearray(whole(SMALL))
    data[8] = 7
    with pytest.raises(ProgramError, match="version 7"):
        unpack(memoryview(bytes(data)))


@pytest.mark.parametrize("content", [b"", b"hello", MAGIC, MAGIC + bytes(24)])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.chz"
    path.write_bytes(content)
    with pytest.raises(ProgramError) as error:
        read_sections(path)
    assert one_line(error)


def test_paths_that_are_no_files_are_refused(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, tmp_path / "none.chz", fifo, tmp_path / "a" / "b.chz"):
        with pytest.raises(ProgramError) as error:
            read_sections(path)
        assert one_line(error)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.chz"
    write_sections(path, SMALL)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ProgramError, match="No space left"):
        write_sections(path, {"other": b"x"})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.chz"]
    with pytest.raises(ProgramError, match="cannot write"):
        write_sections(tmp_path / "none" / "a.chz", SMALL)
