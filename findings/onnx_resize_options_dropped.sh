#!/bin/sh
# An ONNX model that shrinks its input with antialias=1, as PyTorch exports it, is run without by OpenVINO and OpenCV.
#
# Versions: onnx 1.23.2, onnxruntime 1.32.0, openvino 2026.4.1, opencv-python-headless 5.0.0.93 (its classic and its new
# engine), pillow 13.0.0, numpy 2.4.6; Linux x86-64, Python 3.11.
# Since opset 18, Resize has `antialias` and `keep_aspect_ratio_policy`; torch.onnx.export of torch 2.13 writes
# antialias=1 for interpolate(..., antialias=True), so a network with its own resizing carries it. Guess: an engine
# computes it or refuses the model. Seen, for noise of 96 x 128 shrunk to 32 x 48, mean difference from Pillow in greys:
#   onnxruntime    cubic 0.0  linear 0.3 (edges only)
#   OpenVINO       cubic 49   linear 43: bit for bit what antialias=0 gives
#   OpenCV         cubic 49   linear 43: the same
# and "not_larger" within 3 x 3 makes 2 x 3 of 9 x 12 in onnxruntime, 3 x 3 (squeezed) in OpenVINO. No error, no
# warning. openvino.convert_model from the torch module itself keeps the antialiasing. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 \
    opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper
from PIL import Image


def resize_model(shape, size, **attributes):
    """A model of one Resize; the shape of the output is left to the engine."""
    node = helper.make_node("Resize", ["x", "", "", "size"], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["images", "channels", "height", "width"])],
        [helper.make_tensor("size", TensorProto.INT64, [len(size)], size)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def run_onnxruntime(model, x):
    return onnxruntime.InferenceSession(model).run(None, {"x": x})[0]


def run_openvino(model, x):
    return openvino.Core().compile_model(openvino.Core().read_model(model), "CPU")({"x": x})[0]


def run_opencv(engine):
    def run(model, x):
        network = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8), engine)
        network.setInput(x)
        return network.forward()

    return run


engines = {
    "onnxruntime": run_onnxruntime,
    "OpenVINO": run_openvino,
    "OpenCV, classic engine": run_opencv(cv2.dnn.ENGINE_CLASSIC),
    "OpenCV, new engine": run_opencv(cv2.dnn.ENGINE_NEW),
}
noise = np.random.default_rng(0).uniform(0, 255, (96, 128)).astype(np.float32)
kinds = {
    "cubic": (Image.Resampling.BICUBIC, {"cubic_coeff_a": -0.5, "exclude_outside": 1}),
    "linear": (Image.Resampling.BILINEAR, {}),
}
for mode, (resampling, attributes) in kinds.items():
    right = np.asarray(Image.fromarray(noise).resize((48, 32), resampling))
    for name, run in engines.items():
        plain, smooth = (
            run(
                resize_model([1, 1, 96, 128], [1, 1, 32, 48], mode=mode, antialias=antialias, **attributes),
                noise[None, None],
            )[0, 0]
            for antialias in (0, 1)
        )
        off = np.abs(smooth - right).mean()
        print(f"{mode}, {name}: with antialias=1, {off:.1f} grey values from Pillow on average")
        dropped = np.array_equal(plain, smooth)
        assert dropped == (name != "onnxruntime"), f"{name} behaves differently now"
        assert off > 40 if dropped else off < 0.5, f"{name} behaves differently now"

model = resize_model([1, 3, 9, 12], [3, 3], mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger")
for name, expected in (("onnxruntime", (1, 3, 2, 3)), ("OpenVINO", (1, 3, 3, 3))):
    shape = engines[name](model, np.zeros((1, 3, 9, 12), np.float32)).shape
    print(f"9 x 12 into 3 x 3, not larger, {name}: {shape}")
    assert shape == expected, f"{name} behaves differently now"
PYTHON
