#!/bin/sh
# One probability of 1.0000001 makes torchmetrics apply softmax or sigmoid to a whole batch of probabilities.
#
# Versions: torchmetrics 1.9.0, torch 2.13.0, numpy 2.4.6; Linux x86-64, Python 3.11.
# Metrics of probabilities take a batch for logits if any value of it is outside 0 to 1, as documented. Guess: a mean of
# softmax outputs is inside. Seen: a tenth added ten times in float32 is 1.0000001, so one image is enough of which all
# ten views (test-time augmentation) or networks (an ensemble) are certain. Softmax makes probabilities nearly flat, and
# no sigmoid of a positive number is below 0.5. For 1,000 images, with the means as they are and cut at 1:
#   expected calibration error, five classes   0.06 cut, 0.60 as they are
#   accuracy, two classes, threshold 0.5       0.99 cut, 0.66 as they are
# It is decided batch by batch: in batches of 10 the same error is 0.56. No warning; clamp(max=1) helps. The script
# fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import torch
from torchmetrics.classification import BinaryAccuracy, MulticlassCalibrationError

N, CLASSES, VIEWS = 1000, 5, 10
generator = torch.Generator().manual_seed(0)
labels = torch.arange(N) % CLASSES


def value(metric, probabilities, targets, batch=N):
    for first in range(0, N, batch):
        metric.update(probabilities[first : first + batch], targets[first : first + batch])
    return metric.compute().item()


margins = 25 * torch.rand(N, 1, generator=generator)
logits = margins * torch.nn.functional.one_hot(labels, CLASSES)
views = [(logits + torch.randn(N, CLASSES, generator=generator)).softmax(1) for _ in range(VIEWS)]
mean = sum(view * (1 / VIEWS) for view in views)
print("largest probability", mean.max().item(), "in", (mean > 1).any(1).sum().item(), "images")
right = value(MulticlassCalibrationError(CLASSES), mean.clamp(max=1), labels)
seen = value(MulticlassCalibrationError(CLASSES), mean, labels)
small = value(MulticlassCalibrationError(CLASSES), mean, labels, batch=10)
print(f"expected calibration error {right:.3f}, with one value above 1 {seen:.3f}, in batches of 10 {small:.3f}")

targets = (torch.rand(N, generator=generator) < 0.5).long()
signs = 2.0 * targets - 1
views = [(signs * margins[:, 0] + torch.randn(N, generator=generator)).sigmoid() for _ in range(VIEWS)]
mean = sum(view * (1 / VIEWS) for view in views)
binary_right = value(BinaryAccuracy(), mean.clamp(max=1), targets)
binary_seen = value(BinaryAccuracy(), mean, targets)
print(f"binary accuracy {binary_right:.3f}, with one value above 1 {binary_seen:.3f}")
assert mean.max() > 1, "torch adds differently now"
figures = [round(figure, 2) for figure in (right, seen, small, binary_right, binary_seen)]
assert figures == [0.06, 0.60, 0.56, 0.99, 0.66], "torchmetrics behaves differently now"
PYTHON
