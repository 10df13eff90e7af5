"""Blocks that a design has many equal copies of: one Verilog module, many instances.

Amaranth elaborates every submodule anew. A `Shared` block is elaborated once for the whole design where somebody
collects such blocks (`chanzi.flow.verilog`); else, in Amaranth's own simulator, it is an ordinary submodule.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from amaranth import ClockSignal, Elaboratable, Instance, Module, ResetSignal
from amaranth.lib.wiring import Component, In

_COLLECTED: ContextVar[dict[str, Component] | None] = ContextVar("_COLLECTED", default=None)


@contextmanager
def collecting() -> Iterator[dict[str, Component]]:
    """Yield the table of shared blocks, module name -> block, which elaboration within fills."""
    found: dict[str, Component] = {}
    token = _COLLECTED.set(found)
    try:
        yield found
    finally:
        _COLLECTED.reset(token)


class Shared(Component):
    """`block` as an instance of the module `name`, with the block's ports.

    Parameters
    ----------
    name : str
        Says everything that its logic depends on: blocks of one name are one module.
    block : Component
        Its only clock domain is sync.
    """

    def __init__(self, name: str, block: Component) -> None:
        self.name, self.block = name, block
        super().__init__(block.signature)

    def elaborate(self, platform: object) -> Module:
        """Return the instance, or the block itself."""
        del platform
        m, found = Module(), _COLLECTED.get()
        if found is None:
            m.submodules.block = self.block
            inside = self.block.signature.flatten(self.block)
            for (_, member, outer), (_, _, inner) in zip(self.signature.flatten(self), inside, strict=True):
                m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
            return m
        if found.setdefault(self.name, self.block) is not self.block:
            for unused in (self.block, *vars(self.block).values()):
                if isinstance(unused, Elaboratable):  # no warning that it and its parts are in no design
                    unused._MustUse__used = True
        ports: dict[str, Any] = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        for path, member, value in self.signature.flatten(self):
            ports[f"{'i' if member.flow is In else 'o'}_{'__'.join(map(str, path))}"] = value
        m.submodules.block = Instance(self.name, **ports)
        return m
