"""Chanzi: describe an AI chip, compile ONNX networks for it, run them bit for bit and cycle by cycle.

The names below are loaded on first use, so that ``import chanzi`` costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chanzi.chip import Chip as Chip
    from chanzi.chip import load_chip as load_chip
    from chanzi.errors import ChanziError as ChanziError
    from chanzi.program.model import CompiledModel as CompiledModel
    from chanzi.runtime.build import compile as compile  # noqa: A004 - the verb is the right word
    from chanzi.runtime.session import Session as Session
    from chanzi.runtime.torch import from_torch as from_torch

_MODULE_OF = {
    "Chip": "chanzi.chip",
    "load_chip": "chanzi.chip",
    "ChanziError": "chanzi.errors",
    "CompiledModel": "chanzi.program.model",
    "compile": "chanzi.runtime.build",
    "Session": "chanzi.runtime.session",
    "from_torch": "chanzi.runtime.torch",
}

__all__ = ["ChanziError", "Chip", "CompiledModel", "Session", "__version__", "compile", "from_torch", "load_chip"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value = version("chanzi")
    elif name in _MODULE_OF:
        from importlib import import_module

        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module 'chanzi' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
