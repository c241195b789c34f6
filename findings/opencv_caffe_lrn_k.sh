#!/bin/sh
# OpenCV's reader of Caffe ignores `k` of an LRN layer, takes another default for `alpha`, and miscounts windows.
#
# Versions: opencv-python-headless 4.14.0.94, numpy 2.4.6; Linux x86-64, Python 3.11.
# Caffe's schema: lrn_param has local_size 5, alpha 1, beta 0.75, k 1. Guess: y = x / (k + alpha / n * sum) ** beta.
# Seen, with n = 3, of the largest value:
#   alpha 0.01, k 1          right, to 1e-6
#   alpha 0.01, k 2          0.19 off: exactly what k 1 gives
#   alpha left out           exactly what alpha 0.0001 gives
#   Pooling, kernel 13, stride 3 on 12 x 12: Caffe rounds (12 - 13) / 3 up to 0, one window; OpenCV fails, with a size of
#   -2147483648
# No error, no warning in the first three cases. The script fails if any of this changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet opencv-python-headless==4.14.0.94 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np

x = (50 * np.random.default_rng(0).standard_normal((1, 3, 12, 12))).astype(np.float32)
HEAD = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 12 input_dim: 12 layer { name: "y" bottom: "data" top: "y" '


def computed(layer):
    net = cv2.dnn.readNetFromCaffe(bytearray((HEAD + layer + " }").encode()), bytearray(b"\n\x01t"))
    net.enableFusion(False)
    net.setInput(x, "data")
    return net.forward("y")


def lrn(alpha, k, beta=0.75, n=3):
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (n // 2, n // 2), (0, 0), (0, 0)))
    return x / (k + alpha / n * sum(squares[:, i : i + x.shape[1]] for i in range(n))) ** beta


def off(parameters, alpha, k):
    expected = lrn(alpha, k)
    return abs(computed(f'type: "LRN" lrn_param {{ local_size: 3 {parameters} }}') - expected).max() / abs(expected).max()


assert off("alpha: 0.01 k: 1", 0.01, 1) < 1e-5
assert off("alpha: 0.01 k: 2", 0.01, 2) > 0.1
assert off("alpha: 0.01 k: 2", 0.01, 1) < 1e-5
assert off("", 1.0, 1) > 0.1
assert off("", 0.0001, 1) < 1e-5
try:
    computed('type: "Pooling" pooling_param { pool: AVE kernel_size: 13 stride: 3 }')
except cv2.error:
    pass
else:
    raise SystemExit("a kernel larger than the image is pooled now")
print("as described")
PYTHON
