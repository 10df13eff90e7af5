"""Write one network as an int8 .tflite file; runs inside Vela's environment, which has the schema's classes.

Vela reads int8 TensorFlow Lite and nothing makes such a file without TensorFlow, so this writes the flatbuffer itself:
seeded weights with a scale per output channel, SAME padding, the classifier as a 1x1 convolution.
"""

import argparse
import json
from pathlib import Path

import flatbuffers
import numpy as np
from ethosu.vela.tflite import (
    ActivationFunctionType,
    AddOptions,
    Buffer,
    BuiltinOperator,
    BuiltinOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    Model,
    Operator,
    OperatorCode,
    Padding,
    Pool2DOptions,
    QuantizationParameters,
    SubGraph,
    Tensor,
    TensorType,
)

_CODES = (
    BuiltinOperator.BuiltinOperator.CONV_2D,
    BuiltinOperator.BuiltinOperator.DEPTHWISE_CONV_2D,
    BuiltinOperator.BuiltinOperator.ADD,
    BuiltinOperator.BuiltinOperator.MAX_POOL_2D,
    BuiltinOperator.BuiltinOperator.AVERAGE_POOL_2D,
)
_CONV, _DEPTHWISE, _ADD, _MAX, _MEAN = range(5)
_ACTIVATION_SCALE = 0.05


