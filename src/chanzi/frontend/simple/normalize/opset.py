"""Old opsets become 13, the first with scales for each channel in DequantizeLinear.

1. Opset 13 or newer: nothing.
2. Older: `onnx.version_converter`, with initializers listed as inputs for its sake.
Refused: where the converter knows no way for an operator, only the number is raised if every operator's meaning is the
same in both; otherwise the model is left as it is and its weights are quantized as a whole.
"""

import onnx
from onnx import version_converter

TARGET = 13
# operators whose attributes became inputs between opset 9 and 13
_CHANGED = {
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Pad",
    "Clip",
    "Upsample",
    "Resize",
    "ReduceSum",
    "Split",
    "Dropout",
    "TopK",
}


def upgrade_opset(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model at opset 13 at least."""
    version = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=TARGET)
    if version >= TARGET:
        return proto
    if not {n.op_type for n in proto.graph.node} & _CHANGED:
        fresh = onnx.ModelProto()
        fresh.CopyFrom(proto)
        for opset in fresh.opset_import:
            if opset.domain in ("", "ai.onnx"):
                opset.version = TARGET
        return fresh
    try:
        return version_converter.convert_version(proto, TARGET)
    except Exception:  # the converter raises whatever its C++ meets; the model stays as it is
        return proto
