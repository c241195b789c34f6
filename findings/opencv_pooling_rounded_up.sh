#!/bin/sh
# ONNX pooling with ceil_mode=1, as PyTorch exports it, gives other averages at the edges in OpenCV, or another size.
#
# Versions: opencv-python-headless 5.0.0.93 (both engines), onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6; Python 3.11.
# AvgPool2d(2, 2, ceil_mode=True) of PyTorch becomes AveragePool with ceil_mode=1 and count_include_pad=1; PyTorch
# divides a window that hangs over the edge by what it covers. Guess: every engine gives PyTorch's values. onnxruntime
# and OpenVINO do. Seen in OpenCV, for 7 x 9 values, windows of 2 x 2, steps of 2:
#   average, count_include_pad=1       divided by 4 at the edge: half the right value there, a quarter in the corner
#   average, count_include_pad=0       right
#   average or maximum, padding of 1   5 x 6 values for 4 x 5: windows that begin in the padding behind the edge count
# In the last case the specification's formula and onnx's own inference of shapes say 5 x 6 too, and PyTorch, which
# writes the file, says 4 x 5. No error, no warning from OpenCV; the next layers take what comes. The script fails if
# any of this changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

x = np.random.default_rng(0).uniform(1, 2, (1, 1, 7, 9)).astype(np.float32)


def pooling_model(kind, **attributes):
    node = helper.make_node(kind, ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, **attributes)
    graph = helper.make_graph(
        [node],
        "pooling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "height", "width"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def opencv(model, engine):
    network = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8), engine)
    network.setInput(x)
    return network.forward()


cases = {
    ("AveragePool", (("count_include_pad", 1),)): "half at the edge",
    ("AveragePool", (("count_include_pad", 0),)): "right",
    ("AveragePool", (("count_include_pad", 0), ("pads", (1, 1, 1, 1)))): "one more",
    ("MaxPool", (("pads", (1, 1, 1, 1)),)): "one more",
}
for (kind, attributes), expected in cases.items():
    model = pooling_model(kind, **dict(attributes))
    right = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    inferred = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape.dim
    for engine in (cv2.dnn.ENGINE_CLASSIC, cv2.dnn.ENGINE_NEW):
        y = opencv(model, engine)
        if y.shape != right.shape:
            more = tuple(np.subtract(y.shape, right.shape)) == (0, 0, 1, 1)
            as_inferred = [side.dim_value for side in inferred] == list(y.shape)
            seen = "one more" if more and as_inferred else "another size"
        elif np.allclose(y, right, atol=1e-4):
            seen = "right"
        else:
            weight = np.ones((4, 5))
            weight[-1] /= 2
            weight[:, -1] /= 2
            seen = "half at the edge" if np.allclose(y, right * weight, atol=1e-4) else "otherwise"
        print(kind, dict(attributes), f"{right.shape[2:]}, OpenCV {y.shape[2:]}: {seen}")
        assert seen == expected, "OpenCV behaves differently now"
PYTHON