class Writer:
    """Collects tensors, buffers and operators, then finishes the file."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1 << 20)
        self.buffers = [self._buffer(None)]
        self.tensors: list[int] = []
        self.operators: list[int] = []

    def _vector(self, items: list[int]) -> int:
        self.builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            self.builder.PrependUOffsetTRelative(item)
        return self.builder.EndVector()

    def _numbers(self, values: object, dtype: type) -> int:
        return self.builder.CreateNumpyVector(np.asarray(values, dtype=dtype))

    def _buffer(self, data: np.ndarray | None) -> int:
        vector = None if data is None else self.builder.CreateNumpyVector(np.frombuffer(data.tobytes(), np.uint8))
        Buffer.Start(self.builder)
        if vector is not None:
            Buffer.AddData(self.builder, vector)
        return Buffer.End(self.builder)

    def tensor(self, name: str, shape: object, scale: object, data: np.ndarray | None = None, axis: int = 0) -> int:
        """Add a tensor and return its index; `data` makes it constant."""
        buffer = 0
        if data is not None:
            self.buffers.append(self._buffer(data))
            buffer = len(self.buffers) - 1
        scales = np.atleast_1d(np.asarray(scale, np.float32))
        vectors = self._numbers(scales, np.float32), self._numbers(np.zeros(len(scales)), np.int64)
        QuantizationParameters.Start(self.builder)
        QuantizationParameters.AddScale(self.builder, vectors[0])
        QuantizationParameters.AddZeroPoint(self.builder, vectors[1])
        QuantizationParameters.AddQuantizedDimension(self.builder, axis)
        quantization = QuantizationParameters.End(self.builder)
        text, dims = self.builder.CreateString(name), self._numbers(shape, np.int32)
        is_bias = data is not None and data.dtype == np.int32
        Tensor.Start(self.builder)
        Tensor.AddShape(self.builder, dims)
        Tensor.AddType(self.builder, TensorType.TensorType.INT32 if is_bias else TensorType.TensorType.INT8)
        Tensor.AddBuffer(self.builder, buffer)
        Tensor.AddName(self.builder, text)
        Tensor.AddQuantization(self.builder, quantization)
        self.tensors.append(Tensor.End(self.builder))
        return len(self.tensors) - 1

    def operator(self, code: int, inputs: list[int], output: int, kind: int, options: int) -> None:
        """Add an operator whose options table was just built."""
        vectors = self._numbers(inputs, np.int32), self._numbers([output], np.int32)
        Operator.Start(self.builder)
        Operator.AddOpcodeIndex(self.builder, code)
        Operator.AddInputs(self.builder, vectors[0])
        Operator.AddOutputs(self.builder, vectors[1])
        Operator.AddBuiltinOptionsType(self.builder, kind)
        Operator.AddBuiltinOptions(self.builder, options)
        self.operators.append(Operator.End(self.builder))

    def finish(self, source: int, result: int) -> bytes:
        """Return the finished file."""
        codes = []
        for code in _CODES:
            OperatorCode.Start(self.builder)
            OperatorCode.AddDeprecatedBuiltinCode(self.builder, code)
            OperatorCode.AddBuiltinCode(self.builder, code)
            OperatorCode.AddVersion(self.builder, 3 if code in _CODES[:2] else 2)
            codes.append(OperatorCode.End(self.builder))
        parts = self._vector(self.tensors), self._vector(self.operators)
        ends = self._numbers([source], np.int32), self._numbers([result], np.int32)
        name = self.builder.CreateString("main")
        SubGraph.Start(self.builder)
        SubGraph.AddTensors(self.builder, parts[0])
        SubGraph.AddInputs(self.builder, ends[0])
        SubGraph.AddOutputs(self.builder, ends[1])
        SubGraph.AddOperators(self.builder, parts[1])
        SubGraph.AddName(self.builder, name)
        graphs = self._vector([SubGraph.End(self.builder)])
        code_vector, buffer_vector = self._vector(codes), self._vector(self.buffers)
        Model.Start(self.builder)
        Model.AddVersion(self.builder, 3)
        Model.AddOperatorCodes(self.builder, code_vector)
        Model.AddSubgraphs(self.builder, graphs)
        Model.AddBuffers(self.builder, buffer_vector)
        self.builder.Finish(Model.End(self.builder), file_identifier=b"TFL3")
        return bytes(self.builder.Output())


def _activation(act: str) -> int:
    kind = ActivationFunctionType.ActivationFunctionType
    return {"": kind.NONE, "relu": kind.RELU, "relu6": kind.RELU6}[act]


def _conv(writer: Writer, layer: dict, index: int, x: int, y: int) -> None:
    """Add a convolution or depthwise convolution with seeded, per-channel quantized weights."""
    rng = np.random.default_rng(1000 + index)
    out, inner, k = layer["out_shape"][2], layer["in_shape"][2] // layer["groups"], layer["kernel"]
    depthwise = layer["groups"] > 1
    real = rng.normal(0.0, (2.0 / (inner * k * k)) ** 0.5, (out, k, k, inner)).astype(np.float32)
    scale = np.abs(real).reshape(out, -1).max(axis=1) / 127
    weight = np.rint(real / scale[:, None, None, None]).astype(np.int8)
    if depthwise:  # [1][k][k][channels]
        weight = np.ascontiguousarray(weight.transpose(3, 1, 2, 0))
    name = layer["name"]
    w = writer.tensor(f"{name}.weight", weight.shape, scale, weight, 3 if depthwise else 0)
    bias = writer.tensor(f"{name}.bias", [out], scale * _ACTIVATION_SCALE, np.zeros(out, np.int32))
    module = DepthwiseConv2DOptions if depthwise else Conv2DOptions
    module.Start(writer.builder)
    module.AddPadding(writer.builder, Padding.Padding.SAME)
    module.AddStrideW(writer.builder, layer["stride"])
    module.AddStrideH(writer.builder, layer["stride"])
    if depthwise:
        module.AddDepthMultiplier(writer.builder, 1)
    module.AddFusedActivationFunction(writer.builder, _activation(layer["act"]))
    module.AddDilationWFactor(writer.builder, 1)
    module.AddDilationHFactor(writer.builder, 1)
    kinds = BuiltinOptions.BuiltinOptions
    kind = kinds.DepthwiseConv2DOptions if depthwise else kinds.Conv2DOptions
    writer.operator(_DEPTHWISE if depthwise else _CONV, [x, w, bias], y, kind, module.End(writer.builder))


def _add(writer: Writer, layer: dict, inputs: list[int], y: int) -> None:
    AddOptions.Start(writer.builder)
    AddOptions.AddFusedActivationFunction(writer.builder, _activation(layer["act"]))
    writer.operator(_ADD, inputs, y, BuiltinOptions.BuiltinOptions.AddOptions, AddOptions.End(writer.builder))


def _pool(writer: Writer, layer: dict, x: int, y: int) -> None:
    mean = layer["kind"] == "mean"
    size, stride = (layer["in_shape"][0], 1) if mean else (layer["kernel"], layer["stride"])
    Pool2DOptions.Start(writer.builder)
    Pool2DOptions.AddPadding(writer.builder, Padding.Padding.VALID if mean else Padding.Padding.SAME)
    Pool2DOptions.AddStrideW(writer.builder, stride)
    Pool2DOptions.AddStrideH(writer.builder, stride)
    Pool2DOptions.AddFilterWidth(writer.builder, size)
    Pool2DOptions.AddFilterHeight(writer.builder, size)
    options = Pool2DOptions.End(writer.builder)
    writer.operator(_MEAN if mean else _MAX, [x], y, BuiltinOptions.BuiltinOptions.Pool2DOptions, options)


def convert(layers: list[dict]) -> bytes:
    """Return the .tflite file of the network."""
    writer = Writer()
    index = {"input": writer.tensor("input", [1, *layers[0]["in_shape"]], _ACTIVATION_SCALE)}
    for number, layer in enumerate(layers):
        y = writer.tensor(layer["name"], [1, *layer["out_shape"]], _ACTIVATION_SCALE)
        inputs = [index[name] for name in layer["inputs"]]
        if layer["kind"] == "conv":
            _conv(writer, layer, number, inputs[0], y)
        elif layer["kind"] == "add":
            _add(writer, layer, inputs, y)
        else:
            _pool(writer, layer, inputs[0], y)
        index[layer["name"]] = y
    return writer.finish(index["input"], index[layers[-1]["name"]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path)
    parser.add_argument("result", type=Path)
    arguments = parser.parse_args()
    arguments.result.write_bytes(convert(json.loads(arguments.network.read_text("utf-8"))))
