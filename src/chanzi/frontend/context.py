"""What the operators' translators share: views of the values, quantized constants, and the graph's operators so far."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from chanzi.frontend import qdq
from chanzi.frontend.layout import Form, Refused, Shape, View, form_of_shape
from chanzi.frontend.network import Network, Node
from chanzi.graph.ops import Op, Permute, Quant, Tensor

LARGEST_MAP = 1 << 28
"""Elements of a map that the compiler is asked to place; no frame of a camera comes near."""
CLAMPS = frozenset({"Relu", "Clip"})
MOVES = frozenset({"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Split", "MaxPool"})


@dataclass(slots=True, kw_only=True, eq=False)
class Context:
    """The translation of one network.

    Attributes
    ----------
    views : dict
        Values that the chip holds, bytes or the floats they mean.
    stored : dict
        Quantized constants by the value that means them.
    entries : dict
        Tensors that come from the host or from the network's inputs: the value each carries.
    made_by : dict
        The node that each graph operator was made for.
    """

    net: Network
    consumers: dict[str, list[Node]]
    producers: dict[str, Node]
    views: dict[str, View] = field(default_factory=dict)
    stored: dict[str, qdq.Stored] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    made_by: dict[str, Node] = field(default_factory=dict)
    node: Node | None = None
    _names: set[str] = field(default_factory=set)
    _targets: dict[str, Quant | None] = field(default_factory=dict)

    def unique(self, stem: str) -> str:
        """Return a name for an operator or tensor that is not taken."""
        name, count = stem, 1
        while name in self._names:
            count += 1
            name = f"{stem}#{count}"
        self._names.add(name)
        return name

    def tensor(self, stem: str, shape: tuple[int, int, int], quant: Quant) -> Tensor:
        """Make a tensor."""
        if math.prod(shape) > LARGEST_MAP:
            raise Refused(f"a map of {math.prod(shape)} elements")
        return Tensor(name=self.unique(stem), shape=shape, quant=quant)

    def emit(self, op: Op) -> None:
        """Append an operator of the graph, made for the node at hand."""
        self.ops.append(op)
        if self.node is not None:
            self.made_by[op.name] = self.node

    def name(self, node: Node) -> str:
        """Return a name for an operator made for `node`."""
        return self.unique(node.name)

    def shape(self, name: str) -> Shape:
        """Return a value's shape."""
        shape = self.net.shape(name)
        if shape is None:
            raise Refused("shapes that are known only while it runs")
        if math.prod(shape) > LARGEST_MAP:
            raise Refused(f"a map of {math.prod(shape)} elements")
        return shape

    def view(self, name: str) -> View:
        """Return the view of a value that the chip holds."""
        if name not in self.views:
            producer = self.producers.get(name)
            if name in self.stored or self.net.is_constant(name):
                raise Refused("a constant where an activation is expected")
            if producer is None or qdq.is_quantize(producer) or qdq.is_dequantize(producer):
                raise Refused("its input is not quantized to 8 bits")
            raise Refused(f"its input comes from {producer.op_type}, in float")
        return self.views[name]

    def has(self, name: str) -> bool:
        """Tell whether the chip holds the value."""
        return name in self.views

    def map(self, name: str, form: Form) -> Tensor:
        """Return the map of a value in this form; reorders channels where that is all it takes.

        Raises
        ------
        Refused
            The bytes would have to be moved about.
        """
        return self.as_map(self.view(name), form)

    def as_map(self, view: View, form: Form) -> Tensor:
        """Return the map of a view in this form."""
        order = view.channel_order(form)
        if order is None:
            return view.tensor
        y = self.tensor(f"{view.tensor.name}/shuffled", view.tensor.shape, view.tensor.quant)
        self.emit(Permute(name=self.unique(f"{view.tensor.name}/shuffle"), x=view.tensor, y=y, order=order))
        return y

    def target(self, name: str) -> Quant:
        """Return the quantization that everything which reads a float value gives it.

        Raises
        ------
        Refused
            Something reads it in float, or two readers quantize it differently.
        """
        if name not in self._targets:
            self._targets[name] = None
            self._targets[name] = self._find_target(name)
        found = self._targets[name]
        if found is None:
            raise Refused("its result is used in float, not quantized to 8 bits")
        return found

    def _find_target(self, name: str) -> Quant | None:
        readers = self.consumers.get(name, [])
        if not readers or name in self.net.outputs:
            return None
        found: Quant | None = None
        for reader in readers:
            if qdq.is_quantize(reader) and reader.input(0) == name:
                try:
                    quant = qdq.quant_of(self.net, reader)
                except Refused:
                    return None
            elif reader.op_type in CLAMPS | MOVES and not reader.domain and reader.input(0) == name:
                quants = [self._quant_after(out) for out in reader.outputs if out]
                if any(quant is None or quant != quants[0] for quant in quants):
                    return None
                quant = quants[0]
            else:
                return None
            if quant is None or (found is not None and quant != found):
                return None
            found = quant
        return found

    def _quant_after(self, name: str) -> Quant | None:
        try:
            return self.target(name)
        except Refused:
            return None

    def put(self, name: str, tensor: Tensor, form: Form) -> None:
        """Say that a value of the network is this tensor, in this form."""
        shape = self.shape(name)
        if form_of_shape(form, shape) != tensor.shape:
            raise Refused(f"its result {list(shape)} is no map of {tensor.shape}")
        self.views[name] = View.of(tensor, shape, form)

    def result(self, node: Node, form: Form, quant: Quant | None = None) -> Tensor:
        """Make the tensor of a node's first output, with its target's quantization, and say where it is."""
        name = node.outputs[0]
        quant = quant if quant is not None else self.target(name)
        shape = self.shape(name)
        sizes = form_of_shape(form, shape)
        if sizes is None:
            raise Refused(f"its result {list(shape)} is no map of one frame")
        y = self.tensor(name, sizes, quant)
        self.put(name, y, form)
        return y

    def constant(self, name: str) -> npt.NDArray[np.generic]:
        """Return the numbers of a constant, or of what a quantized constant means."""
        if name in self.stored:
            return self.stored[name].floats()
        found = self.net.constant(name)
        if found is None:
            raise Refused("a parameter that is computed while it runs")
        return found

    def constant_or_none(self, name: str) -> npt.NDArray[np.generic] | None:
        """Return the numbers of a constant, None where the value is none."""
        return self.constant(name) if name in self.stored or self.net.is_constant(name) else None

    def ints(self, name: str) -> list[int]:
        """Return a constant list of integers."""
        return [int(value) for value in np.asarray(self.constant(name)).reshape(-1)]


Translator = Callable[[Context, Node], None]
