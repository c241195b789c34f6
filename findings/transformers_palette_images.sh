#!/bin/sh
# transformers' image processors of DINOv3 and EfficientNet take the indices of a palette for brightness.
#
# Versions: transformers 5.24.0, torch 2.13.0, torchvision 0.28.0, pillow 13.0.0, numpy 2.4.6; Linux x86-64, Python
# 3.11. One picture in several modes of Pillow, as PNG and GIF files give them (P has 256 colours, "1" is black and
# white, I;16 is grey of 16 bits). Guess: a processor gives about the same for all, or refuses. Seen, as correlation
# with what picture.convert("RGB") gives:
#                                    P       1      I;16
#   SiglipImageProcessor             1.0     1.0    all white (Pillow clips at 255)
#   ViTImageProcessor                refuses all three, and grey (L) too
#   DINOv3ViTImageProcessor          -0.42   0.15   values up to 1,069 standard deviations
#   EfficientNetImageProcessor       -0.53   0.12   values up to 959
# The last two neither convert nor refuse: an index of a palette becomes grey in three equal channels, white of mode "1"
# is 1 of 255, and 65,535 is divided by 255. No warning. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet transformers==5.24.0 torch==2.13.0 torchvision==0.28.0 pillow==13.0.0 numpy==2.4.6
HF_HUB_OFFLINE=1 "$place/venv/bin/python" -W ignore - <<'PYTHON'
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
from transformers import (
    DINOv3ViTImageProcessor,
    EfficientNetImageProcessor,
    SiglipImageProcessor,
    ViTImageProcessor,
)

down, across = np.mgrid[:64, :64]
picture = Image.fromarray(np.stack([4 * across, 4 * down, 128 + 0 * down], axis=-1).astype(np.uint8))
modes = {
    "P": picture.quantize(64),
    "1": picture.convert("1"),
    "I;16": Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257),
}
expected = {
    SiglipImageProcessor: ("the same", "the same", "white"),
    ViTImageProcessor: ("refused", "refused", "refused"),
    DINOv3ViTImageProcessor: ("another picture", "another picture", "out of range"),
    EfficientNetImageProcessor: ("another picture", "another picture", "out of range"),
}


def what(processor, mode, image):
    """What a processor makes of an image: one word, and the figure behind it."""
    grey = picture.convert("L").convert("RGB") if mode == "I;16" else image.convert("RGB")
    right = processor(grey, return_tensors="np")["pixel_values"]
    try:
        values = processor(image, return_tensors="np")["pixel_values"]
    except RuntimeError:
        return "refused", np.nan
    if values.max() > 10:
        return "out of range", values.max()
    if np.ptp(values) == 0:
        return "white", values.max()
    likeness = np.corrcoef(values.ravel(), right.ravel())[0, 1]
    return ("the same" if likeness > 0.99 else "another picture"), likeness


for kind, row in expected.items():
    seen = [what(kind(), mode, image) for mode, image in modes.items()]
    print(kind.__name__, [f"{mode}: {word} ({figure:.2f})" for mode, (word, figure) in zip(modes, seen, strict=True)])
    assert tuple(word for word, _ in seen) == row, "transformers behaves differently now"
PYTHON
