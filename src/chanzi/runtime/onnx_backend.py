"""The `onnx.backend` interface: ``chanzi.runtime.onnx_backend.prepare(model).run(inputs)``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx.backend.base import Backend, BackendRep, Device, DeviceType

from chanzi.errors import ChanziError
from chanzi.runtime.session import Session

_NODE_OPSET, _NODE_IR = 21, 10
"""What a lone node is taken to be written in: the newest that every ONNX Runtime allowed here reads."""


class ChanziRep(BackendRep):
    """A prepared network."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return the outputs for inputs in the network's order, or by name."""
        del kwargs
        if isinstance(inputs, dict):
            feed = inputs
        else:
            values = inputs if isinstance(inputs, list | tuple) else [inputs]
            names = [info.name for info in self.session.get_inputs()]
            feed = {name: _array(value) for name, value in zip(names, values, strict=False)}
        return tuple(self.session.run(None, feed))


def _array(value: Any) -> Any:
    return value if isinstance(value, np.ndarray | list) else np.asarray(value)


class ChanziBackend(Backend):
    """Runs networks as they are: what is quantized on the chip, what is float on the host.

    Keyword arguments of `prepare` and `run_model` go to `chanzi.Session`; with a `calibration` a float network is
    quantized and runs on the chip.
    """

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Return whether the network can be prepared."""
        try:
            cls.prepare(model, device, **kwargs)
        except ChanziError:
            return False
        return True

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> ChanziRep:
        """Compile the network and return what runs it. Raises `ChanziError` where it is refused."""
        del device
        kwargs.setdefault("scheme", "none" if kwargs.get("calibration") is None else "u8s8")
        return ChanziRep(Session(model, **kwargs))

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Prepare and run once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Sequence[Any] | None = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """Run one operator as a network of its own; its inputs' types are those of the values given."""
        from onnx import helper

        del outputs_info
        values = [_array(value) for value in inputs]
        names = [name for name in node.input if name]
        ins = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in zip(names, values, strict=True)
        ]
        outs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = helper.make_graph([node], "node", ins, outs)
        opset = helper.make_opsetid(node.domain, _NODE_OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_NODE_IR)
        return cls.run_model(model, values, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Return whether `device` is the CPU, on which chips are simulated."""
        return Device(device).type == DeviceType.CPU


prepare = ChanziBackend.prepare
run = ChanziBackend.run_model
run_model = ChanziBackend.run_model
run_node = ChanziBackend.run_node
supports_device = ChanziBackend.supports_device
is_compatible = ChanziBackend.is_compatible
