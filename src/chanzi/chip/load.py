"""TOML in, frozen :class:`Chip` out, with every complaint naming the key and the way out."""

import dataclasses
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from chanzi.chip.chip import Chip
from chanzi.errors import ChipError, did_you_mean

DEFAULT_CHIP = "tesla-fsd-hw3"
_MAX_TOML_BYTES = 1 << 14  # tomllib takes time and memory that grow with the square of a dotted key's length


def presets() -> dict[str, str]:
    """Return the shipped chips: name -> TOML text."""
    folder = resources.files("chanzi.chip") / "presets"
    files = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return {f.name.removesuffix(".toml"): f.read_text("utf-8") for f in files if f.name.endswith(".toml")}


def load_chip(chip: "Chip | str | Path") -> Chip:
    """Return the chip of that preset name or TOML path; a `Chip` is returned as it is.

    Raises
    ------
    ChipError
        No such preset or file, not TOML, an unknown key, a wrong type, or an impossible chip.
    """
    if isinstance(chip, Chip):
        return chip
    name = str(chip)
    known = presets()
    if name in known:
        return parse_chip(known[name], origin=f"preset {name}")
    path = Path(name)
    if path.suffix != ".toml" and not path.is_file():
        raise ChipError(
            f"no chip named '{name}'", hint=did_you_mean(name, known) + "; or give the path of a .toml file"
        )
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_TOML_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise ChipError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
    except UnicodeDecodeError:
        raise ChipError(f"{path} is not UTF-8 text", hint="a chip is a TOML file") from None
    except ValueError:  # a NUL in the path; UnicodeDecodeError is one too and is answered above
        raise ChipError(f"{path!r} is not a path", hint="check the path") from None
    return parse_chip(text, origin=str(path))


def parse_chip(text: str, *, origin: str = "chip") -> Chip:
    """Parse TOML `text`; `origin` names it in errors. Raises `ChipError`."""
    if len(text) > _MAX_TOML_BYTES:
        raise ChipError(f"{origin} is longer than {_MAX_TOML_BYTES} characters", hint="a chip is a page of TOML")
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise ChipError(
            f"{origin} is not valid TOML: {str(error)[:200]}", hint="see `chanzi chips show chanzi-8`"
        ) from None
    _refuse_unknown_keys(data, Chip, origin, "")
    try:
        return msgspec.convert(data, Chip)
    except msgspec.ValidationError as error:
        # msgspec wraps what __post_init__ raises; the chip's own words are the better message.
        if isinstance(error.__cause__, ChipError):
            raise ChipError(f"{origin}: {error.__cause__}") from None
        raise ChipError(f"{origin}: {error}", hint="see `chanzi chips show chanzi-8`") from None
    except ChipError as error:
        raise ChipError(f"{origin}: {error}") from None
    except (OverflowError, RecursionError) as error:
        raise ChipError(f"{origin}: {error}") from None


def _refuse_unknown_keys(data: dict[str, Any], kind: type, origin: str, where: str) -> None:
    fields = {f.name: f.type for f in dataclasses.fields(kind)}
    for key, value in data.items():
        if key not in fields:
            raise ChipError(f"{origin}: unknown key '{where}{_shown(key)}'", hint=did_you_mean(key[:80], fields))
        inner = fields[key]
        if isinstance(value, dict) and isinstance(inner, type) and dataclasses.is_dataclass(inner):
            _refuse_unknown_keys(value, inner, origin, f"{where}{key}.")


def _shown(text: str) -> str:
    """Return `text` fit for one line of an error: printable and short."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:80])
    return printable if len(text) <= 80 else printable + "..."


def dump_chip(chip: Chip) -> str:
    """Return the chip as TOML that :func:`parse_chip` reads back to an equal chip."""

    def shown(v: object) -> str:
        if isinstance(v, str):
            escaped = v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{escaped}"'
        return f"{v:_}" if isinstance(v, int) else repr(v)

    def table(obj: object, path: str) -> list[str]:
        fields = dataclasses.fields(obj)  # type: ignore[arg-type]
        plain = [(f.name, value) for f in fields if (value := getattr(obj, f.name)) is not None]
        lines = [f"{k} = {shown(v)}" for k, v in plain if not dataclasses.is_dataclass(v) and not isinstance(v, dict)]
        for key, inner in plain:
            name = f"{path}{key}"
            if dataclasses.is_dataclass(inner):
                lines += ["", f"[{name}]", *table(inner, f"{name}.")]
            elif isinstance(inner, dict) and inner:
                lines += ["", f"[{name}]", *(f'"{k}" = {shown(v)}' for k, v in inner.items())]
        return lines

    return "\n".join(table(chip, "")) + "\n"
