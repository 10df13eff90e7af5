"""Chanzi's own rows: whole commands on the same layers, quantized first as a user's network would be."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import numpy as np

CHIP = "tesla-fsd-hw3"


def quantized(work: Path, network: str) -> Path:
    """Return the int8 QDQ file of the network, made once by ONNX Runtime's quantizer on two seeded images."""
    result = work / f"{network}.int8.onnx"
    if result.is_file():
        return result
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self._images = iter([{"input": rng.normal(0, 1, (1, 3, 224, 224)).astype(np.float32)} for _ in range(2)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._images, None)

    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "quant_format": QuantFormat.QDQ}
    quantize_static(str(work / f"{network}.onnx"), str(result), Reader(), per_channel=True, **kinds)
    return result


def one_core(work: Path) -> Path:
    """Return the TOML of the preset with one of its cores."""
    from chanzi.chip import dump_chip, load_chip

    chip = dataclasses.replace(load_chip(CHIP), name=f"{CHIP}-one-core", cores=1)
    path = work / "one-core.toml"
    path.write_text(dump_chip(chip), encoding="utf-8")
    return path


def rows(work: Path, network: str, timeout_s: float) -> Iterator[tuple[str, measure.Measured, dict[str, Any]]]:
    """Yield (work, cost, figures) of the command that answers what the rivals are asked: program and cycles."""
    model, chip = quantized(work, network), one_core(work)
    command = [str(Path(sys.executable).parent / "chanzi"), "compile", str(model), "-o", str(work / f"{network}.chz")]
    command += ["--chip", str(chip), "--json"]
    cold = {"CHANZI_CACHE": "0"}
    cost = measure.run(command, timeout_s=timeout_s, log=work / "chanzi.log", environment=cold)
    figures: dict[str, Any] = {}
    if cost.ok:
        report = json.loads(cost.output[cost.output.index("{") :])
        figures = {"cycles": report["cycles"], "utilization": report["utilization"]}
    yield "compile, no cache, and cycles", cost, figures
