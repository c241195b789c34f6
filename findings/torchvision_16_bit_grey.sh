#!/bin/sh
# torchvision's ToTensor makes the brighter half of a 16-bit grey PNG negative; the way over RGB makes it white.
#
# Versions: torchvision 0.28.0, torch 2.13.0, pillow 13.0.0, numpy 2.4.6; Linux x86-64, Python 3.11.
# A grey PNG of 16 bits, as microscopes, depth cameras and X-ray converters write it. Guess: the classic and the newer
# transforms give the same picture. Seen, for the values 0, 300, 32767, 32768 and 65535:
#   transforms.ToTensor               0  300  32767  -32768  -1    (int16, neither scaled nor unsigned)
#   v2.ToImage, v2.ToDtype(scale)     0  0.005  0.5  0.5  1        (right)
#   v2.RGB or v2.Grayscale(3) first   0  1  1  1  1                (Pillow clips at 255, in ImageFolder too)
# None of them warns. ToTensor then Normalize, the usual pair, raises no error either. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 pillow==13.0.0 numpy==2.4.6
"$place/venv/bin/python" -W error::UserWarning - "$place" <<'PYTHON'
import pathlib
import sys

import numpy as np
import torch
from PIL import Image

try:
    import torchvision
except RuntimeError:  # torch built for the CPU next to torchvision built for CUDA; its operators are not needed here
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    import torchvision
from torchvision import transforms
from torchvision.transforms import v2

path = pathlib.Path(sys.argv[1]) / "images" / "class" / "grey.png"
path.parent.mkdir(parents=True)
Image.fromarray(np.array([[0, 300, 32767, 32768, 65535]], np.uint16)).save(path)
scaled = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
with Image.open(path) as image:
    image.load()
assert image.mode == "I;16", "Pillow reads the file differently now"
folder = torchvision.datasets.ImageFolder(path.parent.parent, transforms.ToTensor())
ways = {
    "transforms.ToTensor": (transforms.ToTensor()(image), [0, 300, 32767, -32768, -1]),
    "v2.ToImage, v2.ToDtype": (scaled(image), [0, 0.0046, 0.5, 0.5, 1]),
    "v2.RGB first": (scaled(v2.RGB()(image)), [0, 1, 1, 1, 1]),
    "v2.Grayscale(3) first": (scaled(v2.Grayscale(3)(image)), [0, 1, 1, 1, 1]),
    "ImageFolder, transforms.ToTensor": (folder[0][0], [0, 1, 1, 1, 1]),
}
for way, (tensor, expected) in ways.items():
    values = tensor[0, 0].tolist()
    print(f"{way}: {tensor.dtype}, {[round(value, 4) for value in values]}")
    assert np.allclose(values, expected, atol=1e-4), "torchvision behaves differently now"
PYTHON
