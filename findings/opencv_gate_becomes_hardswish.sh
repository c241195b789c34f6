#!/bin/sh
# OpenCV replaces the gate of squeeze-and-excitation, x * HardSigmoid(q), by HardSwish(q): x is lost.
#
# Versions: opencv-python-headless 5.0.0.93 (both engines; 4.14.0.94 does the same), onnx 1.23.2, onnxruntime 1.32.0,
# numpy 2.4.6; Python 3.11.
# HardSwish(q) is q * HardSigmoid(q) with alpha 1/6 and beta 1/2, and OpenCV fuses the two nodes. The channel gates of
# MobileNetV3 and its relatives multiply by a HardSigmoid too, but of something else: x * HardSigmoid(q), with q made of
# the means of x. Guess: the fusion looks whether both factors come from q. Seen: it does not. For x of (1, 4, 6, 6) the
# output is HardSwish(q) of (1, 4, 1, 1), not even the declared shape; the next convolution takes it, and a classifier
# ends with logits of the right shape and wrong values. No error, no warning. With alpha 0.2 (ONNX's default), with beta
# not written, or with Sigmoid, all is right. So timm's mobilenetv3_small_050 from torch.onnx.export of torch 2.13
# (random weights, 20 images) gets the network's own top class in 1 of 20 images in OpenCV; exported with dynamo=False,
# which does not write beta, in 20. The fusion of Mish, by its tanh of Softplus, does not look either. The script fails
# if that changes.
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

rng = np.random.default_rng(0)
x = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
mixing = rng.normal(size=(4, 4, 1, 1)).astype(np.float32)
classes = rng.normal(size=(5, 4, 1, 1)).astype(np.float32)


def gated_model(gate, classify):
    """Squeeze (means), excite (1 x 1 convolution and gate), and a classifier on the means if so wished."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Conv", ["mean", "mixing"], ["q"]),
        *gate,
        helper.make_node("Mul", ["x", "gate"], ["gated"]),
    ]
    constants = [helper.make_tensor("mixing", TensorProto.FLOAT, mixing.shape, mixing.ravel())]
    output = helper.make_tensor_value_info("gated", TensorProto.FLOAT, x.shape)
    if classify:
        nodes += [
            helper.make_node("Conv", ["gated", "classes"], ["map"]),
            helper.make_node("GlobalAveragePool", ["map"], ["logits"]),
        ]
        output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 5, 1, 1])
        constants.append(helper.make_tensor("classes", TensorProto.FLOAT, classes.shape, classes.ravel()))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)]
    graph = helper.make_graph(nodes, "squeeze and excite", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def opencv(model, engine):
    network = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8), engine)
    network.setInput(x)
    return network.forward()


q = np.einsum("oi,nihw->nohw", mixing[..., 0, 0], x.mean(axis=(2, 3), keepdims=True))
gates = {
    "HardSigmoid, alpha 1/6": (
        [helper.make_node("HardSigmoid", ["q"], ["gate"], alpha=1 / 6, beta=0.5)],
        q * np.clip(q / 6 + 0.5, 0, 1),
    ),
    "tanh of Softplus": (
        [helper.make_node("Softplus", ["q"], ["softplus"]), helper.make_node("Tanh", ["softplus"], ["gate"])],
        q * np.tanh(np.log1p(np.exp(q))),
    ),
    "HardSigmoid, beta not written": ([helper.make_node("HardSigmoid", ["q"], ["gate"], alpha=1 / 6)], None),
    "HardSigmoid, alpha 0.2": ([helper.make_node("HardSigmoid", ["q"], ["gate"], alpha=0.2, beta=0.5)], None),
    "Sigmoid": ([helper.make_node("Sigmoid", ["q"], ["gate"])], None),
}
for name, (gate, fused) in gates.items():
    for classify in (False, True):
        model = gated_model(gate, classify)
        right = onnxruntime.InferenceSession(model).run(None, {"x": x})[0]
        for engine in (cv2.dnn.ENGINE_CLASSIC, cv2.dnn.ENGINE_NEW):
            y = opencv(model, engine)
            same = y.shape == right.shape and np.allclose(y, right, atol=1e-4)
            print(f"{name}: {right.shape} in onnxruntime, {y.shape} in OpenCV, {'right' if same else 'wrong'}")
            if classify:
                print("   ", right.ravel().round(2), y.ravel().round(2))
            elif fused is not None:
                assert np.allclose(y, fused, atol=1e-4), "OpenCV behaves differently now"
            assert same == (fused is None), "OpenCV behaves differently now"
PYTHON
