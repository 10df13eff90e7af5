"""The host's share of a network: pieces of ONNX that ONNX Runtime runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from chanzi.errors import RunError
from chanzi.settings import THREADS

_QUIET = 4  # only what is fatal; errors come back as exceptions


class HostRunner:
    """One ONNX model on ONNX Runtime's CPU kernels; the session is made on the first run.

    Parameters
    ----------
    model : bytes
        A serialized ModelProto.
    what : str
        Names the model in errors.
    """

    def __init__(self, model: bytes | memoryview, *, what: str = "the host's part") -> None:
        self._model = model
        self._what = what
        self._session: Any = None

    @property
    def session(self) -> Any:
        """The onnxruntime.InferenceSession."""
        if self._session is None:
            self._session = make_session(bytes(self._model), what=self._what)
        return self._session

    def run(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """Return the named outputs. Raises `RunError` where ONNX Runtime refuses."""
        try:
            return self.session.run(list(outputs), dict(feed))
        except RunError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common root but this
            raise RunError(f"{self._what} failed on the host: {shorten(error)}") from None


def session_options(*, threads: int | None = None, exact: bool = True) -> Any:
    """Return onnxruntime.SessionOptions that are quiet and whose integer kernels are exact on every processor.

    On x86 without VNNI, ONNX Runtime's u8 x s8 kernels add two products in 16 bits and saturate. With
    `session.x64quantprecision` it rewrites the weights to u8, whose kernels do not. Where VNNI is, it changes nothing.

    Parameters
    ----------
    threads : int, optional
        Of an operator; without it, as `CHANZI_THREADS` says.
    exact : bool
        False leaves the weights alone: ONNX Runtime has no kernel for s8 activations and the weights it rewrites.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    wanted = THREADS.get()
    if threads is None and wanted.isdigit():
        threads = int(wanted)
    if threads:
        options.intra_op_num_threads = threads
    return options


def make_session(model: bytes, *, what: str) -> Any:
    """Return a quiet CPU InferenceSession of `model`. Raises `RunError`."""
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(
            model, session_options(), providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception:  # ONNX Runtime's exceptions have no common root but this
        try:
            return onnxruntime.InferenceSession(
                model, session_options(exact=False), providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # as above
            raise RunError(f"ONNX Runtime cannot load {what}: {shorten(error)}") from None


def shorten(error: Exception) -> str:
    """Return an exception's text as one line of at most 300 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."
