#!/bin/sh
# fastai's FocalLoss takes the class weight into the probability that it focuses by: it acts far too strongly.
#
# Versions: fastai 2.8.12, torch 2.13.0, torchvision 0.28.0; Linux x86-64, Python 3.11.
# Focal loss with class weights is w (1 - p)^gamma (-log p), with p the probability of the true class; fastai documents
# `weight` as a "manual rescaling weight given to each class". Guess: twice the weight is twice the loss. Seen: p is
# computed as exp(-w (-log p)), that is p^w, so the factor that should make easy images count little is another for each
# class. With gamma 2, for images of which the network gives the true class 90, 60 and 10 %:
#   weight 10    loss 42, 6 and 1.2 times the right one
#   weight 0.1   loss 0.01, 0.02 and 0.05 of the right one
#   weight 1     right
# The usual weights, inverse frequencies, are of that range. No warning. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet fastai==2.8.12 torch==2.13.0 torchvision==0.28.0
"$place/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch

try:
    import torchvision
except RuntimeError:  # torch built for the CPU next to torchvision built for CUDA; its operators are not needed here
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    import torchvision
from fastai.losses import FocalLoss

p = torch.tensor([0.9, 0.6, 0.1])
logits = torch.stack([p, 1 - p], dim=1).log()
targets = torch.zeros(3, dtype=torch.long)
for weight in (10.0, 0.1, 1.0):
    right = weight * (1 - p) ** 2 * -p.log()
    seen = FocalLoss(gamma=2.0, weight=torch.tensor([weight, 1.0]), reduction="none")(logits, targets)
    by_power = (1 - p**weight) ** 2 * -weight * p.log()
    print(f"weight {weight}: {[f'{times:.3f}' for times in (seen / right).tolist()]} times the right loss")
    assert torch.allclose(seen, by_power, rtol=1e-3), "fastai behaves differently now"
    assert torch.allclose(seen, right, rtol=1e-3) == (weight == 1), "fastai behaves differently now"
PYTHON
