"""From a model and a chip to a `CompiledModel`: read, quantize, partition, compile, and keep for the next time."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from chanzi.chip import DEFAULT_CHIP, Chip, dump_chip, load_chip
from chanzi.errors import ModelError, did_you_mean
from chanzi.graph.plan import Boundary, HostPiece, Value
from chanzi.program.model import Binding, ChipStep, CompiledModel, HostStep, Step, TensorInfo
from chanzi.program.program import Options
from chanzi.runtime import cache
from chanzi.runtime.source import Source, read_source

Mode = Literal["single", "latency", "throughput"]
Scheme = Literal["u8s8", "s8s8", "none"]
Method = Literal["minmax", "percentile", "entropy"]
Feeds = Iterable[Mapping[str, Any]]
Calibration = str | os.PathLike[str] | Feeds

JUDGE = "judge.onnx"
"""The attachment that holds the QDQ network: under ONNX Runtime it says what every value should be."""

CHOICES = {
    "mode": ("single", "latency", "throughput"),
    "scheme": ("u8s8", "s8s8", "none"),
    "method": ("minmax", "percentile", "entropy"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every choice of a compilation.

    Parameters
    ----------
    chip : Chip
    mode : {'single', 'latency', 'throughput'}
        One core; a frame split over all cores; a frame of its own for each core.
    scheme : {'u8s8', 's8s8', 'none'}
        Types of activations and weights when a float network is quantized; 'none' leaves what is float on the host.
    method : {'minmax', 'percentile', 'entropy'}
        How ranges are chosen from what calibration sees.
    resident : bool
        Keep weights in the scratchpad between frames where they fit.
    """

    chip: Chip
    mode: Mode = "single"
    scheme: Scheme = "u8s8"
    method: Method = "minmax"
    resident: bool = True

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise ModelError(f"{name} is '{value}'", hint=did_you_mean(str(value), known))


def compile(  # noqa: A001 - the verb is the right word, and it is the package's, not a builtin's place
    model: "str | Path | bytes | Any",
    chip: "Chip | str | Path" = DEFAULT_CHIP,
    *,
    calibration: Calibration | None = None,
    mode: Mode = "single",
    scheme: Scheme = "u8s8",
    method: Method = "minmax",
    resident: bool = True,
    dump_passes: "str | Path | None" = None,
) -> CompiledModel:
    """Compile an ONNX network for a chip.

    Parameters
    ----------
    model
        Path, bytes or onnx.ModelProto of a float or quantized (QDQ, QOperator) network.
    chip
        A `Chip`, a preset's name, or the path of a TOML file.
    calibration
        For float networks: a folder of photos, an .npz, or an iterable of feeds (dicts from input name to array).
    mode, scheme, method, resident
        See `Recipe`.
    dump_passes
        A folder to write every stage of the compiler to, readable.

    Raises
    ------
    ChanziError
        Names what is wrong and what to do about it.
    """
    recipe = Recipe(chip=load_chip(chip), mode=mode, scheme=scheme, method=method, resident=resident)
    dump_dir = Path(dump_passes) if dump_passes is not None else None
    return build(read_source(model), recipe, calibration=calibration, dump_dir=dump_dir)


def build(
    source: Source, recipe: Recipe, *, calibration: Calibration | None = None, dump_dir: Path | None = None
) -> CompiledModel:
    """Return the program of `source`, from the cache where it has been compiled before.

    Raises
    ------
    ModelError
        Also where the network is float and there is nothing to calibrate it with.
    """
    if source.is_program:
        raise ModelError(f"'{source.name}' is a program already", hint="chanzi.Session runs it; compile takes ONNX")
    quantized = source.quantized
    if quantized or recipe.scheme == "none":
        calibration = None
    elif calibration is None:
        raise ModelError(
            f"'{source.name}' is a float network and there is nothing to calibrate it with",
            hint="give a folder of photos, an .npz, or an iterable of feeds; or a QDQ network",
        )
    feeds, stamp = _calibration(calibration)
    key = ""
    if cache.enabled() and dump_dir is None and source.folder is None:
        key = cache.key_of({"model": source.data, "recipe": _stamp(recipe), "calibration": stamp})
        if (known := cache.lookup(key)) is not None:
            return known
    model = _compile(source, recipe, feeds, dump_dir)
    if key:
        cache.store(key, model)
    return model


