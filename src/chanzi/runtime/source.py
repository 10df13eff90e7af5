"""What a caller may call a model (a path, bytes, a ModelProto, a .chz), told apart before anything heavy is loaded."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chanzi.errors import ModelError
from chanzi.program.container import is_program

MAX_MODEL_BYTES = 1 << 31
"""Protobuf's own limit; larger weights live in external files."""
_INTEGER_NODES = (b"QuantizeLinear", b"QLinear", b"ConvInteger", b"MatMulInteger", b"QGemm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model's bytes, and where they came from: `path` is None for those that were given in memory."""

    data: bytes
    name: str
    path: Path | None = None

    @property
    def is_program(self) -> bool:
        """Whether these are the bytes of a .chz."""
        return is_program(self.data[:8])

    @property
    def sha256(self) -> str:
        """Hexadecimal hash of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def quantized(self) -> bool:
        """Whether integer operators are in it; their names stand in the bytes as they are."""
        return any(word in self.data for word in _INTEGER_NODES)

    @property
    def folder(self) -> Path | None:
        """Where external weights would lie; None where there can be none."""
        return self.path.parent if self.path is not None and b"location" in self.data else None


def read_source(model: "str | Path | bytes | memoryview | Any") -> Source:
    """Return the source of `model`: a path, bytes, or anything with ``SerializeToString`` (an onnx.ModelProto).

    Raises
    ------
    ModelError
        It is none of these, or the file cannot be read.
    """
    if isinstance(model, bytes | bytearray | memoryview):
        return Source(data=bytes(model), name="model")
    if isinstance(model, str | Path):
        return _from_file(Path(model))
    if hasattr(model, "SerializeToString"):
        try:
            data = model.SerializeToString()
        except ValueError as error:
            raise ModelError(
                f"the model cannot be serialized: {' '.join(str(error).split())[:200]}",
                hint="save it with external data and give its path",
            ) from None
        graph = getattr(model, "graph", None)
        return Source(data=data, name=getattr(graph, "name", "") or "model")
    raise ModelError(
        f"a model cannot be a {type(model).__name__}", hint="give a path, bytes, an onnx.ModelProto, or a .chz file"
    )


def _from_file(path: Path) -> Source:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ModelError(f"{path} is a folder", hint="give the path of an .onnx or .chz file")
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is not a regular file", hint="give the path of an .onnx or .chz file")
        if status.st_size > MAX_MODEL_BYTES:
            raise ModelError(f"{path} is larger than 2 GiB", hint="ONNX keeps such weights in external files")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from None
    except ValueError as error:
        raise ModelError(f"cannot read a model: {error}", hint="check the path") from None
    if not data:
        raise ModelError(f"{path} is empty", hint="give an .onnx or .chz file")
    return Source(data=data, name=path.stem, path=path)
