"""Ways to spoil a file: blind ones that work on bytes, and numbers that no reader expects."""

import random
import re

HOSTILE_NUMBERS = [
    b"0", b"-1", b"1", b"2", b"255", b"256", b"65535", b"65536", b"2147483647", b"2147483648", b"-2147483648",
    b"4294967296", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"1" + b"0" * 400,
    b"nan", b"inf", b"-inf", b"1e308", b"1e-320", b"-0.0", b"0x7fffffff", b"true", b'"96"', b"[]", b"{}", b"1979-05-27",
]  # fmt: skip
HOSTILE_TEXT = [
    b"", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xe2\x80\xae", b"[" * 5000, b"{a=" * 2000, b"a." * 5000 + b"b = 1\n",
    b"x" * 100_000, b'"""', b"'''", b"\\u0000", b"\r", b"# \x07\n", b"../../etc/passwd", b"%s%n", b"\x1b[31m",
]  # fmt: skip


def truncated(data: bytes, rng: random.Random) -> bytes:
    """Cut the end off."""
    return data[: rng.randrange(len(data) + 1)]


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Flip one to eight bits."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwritten(data: bytes, rng: random.Random) -> bytes:
    """Write extreme integers of 1, 2, 4 or 8 bytes over what is there."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        size = rng.choice((1, 2, 4, 8))
        if len(out) >= size:
            value = rng.choice(
                (0, 1, -1, 2 ** (8 * size - 1) - 1, -(2 ** (8 * size - 1)), rng.getrandbits(8 * size - 1))
            )
            at = rng.randrange(len(out) - size + 1)
            out[at : at + size] = value.to_bytes(size, "little", signed=True)
    return bytes(out)


def cut_or_doubled(data: bytes, rng: random.Random) -> bytes:
    """Remove a slice, or repeat one."""
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:a] + data[b:] if rng.random() < 0.5 else data[:b] + data[a:b] * rng.randint(1, 3) + data[b:]


def inserted(data: bytes, rng: random.Random) -> bytes:
    """Insert random bytes or hostile text."""
    at = rng.randrange(len(data) + 1)
    extra = rng.choice(HOSTILE_TEXT) if rng.random() < 0.5 else rng.randbytes(rng.randint(1, 64))
    return data[:at] + extra + data[at:]


def number_replaced(data: bytes, rng: random.Random) -> bytes:
    """Replace one number of a text file by a hostile one."""
    spots = list(re.finditer(rb"(?<![\w.])[-+]?[0-9][0-9_.]*", data))
    if not spots:
        return flipped(data, rng)
    spot = rng.choice(spots)
    return data[: spot.start()] + rng.choice(HOSTILE_NUMBERS) + data[spot.end() :]


def line_shuffled(data: bytes, rng: random.Random) -> bytes:
    """Move, drop or repeat a line of a text file."""
    lines = data.split(b"\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(3):
        case 0:
            lines[a], lines[b] = lines[b], lines[a]
        case 1:
            del lines[a]
        case _:
            lines.insert(b, lines[a])
    return b"\n".join(lines)


BINARY = (truncated, flipped, flipped, overwritten, overwritten, cut_or_doubled, inserted)
TEXT = (*BINARY, number_replaced, number_replaced, number_replaced, line_shuffled, line_shuffled)


def spoil(data: bytes, rng: random.Random, *, text: bool) -> bytes:
    """Apply one to three mutations."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(TEXT if text else BINARY)(data, rng)
    return data
