#!/bin/sh
# onnx's version converter moves the grid of bilinear Resize and Upsample, and changes what Hardmax means.
#
# Versions: onnx 1.23.2, onnxruntime 1.32.0, openvino 2026.4.1, numpy 2.4.6; Linux x86-64, Python 3.11.
# convert_version brings an old file to a newer opset. Guess: the model computes what it did, as is true of Softmax,
# whose meaning changed in between. Seen, from opset 9 or 10 to 13, and from 11 to 13 for Hardmax; onnxruntime and
# OpenVINO agree before and after:
#   Upsample, Resize, linear, 0 10 20 30 twice as wide: 0 5 10 15 20 25 30 30 becomes 0 2.5 7.5 12.5 17.5 22.5 27.5 30
#   Resize, linear, half as wide:                       0 20                  becomes 5 25
#   Hardmax, axis 1 of (1, 2, 3): one winner an image   becomes one winner for each of three columns
# The first two had their samples at the corners of pixels (asymmetric), and get the later default, half_pixel, because
# the converter does not write coordinate_transformation_mode. Values move by up to half a pixel of the input; nearest
# stays. The result passes onnx.checker. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, version_converter


def one_node(kind, opset, x, width, scale=None, **attributes):
    """A model of one node whose output is as its input but for the width."""
    inputs, constants = ["x"], []
    if scale is not None:
        inputs = ["x", "scales"]
        constants = [helper.make_tensor("scales", TensorProto.FLOAT, [x.ndim], [1.0] * (x.ndim - 1) + [scale])]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["y"], **attributes)],
        "one node",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [*x.shape[:-1], width])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def values(model, x, tolerance=0.05):
    """What the model computes; both engines must agree."""
    data = model.SerializeToString()
    y = onnxruntime.InferenceSession(data).run(None, {"x": x})[0]
    second = openvino.compile_model(openvino.Core().read_model(data), "CPU")({"x": x})[0]
    assert np.allclose(y, second, atol=tolerance), "the engines disagree"
    return y.ravel().tolist()


row = np.array([0, 10, 20, 30], np.float32).reshape(1, 1, 1, 4)
table = np.array([[5, 1, 2], [3, 4, 0]], np.float32).reshape(1, 2, 3)
wide = ([0, 5, 10, 15, 20, 25, 30, 30], [0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30])
near = [0, 0, 10, 10, 20, 20, 30, 30]
cases = (
    ("Upsample, linear", one_node("Upsample", 9, row, 8, 2.0, mode="linear"), row, *wide),
    ("Resize, linear", one_node("Resize", 10, row, 8, 2.0, mode="linear"), row, *wide),
    ("Resize, linear, half", one_node("Resize", 10, row, 2, 0.5, mode="linear"), row, [0, 20], [5, 25]),
    ("Resize, nearest", one_node("Resize", 10, row, 8, 2.0, mode="nearest"), row, near, near),
)
for name, model, x, before, after in cases:
    converted = version_converter.convert_version(model, 13)
    onnx.checker.check_model(converted, full_check=True)
    seen = values(model, x), values(converted, x)
    print(f"{name}: {seen[0]} becomes {seen[1]}")
    assert np.allclose(seen[0], before, atol=1e-4), "onnxruntime behaves differently now"
    assert np.allclose(seen[1], after, atol=1e-4), "onnx behaves differently now"

for kind, same in (("Hardmax", False), ("Softmax", True)):
    model = one_node(kind, 11, table, 3, axis=1)
    converted = version_converter.convert_version(model, 13)
    before, after = (
        onnxruntime.InferenceSession(each.SerializeToString()).run(None, {"x": table})[0] for each in (model, converted)
    )
    print(f"{kind}: an image sums to {before.sum():.0f}, and to {after.sum():.0f} once converted")
    assert np.isclose(before.sum(), 1) and np.isclose(after.sum(), 1 if same else 3), "onnx behaves differently now"
PYTHON