def _stamp(recipe: Recipe) -> bytes:
    choices = {name: getattr(recipe, name) for name in ("mode", "scheme", "method", "resident")}
    return msgspec.json.encode(choices) + dump_chip(recipe.chip).encode()


def _calibration(given: Calibration | None) -> tuple[Path | list[dict[str, Any]] | None, bytes]:
    """Return what the frontend takes and what tells it from another in the cache's key."""
    if given is None:
        return None, b""
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        if not path.exists():
            raise ModelError(f"no calibration data at {path}", hint="give a folder of photos or an .npz")
        return path, cache.digest_files([path])
    feeds = [dict(feed) for feed in given]
    if not feeds:
        raise ModelError("the calibration data is empty", hint="give at least one feed")
    return feeds, cache.digest_feeds(feeds)


def options_of(recipe: Recipe) -> Options:
    """Return the compiler's options of `recipe`."""
    return Options(mode=recipe.mode, resident=recipe.resident)


def _compile(
    source: Source, recipe: Recipe, calibration: Path | list[dict[str, Any]] | None, dump_dir: Path | None
) -> CompiledModel:
    from chanzi.compiler import compile_graph
    from chanzi.cost.bound import ATTACHMENT, bound_of, encode
    from chanzi.frontend import load

    partition = load(
        source.path if source.folder is not None else source.data,
        name=source.name,
        calibration=calibration,
        scheme=recipe.scheme,
        method=recipe.method,
    )
    options = options_of(recipe)
    steps: list[Step] = []
    bounds = {}
    for piece in partition.pieces:
        if isinstance(piece, HostPiece):
            steps.append(_host_step(piece))
            continue
        folder = None if dump_dir is None else dump_dir / piece.graph.name
        compiled = compile_graph(piece.graph, recipe.chip, options, dump_dir=folder)
        segment = compiled.segment
        bounds[segment.name] = bound_of(compiled, piece.graph)
        steps.append(ChipStep(segment=segment, inputs=_bindings(piece.inputs), outputs=_bindings(piece.outputs)))
    _check_cut(partition.name, [value.name for value in partition.inputs], steps)
    return CompiledModel(
        name=partition.name,
        chip=recipe.chip,
        options=options,
        inputs=tuple(_info(value) for value in partition.inputs),
        outputs=tuple(_info(value) for value in partition.outputs),
        steps=tuple(steps),
        source_sha256=source.sha256,
        quantization=partition.quantization,
        placement=partition.report,
        attachments={JUDGE: partition.qdq_model, ATTACHMENT: encode(bounds)},
    )


def _check_cut(name: str, inputs: Iterable[str], steps: Iterable[Step]) -> None:
    """Refuse a network whose pieces do not follow from one another: only a damaged one is cut so."""
    known = set(inputs)
    for step in steps:
        reads = step.inputs if isinstance(step, HostStep) else [binding.tensor for binding in step.inputs]
        writes = step.outputs if isinstance(step, HostStep) else [binding.tensor for binding in step.outputs]
        missing = next((value for value in reads if value not in known), None)
        if missing is not None:
            raise ModelError(f"'{name}': nothing makes the value '{missing}'", hint="is the file damaged?")
        known.update(writes)


def _host_step(piece: HostPiece) -> HostStep:
    return HostStep(
        name=piece.name,
        model=piece.model,
        inputs=piece.inputs,
        outputs=piece.outputs,
        ops=piece.ops,
        reason=piece.reason,
        macs=piece.macs,
    )


def _bindings(boundaries: Iterable[Boundary]) -> tuple[Binding, ...]:
    return tuple(
        Binding(tensor=b.value, port=b.tensor, shape=b.shape, perm=b.perm, quantized=b.quantized) for b in boundaries
    )


def _info(value: Value) -> TensorInfo:
    return TensorInfo(name=value.name, type=value.type, shape=value.shape, frame=value.frame)
