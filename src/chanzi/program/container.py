"""The .chz file: a `CompiledModel` as named sections, and back, trusting nothing it reads.

``meta.json`` says what there is and in which sections it lies; ``chip.toml`` is the chip; a code section is an array of
256-byte instructions (`chanzi.isa.fields`), an image section the raw first bytes of DRAM, a host section a serialized
ONNX model. The manual's page on .chz has every name and offset.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from chanzi.chip.load import dump_chip, parse_chip
from chanzi.errors import ChipError, ProgramError
from chanzi.graph.ops import Quant
from chanzi.graph.plan import Placement
from chanzi.isa.instruction import decode, encode
from chanzi.program.check import check_model, expand_runs
from chanzi.program.model import Binding, ChipStep, CompiledModel, HostStep, Step, TensorInfo
from chanzi.program.program import Buffer, CoreCode, Layer, MapLayout, Options, Port, Segment, StemLayout
from chanzi.program.sections import MAGIC, read_sections, unpack, write_sections

Sections = Mapping[str, bytes | memoryview]

_MAX_META_BYTES = 1 << 26
_MAX_CODE_BYTES = 1 << 30
_HINT = "the file was not written by Chanzi; compile the network again"


class _MapMeta(msgspec.Struct, frozen=True, kw_only=True, tag="map", tag_field="kind", forbid_unknown_fields=True):
    line_bytes: int
    pixel_bytes: int
    channel_runs: tuple[tuple[int, int], ...]
    """(first offset, count) of consecutive channels, so that a thousand channels take one pair."""


class _StemMeta(msgspec.Struct, frozen=True, kw_only=True, tag="stem", tag_field="kind", forbid_unknown_fields=True):
    lines: int
    groups: int
    line_bytes: int
    pixel_bytes: int
    kernel_y: int
    stride_y: int
    stride_x: int
    pad_top: int
    pad_left: int


class _PortMeta(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    shape: tuple[int, int, int]
    quant: Quant
    addresses: tuple[int, ...]
    layout: _MapMeta | _StemMeta


class _ChipMeta(msgspec.Struct, frozen=True, kw_only=True, tag="chip", tag_field="on", forbid_unknown_fields=True):
    name: str
    cores: int
    frames: int
    dram_bytes: int
    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]
    input_ports: tuple[_PortMeta, ...]
    output_ports: tuple[_PortMeta, ...]
    layers: tuple[Layer, ...]
    buffers: tuple[Buffer, ...]


class _HostMeta(msgspec.Struct, frozen=True, kw_only=True, tag="host", tag_field="on", forbid_unknown_fields=True):
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: tuple[str, ...]
    reason: str
    macs: int


class _Meta(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["chz 1"]
    name: str
    source_sha256: str
    quantization: dict[str, str]
    options: Options
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    steps: tuple[_ChipMeta | _HostMeta, ...]
    placement: tuple[Placement, ...]


def write(path: "str | Path", model: CompiledModel) -> int:
    """Write `model` to `path` (a temporary file renamed when it is whole) and return the file's size.

    Raises
    ------
    ProgramError
        The file cannot be written.
    """
    return write_sections(Path(path), to_sections(model))


def read(path: "str | Path", *, mmap: bool = True) -> CompiledModel:
    """Return the model in the file at `path`; with `mmap`, images and host models stay in the file until used.

    Hashes and the structure are checked; whether the instructions are legal for the chip is what
    `chanzi.isa.legality` says.

    Raises
    ------
    ProgramError
        The file cannot be read, is damaged, is of another version, or does not make sense.
    """
    return from_sections(read_sections(Path(path), map_file=mmap), origin=str(path))


def parse(data: bytes | memoryview, *, origin: str = "program") -> CompiledModel:
    """Return the model of a whole .chz file in memory. Raises `ProgramError`."""
    return from_sections(unpack(memoryview(data), origin=origin), origin=origin)


def is_program(head: bytes) -> bool:
    """Return whether a file that begins with these (at least 8) bytes is a .chz."""
    return head[: len(MAGIC)] == MAGIC


def to_sections(model: CompiledModel) -> dict[str, bytes | memoryview]:
    """Return the sections of `model`, by name, in the order in which they are written."""
    sections: dict[str, bytes | memoryview] = {"meta.json": b"", "chip.toml": dump_chip(model.chip).encode()}
    steps: list[_ChipMeta | _HostMeta] = []
    for i, step in enumerate(model.steps):
        if isinstance(step, HostStep):
            sections[f"s{i}/host.onnx"] = step.model
            steps.append(
                _HostMeta(
                    name=step.name,
                    inputs=step.inputs,
                    outputs=step.outputs,
                    ops=step.ops,
                    reason=step.reason,
                    macs=step.macs,
                )
            )
            continue
        segment = step.segment
        for c, core in enumerate(segment.cores):
            sections[f"s{i}/core{c}/setup"] = encode(core.setup)
            sections[f"s{i}/core{c}/frame"] = encode(core.frame)
        sections[f"s{i}/image"] = np.ascontiguousarray(segment.image).data.cast("B")
        steps.append(_chip_meta(step))
    for name, data in model.attachments.items():
        sections[f"a/{name}"] = data
    meta = _Meta(
        format="chz 1",
        name=model.name,
        source_sha256=model.source_sha256,
        quantization=dict(model.quantization),
        options=model.options,
        inputs=model.inputs,
        outputs=model.outputs,
        steps=tuple(steps),
        placement=model.placement,
    )
    sections["meta.json"] = msgspec.json.encode(meta)
    return sections


def _chip_meta(step: ChipStep) -> _ChipMeta:
    segment = step.segment
    return _ChipMeta(
        name=segment.name,
        cores=len(segment.cores),
        frames=segment.frames,
        dram_bytes=segment.dram_bytes,
        inputs=step.inputs,
        outputs=step.outputs,
        input_ports=tuple(_port_meta(port) for port in segment.inputs),
        output_ports=tuple(_port_meta(port) for port in segment.outputs),
        layers=segment.layers,
        buffers=segment.buffers,
    )


def _port_meta(port: Port) -> _PortMeta:
    layout = port.layout
    meta: _MapMeta | _StemMeta
    if isinstance(layout, StemLayout):
        meta = _StemMeta(**{name: int(getattr(layout, name)) for name in _StemMeta.__struct_fields__})
    else:
        meta = _MapMeta(
            line_bytes=int(layout.line_bytes),
            pixel_bytes=int(layout.pixel_bytes),
            channel_runs=_runs(layout.channel_offset),
        )
    shape = (int(port.shape[0]), int(port.shape[1]), int(port.shape[2]))
    addresses = tuple(int(address) for address in port.addresses)
    return _PortMeta(name=port.name, shape=shape, quant=port.quant, addresses=addresses, layout=meta)


def _runs(offsets: np.ndarray) -> tuple[tuple[int, int], ...]:
    cuts = np.flatnonzero(np.diff(offsets) != 1) + 1
    starts = [0, *cuts.tolist()]
    ends = [*cuts.tolist(), len(offsets)]
    return tuple((int(offsets[start]), end - start) for start, end in zip(starts, ends, strict=True))


def from_sections(sections: Sections, *, origin: str) -> CompiledModel:
    """Return the model that `sections` hold. Raises `ProgramError`."""
    taken: set[str] = set()

    def take(name: str, limit: int | None = None) -> memoryview:
        if name not in sections:
            raise ProgramError(f"{origin}: section '{name}' is missing", hint=_HINT)
        view = memoryview(sections[name])
        if limit is not None and len(view) > limit:
            raise ProgramError(f"{origin}: section '{name}' is larger than {limit} bytes", hint=_HINT)
        taken.add(name)
        return view

    meta = _decode_meta(take("meta.json", _MAX_META_BYTES), origin)
    try:
        chip = parse_chip(bytes(take("chip.toml", 1 << 20)).decode("utf-8"), origin=f"{origin}: chip.toml")
    except UnicodeDecodeError:
        raise ProgramError(f"{origin}: chip.toml is not UTF-8 text", hint=_HINT) from None
    except ChipError as error:
        raise ProgramError(str(error)) from None
    steps: list[Step] = []
    for i, step in enumerate(meta.steps):
        if isinstance(step, _HostMeta):
            steps.append(
                HostStep(
                    name=step.name,
                    model=take(f"s{i}/host.onnx"),
                    inputs=step.inputs,
                    outputs=step.outputs,
                    ops=step.ops,
                    reason=step.reason,
                    macs=step.macs,
                )
            )
            continue
        if not 1 <= step.cores <= chip.cores:
            raise ProgramError(f"{origin}: step {i} uses {step.cores} cores, the chip has {chip.cores}", hint=_HINT)
        codes = []
        for c in range(step.cores):
            setup, frame = (take(f"s{i}/core{c}/{part}", _MAX_CODE_BYTES) for part in ("setup", "frame"))
            codes.append(CoreCode(setup=_instructions(setup, origin), frame=_instructions(frame, origin)))
        image = np.frombuffer(take(f"s{i}/image"), np.uint8)
        steps.append(_chip_step(step, tuple(codes), image, origin))
    attachments = {name.removeprefix("a/"): take(name) for name in sections if name.startswith("a/")}
    if extra := [name for name in sections if name not in taken]:
        raise ProgramError(f"{origin}: section '{extra[0]}' belongs to nothing", hint=_HINT)
    model = CompiledModel(
        name=meta.name,
        chip=chip,
        options=meta.options,
        inputs=meta.inputs,
        outputs=meta.outputs,
        steps=tuple(steps),
        source_sha256=meta.source_sha256,
        quantization=meta.quantization,
        placement=meta.placement,
        attachments=attachments,
    )
    check_model(model, origin)
    return model


def _decode_meta(view: memoryview, origin: str) -> _Meta:
    try:
        return msgspec.json.decode(view, type=_Meta)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        text = " ".join(str(error).split())
        shown = "".join(c if c.isprintable() else "?" for c in text)[:160]
        raise ProgramError(f"{origin}: meta.json: {shown}", hint=_HINT) from None


def _instructions(code: memoryview, origin: str) -> tuple:
    try:
        return tuple(decode(code))
    except ProgramError as error:
        raise ProgramError(f"{origin}: {error}") from None


def _chip_step(meta: _ChipMeta, cores: tuple[CoreCode, ...], image: np.ndarray, origin: str) -> ChipStep:
    segment = Segment(
        name=meta.name,
        cores=cores,
        image=image,
        dram_bytes=meta.dram_bytes,
        inputs=tuple(_port(port, origin) for port in meta.input_ports),
        outputs=tuple(_port(port, origin) for port in meta.output_ports),
        layers=meta.layers,
        buffers=meta.buffers,
        frames=meta.frames,
    )
    return ChipStep(segment=segment, inputs=meta.inputs, outputs=meta.outputs)


def _port(meta: _PortMeta, origin: str) -> Port:
    layout: MapLayout | StemLayout
    if isinstance(meta.layout, _StemMeta):
        layout = StemLayout(**{name: getattr(meta.layout, name) for name in _StemMeta.__struct_fields__})
    else:
        offsets = expand_runs(meta.layout.channel_runs, meta.shape[2], origin)
        layout = MapLayout(
            line_bytes=meta.layout.line_bytes, pixel_bytes=meta.layout.pixel_bytes, channel_offset=offsets
        )
    return Port(name=meta.name, shape=meta.shape, quant=meta.quant, addresses=meta.addresses, layout=layout)
