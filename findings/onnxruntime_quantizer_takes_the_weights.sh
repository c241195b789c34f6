#!/bin/sh
# onnxruntime's static quantisation leaves the model that it was given without its weights; the dynamic one does not.
#
# Versions: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6; Linux x86-64, Python 3.11.
# `quantize_static` and `quantize_dynamic` take a path or a ModelProto. Guess: a ModelProto is read and left as it is, so
# that it can be compared with what came out, saved, or quantised again in another way. Seen, for a model of one Conv
# with 4,608 bytes of weights:
#   quantize_dynamic   the model is as before
#   quantize_static    returns as usual, and the quantised file is right; but the caller's initializer now has 0 bytes and
#                      points to a file (data_location EXTERNAL) in a temporary folder that is gone: onnx.checker and
#                      InferenceSession refuse the model that both took a moment before
# So comparing float32 with 8 bits, or trying per_channel on and off, fails or needs a copy first. The script fails if
# that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

rng = np.random.default_rng(0)


def one_convolution():
    weights = rng.normal(size=(16, 8, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1, 1, 1])],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 8, 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnxruntime.InferenceSession(model.SerializeToString())
    return model


class Images(quantization.CalibrationDataReader):
    def __init__(self):
        self.left = iter([{"x": rng.normal(size=(1, 8, 8, 8)).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.left, None)


def bytes_of_weights(model):
    return len(model.graph.initializer[0].raw_data)


model = one_convolution()
quantization.quantize_dynamic(model, "dynamic.onnx")
print("after quantize_dynamic:", bytes_of_weights(model), "bytes of weights in the caller's model")
assert bytes_of_weights(model) == 4608, "quantize_dynamic behaves differently now"

model = one_convolution()
quantization.quantize_static(model, "static.onnx", Images(), per_channel=True)
left = model.graph.initializer[0]
print("after quantize_static:", bytes_of_weights(model), "bytes, location", TensorProto.DataLocation.Name(left.data_location))
assert bytes_of_weights(model) == 0, "quantize_static leaves the weights now"
assert left.data_location == TensorProto.EXTERNAL
for name, use in {
    "onnx.checker": lambda: onnx.checker.check_model(model),
    "InferenceSession": lambda: onnxruntime.InferenceSession(model.SerializeToString()),
}.items():
    try:
        use()
    except Exception as error:
        print(f"{name}: {type(error).__name__}")
    else:
        raise AssertionError(f"{name} takes the model now")
output = onnxruntime.InferenceSession("static.onnx").run(None, {"x": np.zeros((1, 8, 8, 8), np.float32)})[0]
assert output.shape == (1, 16, 8, 8)
PYTHON
