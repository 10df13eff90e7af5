"""A file of named, hashed byte sections: the envelope of a .chz. What the sections mean is in `program.container`.

All integers are little-endian.

======  =====  ==============================================================
offset  bytes  header (64 bytes)
======  =====  ==============================================================
0       8      magic: 89 'C' 'H' 'Z' 0D 0A 1A 0A
8       4      format version
12      4      number of sections n
16      8      size of the whole file
24      8      zero
32      32     SHA-256 of bytes 0..31 followed by the section table
64      80 n   section table
======  =====  ==============================================================

An entry of the table is 80 bytes: name (32 bytes, printable ASCII, padded with zero bytes), offset (8), size (8),
SHA-256 of the section's bytes (32). Sections lie in the table's order, each at the next multiple of 4096 after the one
before it (the first after the table); the bytes between are zero; the file ends with the last section.
So every bit of a file is accounted for: one flipped anywhere is found.
"""

import hashlib
import mmap
import os
import stat
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

from chanzi.errors import ProgramError

MAGIC = b"\x89CHZ\r\n\x1a\n"
VERSION = 1
ALIGN = 4096
MAX_SECTIONS = 4096
_FIXED = struct.Struct("<8sIIQQ")
_ENTRY = struct.Struct("<32sQQ32s")
_TABLE_AT = 64
_CORRUPT = "the file is damaged; compile the network again"


def _aligned(at: int) -> int:
    return -(-at // ALIGN) * ALIGN


def pack(sections: Mapping[str, bytes | memoryview]) -> tuple[bytes, list[int]]:
    """Return (header and table, offset of each section)."""
    at = _TABLE_AT + _ENTRY.size * len(sections)
    table = b""
    offsets = []
    for name, data in sections.items():
        key = name.encode("ascii")
        if not 0 < len(key) <= 32:
            raise ProgramError(f"section name '{name}' is not 1 to 32 characters")
        at = _aligned(at)
        table += _ENTRY.pack(key, at, len(data), hashlib.sha256(data).digest())
        offsets.append(at)
        at += len(data)
    fixed = _FIXED.pack(MAGIC, VERSION, len(sections), at, 0)
    return fixed + hashlib.sha256(fixed + table).digest() + table, offsets


def write_sections(path: Path, sections: Mapping[str, bytes | memoryview]) -> int:
    """Write the file under a temporary name beside `path`, then rename it; return its size.

    A reader never sees half a file, and a failure leaves what stood at `path` before.

    Raises
    ------
    ProgramError
        The folder is missing or not writable, or the disk is full.
    """
    head, offsets = pack(sections)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(head)
            for offset, data in zip(offsets, sections.values(), strict=True):
                file.write(bytes(offset - file.tell()))
                file.write(data)
            size = file.tell()
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise ProgramError(f"cannot write {path}: {error.strerror}", hint="check the folder and the space") from None
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
    return size


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_sections(path: Path, *, map_file: bool = True) -> dict[str, memoryview]:
    """Return the sections of the file at `path`, all hashes checked; mapped into memory, or read.

    Views of a mapped file keep the mapping alive and are read-only.

    Raises
    ------
    ProgramError
        The file cannot be read, is no .chz, is of another version, or is damaged.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ProgramError(f"{path} is not a regular file", hint="give the path of a .chz file")
            head = file.read(_FIXED.size)
            _check_fixed(head, status.st_size, str(path))
            if map_file:
                data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            else:
                data = memoryview(head + file.read(status.st_size - len(head)))
    except OSError as error:
        raise ProgramError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
    return unpack(data, origin=str(path))


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_fixed(head: bytes | memoryview, file_bytes: int, origin: str) -> int:
    """Check the first 32 bytes; return the number of sections."""
    if len(head) < _FIXED.size or bytes(head[:8]) != MAGIC:
        raise ProgramError(f"{origin} is not a .chz file", hint="`chanzi compile net.onnx -o net.chz` writes one")
    _, version, count, size, zero = _FIXED.unpack_from(head)
    if version != VERSION:
        raise ProgramError(
            f"{origin} is of format version {version}, this Chanzi reads {VERSION}", hint="compile the network again"
        )
    if size != file_bytes:
        raise ProgramError(f"{origin} has {file_bytes} bytes, its header says {size}", hint=_CORRUPT)
    if zero or not 0 < count <= MAX_SECTIONS or _TABLE_AT + count * _ENTRY.size > size:
        raise ProgramError(f"{origin}: the header is corrupt", hint=_CORRUPT)
    return count


def unpack(data: memoryview, *, origin: str = "program") -> dict[str, memoryview]:
    """Return the sections of a whole file in memory, all hashes checked. Raises `ProgramError`."""
    count = _check_fixed(data[: _FIXED.size], len(data), origin)
    end = _TABLE_AT + count * _ENTRY.size
    table = data[_TABLE_AT:end]
    if hashlib.sha256(bytes(data[: _FIXED.size]) + bytes(table)).digest() != bytes(data[_FIXED.size : _TABLE_AT]):
        raise ProgramError(f"{origin}: the header does not match its hash", hint=_CORRUPT)
    sections: dict[str, memoryview] = {}
    for key, offset, size, digest in _ENTRY.iter_unpack(table):
        name = _section_name(key, origin)
        if name in sections or offset != _aligned(end) or size > len(data) - offset:
            raise ProgramError(f"{origin}: section '{name}' is misplaced", hint=_CORRUPT)
        if bytes(data[end:offset]).strip(b"\0"):
            raise ProgramError(f"{origin}: bytes before section '{name}' are not zero", hint=_CORRUPT)
        view = data[offset : offset + size]
        if hashlib.sha256(view).digest() != digest:
            raise ProgramError(f"{origin}: section '{name}' does not match its hash", hint=_CORRUPT)
        sections[name] = view
        end = offset + size
    if end != len(data):
        raise ProgramError(f"{origin}: {len(data) - end} bytes after the last section", hint=_CORRUPT)
    return sections


def _section_name(key: bytes, origin: str) -> str:
    text = key.rstrip(b"\0")
    if not text or not all(33 <= c <= 126 for c in text):
        raise ProgramError(f"{origin}: a section has no readable name", hint=_CORRUPT)
    return text.decode("ascii")
