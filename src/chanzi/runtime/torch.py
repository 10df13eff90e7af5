"""PyTorch in: a module exported and run on a chip, and a backend for ``torch.compile``. Needs the torch extra."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chanzi.chip import DEFAULT_CHIP, Chip
from chanzi.errors import ChanziError, ModelError
from chanzi.runtime.build import Calibration, Method, Mode, Scheme
from chanzi.runtime.session import Session

_LIFTED = ("_parameters_", "_buffers_")


def from_torch(
    module: Any,
    example_inputs: Sequence[Any],
    chip: "Chip | str | Path" = DEFAULT_CHIP,
    *,
    calibration: Calibration | None = None,
    mode: Mode = "single",
    scheme: Scheme = "u8s8",
    method: Method = "minmax",
) -> Session:
    """Export a module with ``torch.onnx.export`` and return a session of it.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    example_inputs : sequence of torch.Tensor
        What it is exported with, and calibrated with where `calibration` is None.
    chip, calibration, mode, scheme, method
        See `chanzi.Session`. Feeds name the inputs ``input_0``, ``input_1``, ...

    Raises
    ------
    ModelError
        The module cannot be exported.
    """
    names = [f"input_{i}" for i in range(len(example_inputs))]
    model = _exported(module, tuple(example_inputs), names)
    if calibration is None:
        feed = {name: value.detach().cpu().numpy() for name, value in zip(names, example_inputs, strict=True)}
        calibration = [feed]
    return Session(model, chip, calibration=calibration, mode=mode, scheme=scheme, method=method)


def _exported(module: Any, inputs: tuple[Any, ...], names: list[str]) -> bytes:
    import torch

    buffer = io.BytesIO()
    try:
        with torch.no_grad():
            program = torch.onnx.export(module, inputs, input_names=names, dynamo=True, verbose=False)
        program.save(buffer)
    except ChanziError:
        raise
    except Exception as error:  # the exporter raises what it likes
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"torch cannot export the module: {first}", hint="try torch.onnx.export by itself") from None
    return buffer.getvalue()


def dynamo_backend(
    graph: Any, example_inputs: Sequence[Any], *, options: dict[str, Any] | None = None
) -> Callable[..., Any]:
    """Return what runs `graph` on a chip: the backend of ``torch.compile(module, backend="chanzi")``.

    The graph is exported, quantized and compiled with the inputs of its first call; parameters become constants then,
    and it is compiled anew where one of them has changed since. Gradients do not flow through.

    Parameters
    ----------
    graph : torch.fx.GraphModule
    example_inputs : sequence
        Not looked at: they hold shapes, not values.
    options : dict, optional
        ``chip``, ``mode``, ``scheme``, ``method``, as `chanzi.Session` takes them.
    """
    import torch

    del example_inputs
    chosen = dict(options or {})
    state: dict[str, Any] = {}
    # Parameters and buffers are lifted to inputs; buffers are plain tensors, and only their names tell.
    named = [any(word in node.target for word in _LIFTED) for node in graph.graph.nodes if node.op == "placeholder"]

    @torch.compiler.disable
    def run(*values: Any) -> Any:
        fixed = [lifted or isinstance(v, torch.nn.Parameter) for v, lifted in zip(values, named, strict=True)]
        stamp = tuple((v.data_ptr(), v._version) for v, is_fixed in zip(values, fixed, strict=True) if is_fixed)
        open_values = [value for value, is_fixed in zip(values, fixed, strict=True) if not is_fixed]
        if state.get("stamp") != stamp:
            state["session"] = from_torch(_Closed(graph, values, fixed).eval(), open_values, **chosen)
            state["stamp"] = stamp
        session = state["session"]
        feed = {f"input_{i}": value.detach().cpu().numpy() for i, value in enumerate(open_values)}
        return tuple(torch.from_numpy(output.copy()) for output in session.run(None, feed))

    def _Closed(graph: Any, values: Sequence[Any], fixed: Sequence[bool]) -> Any:  # noqa: N802 - it makes a module
        class Closed(torch.nn.Module):
            """The graph with its parameters in place, so that only what changes is an input."""

            def __init__(self) -> None:
                super().__init__()
                self.graph = graph
                self.kept = torch.nn.ParameterList(
                    torch.nn.Parameter(v.detach(), requires_grad=False)
                    for v, is_fixed in zip(values, fixed, strict=True)
                    if is_fixed
                )

            def forward(self, *inputs: Any) -> Any:
                kept, given = iter(self.kept), iter(inputs)
                return self.graph(*(next(kept) if is_fixed else next(given) for is_fixed in fixed))

        return Closed()

    return run
