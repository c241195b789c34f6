#!/bin/sh
# Softmax of ONNX before opset 13 runs over all axes from `axis` on; three of four engines sum over that axis alone.
#
# Versions: onnx 1.23.2 (its ReferenceEvaluator), onnxruntime 1.32.0, openvino 2026.4.1, opencv-python-headless
# 5.0.0.93, numpy 2.4.6; Linux x86-64, Python 3.11.
# Up to opset 12, the specification flattens the input to two dimensions at `axis` (default 1) and normalises the rows
# of that; from 13 on it normalises along the one axis (default -1). For (n, classes) both are the same; a map of
# activations (n, c, h, w) differs: the old rule makes one distribution of an image, the new one makes one of every
# pixel. Guess: an engine that accepts a model of an old opset follows that opset. Seen, on (2, 3, 4, 5) with axis 1
# ("right" up to opset 12 when an image sums to 1, wrong when each of its pixels does):
#   opset           7 and 9   11 and 12   13
#   onnxruntime     right     right       right
#   OpenVINO        right     wrong       right
#   OpenCV          wrong     wrong       right
#   ONNX reference  wrong     wrong       right
# No error, no warning, and the project's own reference is no referee. The script fails if any of this changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 \
    opencv-python-headless==5.0.0.93 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

shape = [2, 3, 4, 5]
x = np.random.default_rng(0).normal(size=shape).astype(np.float32)


def softmax_model(opset):
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"], axis=1)], "softmax", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def opencv(model):
    network = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    network.setInput(x)
    return network.forward()


engines = {
    "onnxruntime": lambda model: onnxruntime.InferenceSession(model).run(None, {"x": x})[0],
    "OpenVINO": lambda model: openvino.Core().compile_model(openvino.Core().read_model(model), "CPU")({"x": x})[0],
    "OpenCV": opencv,
    "ONNX reference": lambda model: ReferenceEvaluator(onnx.load_from_string(model)).run(None, {"x": x})[0],
}
wrong = {("OpenVINO", 11), ("OpenVINO", 12)} | {
    (name, opset) for name in ("OpenCV", "ONNX reference") for opset in (7, 9, 11, 12)
}
exponentials = np.exp(x.astype(np.float64))
for opset in (7, 9, 11, 12, 13):
    right = exponentials / exponentials.sum(axis=(1, 2, 3) if opset < 13 else 1, keepdims=True)
    for name, run in engines.items():
        y = run(softmax_model(opset))
        same = np.allclose(y, right, atol=1e-3)
        print(f"opset {opset}, {name}: {'right' if same else 'wrong'}, an image sums to {y[0].sum():.2f}")
        assert same != ((name, opset) in wrong), f"{name} behaves differently now"
PYTHON
