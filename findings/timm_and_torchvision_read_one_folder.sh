#!/bin/sh
# One folder is two data sets: timm numbers the classes in another order than torchvision, and skips WebP and TIFF.
#
# Versions: timm 1.0.31, torchvision 0.28.0, torch 2.13.0, pillow 13.0.0; Linux x86-64, Python 3.11.
# timm's ImageDataset and torchvision's ImageFolder both take one folder per class. Guess: the same images, the same
# class numbers. Seen: torchvision sorts class names by their characters; timm sorts digits as numbers and ignores case.
#   torchvision   1, 10, 2, Zebra, ant -> 0, 1, 2, 3, 4
#   timm          1, 2, 10, ant, Zebra -> 0, 1, 2, 3, 4
# So a network that was trained with one and is tested with the other is wrong about nearly every class where folders
# are numbered, with no error: of 1 to 102, as copies of Flowers-102 have them, 11 keep their number. And of nine files
# a class (JPEG, PNG, BMP, PPM, TIFF, WebP, GIF, AVIF, .jfif), timm reads the first two, torchvision the first six, both
# without a word about the others. The script fails if any of this changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet timm==1.0.31 torch==2.13.0 torchvision==0.28.0 pillow==13.0.0
"$place/venv/bin/python" - "$place/images" <<'PYTHON'
import pathlib
import sys

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
from timm.data import create_dataset
from torchvision.datasets import ImageFolder

suffixes = ("jpg", "png", "bmp", "ppm", "tiff", "webp", "gif", "avif", "jfif")
for name in ("1", "2", "10", "ant", "Zebra"):
    folder = pathlib.Path(sys.argv[1]) / name
    folder.mkdir(parents=True)
    for suffix in suffixes:
        Image.new("RGB", (8, 8)).save(folder / f"{suffix}.{suffix}")

one = create_dataset("", root=sys.argv[1])
other = ImageFolder(sys.argv[1])
numbers = {"timm": one.reader.class_to_idx, "torchvision": other.class_to_idx}
names = {package: sorted(given, key=given.get) for package, given in numbers.items()}
read = {
    "timm": {pathlib.Path(one.filename(row)).suffix[1:] for row in range(len(one))},
    "torchvision": {pathlib.Path(path).suffix[1:] for path, _ in other.samples},
}
for package in names:
    print(f"{package}: classes {names[package]}, reads {[suffix for suffix in suffixes if suffix in read[package]]}")
expected = {"timm": ["1", "2", "10", "ant", "Zebra"], "torchvision": ["1", "10", "2", "Zebra", "ant"]}
assert names == expected, "the order of classes is another now"
assert read == {"timm": set(suffixes[:2]), "torchvision": set(suffixes[:6])}, "other suffixes are read now"
PYTHON
