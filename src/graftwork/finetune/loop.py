"""The one training loop: batches in, a trained network out; it can be killed after any epoch and resumed."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from accelerate.utils.memory import should_reduce_batch_size
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from graftwork.core.arrays import Ints
from graftwork.core.plans import Recipe
from graftwork.errors import TrainingError
from graftwork.files import whole_folder, write_json
from graftwork.finetune.engine import accelerated
from graftwork.finetune.network import Classifier
from graftwork.finetune.sources import Source, TrainingData, shuffled
from graftwork.listener import SILENT, Listener

WARMUP = 0.1
"""Share of the steps in which the learning rates rise linearly; then they fall along a half cosine to 0."""
CLIP = 1.0
"""Maximum norm of the gradient of a step."""
MEASURED_STEPS = 3
EVALUATION_BATCH = 64
CURVE_SHARE = 4
"""After each epoch the log loss is computed on one validation image for this number of training images: enough for a
learning curve."""


class OutOfTimeError(Exception):
    """The time limit does not allow the rest of this training."""


def train(
    classifier: Classifier,
    groups: Sequence[Mapping[str, Any]],
    source: Source,
    data: TrainingData,
    recipe: Recipe,
    *,
    checkpoint: Path | None,
    enough_time: Callable[[float], bool] = lambda seconds: True,
    listener: Listener = SILENT,
) -> list[tuple[float, float]]:
    """Train a classifier in place; return the learning curve.

    With ``recipe.patience`` training stops early, when the log loss on validation images has stopped falling.

    The body stays in eval mode unless it starts from random weights: batch norm keeps the statistics that came with the
    weights, so that frozen layers do not change by a bit, and small batches cannot spoil the statistics.

    Parameters
    ----------
    groups
        For the optimiser, each with its ``lr`` (``learning_rates.parameter_groups``).
    checkpoint
        A folder that is written after each epoch; training goes on from it where it exists.
    enough_time
        Whether this number of seconds is left, which is what the rest of the training takes; asked after the first
        steps, and after each epoch.

    Returns
    -------
    After each epoch the training loss, and the log loss on some of the validation images (``CURVE_SHARE``; NaN where
    there are none).

    Raises
    ------
    TrainingError
        When the loss is NaN or infinite.
    OutOfTimeError
        When ``enough_time`` says no.
    """
    # timm can be imported once a network is loaded
    from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]  # public, not marked as such

    accelerator = accelerated()
    workers = accelerator.num_processes
    mine = slice(accelerator.process_index, None, workers)
    # placed, not wrapped: a step sums the gradients of all processes itself
    classifier = accelerator.prepare_model(classifier, evaluation_mode=True)
    optimiser = create_optimizer_v2([dict(group) for group in groups], "adamw", lr=recipe.lr, fused=True)
    steps = len(shuffled(data.rows, recipe.batch_size, data.seed, 0, workers))
    step = _Step(accelerator, classifier, optimiser, recipe, recipe.epochs * steps, data.class_weights, listener)
    curve = _resume(checkpoint, classifier, optimiser, recipe)
    labels = torch.from_numpy(np.asarray(data.y, np.int64))
    watched = data.validation[:: math.ceil(CURVE_SHARE * len(data.validation) / len(data.rows)) or 1]
    step_seconds: list[float] = []
    last = recipe.stop_at or recipe.epochs
    for epoch in range(len(curve), last):
        if not _all_agree(accelerator, not _stalls(curve, recipe.patience)):
            break
        classifier.train(recipe.start == "random")
        set_seed((1000 * data.seed + epoch) % 2**32)  # what NumPy takes
        batches = shuffled(data.rows, recipe.batch_size, data.seed, epoch, workers)
        shares = [batch[mine] for batch in batches]
        total = 0.0
        epoch_begin = begin = time.perf_counter()
        drawn = zip(batches, shares, source.stream(shares, epoch), strict=True)
        for number, (batch, share, inputs) in enumerate(drawn, epoch * steps + 1):
            loss = step(inputs, labels[share], len(batch), number)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss must be finite, but was {loss} in epoch {epoch + 1}; lower --lr from {recipe.lr:g}"
                )
            total += loss * len(batch)
            step_seconds.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            if len(step_seconds) == MEASURED_STEPS + 1:
                left = (last * steps - number) * float(np.median(step_seconds[1:])) * 1.1
                _demand(accelerator, enough_time(left))
        curve.append((total / len(data.rows), _log_loss(classifier, source, watched, data.y)))
        listener.progress(epoch + 1, recipe.epochs)
        _save_checkpoint(checkpoint if accelerator.is_main_process else None, classifier, optimiser, recipe, curve)
        if epoch + 1 < last:
            _demand(accelerator, enough_time((last - epoch - 1) * (time.perf_counter() - epoch_begin)))
    accelerator.wait_for_everyone()  # a checkpoint is whole before anyone goes on
    classifier.eval()
    return curve


def epochs_done(checkpoint: Path, recipe: Recipe) -> int:
    """Return after how many epochs a training with this recipe would go on from a checkpoint."""
    return len(_saved_curve(checkpoint, recipe))


def margins(classifier: Classifier, source: Source, rows: Ints, views: int = 1) -> dict[int, NDArray[np.float32]]:
    """(len(rows), k) margins of images without augmentation, by number of views: the plain one, and the mean of all."""
    classifier.eval()
    device = next(classifier.parameters()).device
    total = np.zeros((len(rows), classifier.head.out_features), np.float32)
    by_views = {1: total, views: total}
    with torch.inference_mode():
        for view in range(views if len(rows) else 0):
            batches = source.stream(in_batches(rows), None, view)
            total = total + np.concatenate([classifier(inputs.to(device)).cpu().numpy() for inputs in batches])
            if view + 1 in by_views:
                by_views[view + 1] = total / np.float32(view + 1)
    return by_views


def in_batches(rows: Ints) -> list[Ints]:
    """Images in order, in batches for evaluation."""
    return [rows[begin : begin + EVALUATION_BATCH] for begin in range(0, len(rows), EVALUATION_BATCH)]


class _Step:
    """One step of the optimiser along the gradient of the mean loss over a batch, of which each process has a share.

    Where a batch does not fit into memory, its gradient is accumulated over pieces, from then on.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        classifier: Classifier,
        optimiser: torch.optim.Optimizer,
        recipe: Recipe,
        steps: int,
        class_weight: NDArray[np.float32] | None,
        listener: Listener,
    ) -> None:
        from timm.scheduler.cosine_lr import CosineLRScheduler

        self._accelerator, self._classifier, self._optimiser, self._listener = (
            accelerator,
            classifier,
            optimiser,
            listener,
        )
        weight = None if class_weight is None else torch.from_numpy(class_weight).to(accelerator.device)
        self._loss_of = nn.CrossEntropyLoss(weight, reduction="sum", label_smoothing=recipe.label_smoothing)
        warmup = round(WARMUP * steps)  # counted from 1 to one after the last, so that no step has a learning rate of 0
        self._schedule = CosineLRScheduler(
            optimiser, steps - warmup + 1, warmup_t=warmup, warmup_prefix=True, t_in_epochs=False
        )
        self._pieces = 1

    def __call__(self, inputs: torch.Tensor, targets: torch.Tensor, batch_size: int, number: int) -> float:
        """Take step ``number``, counted from 1, on this process's share of a batch of ``batch_size`` images.

        Return the mean loss over the whole batch.
        """
        self._schedule.step_update(number)
        device = self._accelerator.device
        loss = self._summed(self._backward(inputs.to(device), targets.to(device), batch_size))
        nn.utils.clip_grad_norm_(self._classifier.parameters(), CLIP)
        self._optimiser.step()
        return loss

    def _backward(self, inputs: torch.Tensor, targets: torch.Tensor, batch_size: int) -> float:
        while True:
            try:
                self._optimiser.zero_grad(set_to_none=True)
                total = 0.0
                for part, labels in zip(inputs.chunk(self._pieces), targets.chunk(self._pieces), strict=True):
                    loss = self._loss_of(self._classifier(part), labels) / batch_size
                    self._accelerator.backward(loss)
                    total += float(loss.detach())
                return total
            except RuntimeError as error:
                if not should_reduce_batch_size(error) or self._pieces >= len(inputs):
                    raise
                self._pieces *= 2
                self._listener.say(
                    f"a batch of {len(inputs)} images does not fit into memory; its gradient is accumulated over "
                    f"{self._pieces} pieces"
                )

    def _summed(self, loss: float) -> float:
        """Sum the gradients, and the loss, over all processes."""
        if self._accelerator.num_processes == 1:
            return loss
        gradients = [p.grad for p in self._classifier.parameters() if p.grad is not None]
        mine = torch.cat([gradients[0].new_tensor([loss]), *(gradient.reshape(-1) for gradient in gradients)])
        sums = self._accelerator.reduce(mine, "sum")
        for gradient, values in zip(gradients, sums[1:].split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(values.view_as(gradient))
        return float(sums[0])


def _stalls(curve: Sequence[tuple[float, float]], patience: int | None) -> bool:
    """Whether the log loss on validation images has not fallen for ``patience`` epochs."""
    losses = [loss for _, loss in curve]
    return patience is not None and bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= patience


def _all_agree(accelerator: Accelerator, yes: bool) -> bool:
    """Whether all processes say yes; none may stop alone."""
    agree: torch.Tensor = accelerator.reduce(torch.tensor(int(yes), device=accelerator.device), "sum")
    return bool(agree == accelerator.num_processes)


def _demand(accelerator: Accelerator, time_enough: bool) -> None:
    """Raise OutOfTimeError in all processes where one of them has not the time for the rest."""
    if not _all_agree(accelerator, time_enough):
        raise OutOfTimeError


def _log_loss(classifier: Classifier, source: Source, rows: Ints, y: Ints) -> float:
    if not len(rows):
        return float("nan")
    values = torch.from_numpy(margins(classifier, source, rows)[1])
    loss = float(nn.functional.cross_entropy(values, torch.from_numpy(np.asarray(y[rows], np.int64))))
    if not math.isfinite(loss):
        raise TrainingError(f"the loss on validation images must be finite, but was {loss}; give a lower --lr")
    return loss


def _moving(classifier: Classifier) -> Iterator[tuple[str, torch.Tensor]]:
    """Everything that training may change: parameters with a gradient, and buffers."""
    yield from ((name, parameter) for name, parameter in classifier.named_parameters() if parameter.requires_grad)
    yield from classifier.named_buffers()


def _save_checkpoint(
    folder: Path | None,
    classifier: Classifier,
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    curve: Sequence[tuple[float, float]],
) -> None:
    """Write a checkpoint, whole or not at all: tensors and JSON, never a pickle."""
    if folder is None:
        return
    tensors = {name: value.detach().cpu().contiguous() for name, value in _moving(classifier)}
    for number, moments in optimiser.state_dict()["state"].items():
        for key, value in moments.items():
            tensors[f"optimiser.{number}.{key}"] = torch.as_tensor(value).cpu().contiguous()
    with whole_folder(folder) as part:
        (part / "state.safetensors").write_bytes(save(tensors))  # a full disk is an OSError, not one of safetensors
        write_json(part / "progress.json", {"recipe": dataclasses.asdict(recipe), "curve": _json_curve(curve)})


def _resume(
    folder: Path | None, classifier: Classifier, optimiser: torch.optim.Optimizer, recipe: Recipe
) -> list[tuple[float, float]]:
    """Go on from a checkpoint of the same recipe; one that is missing, broken or of another recipe is ignored."""
    curve = [] if folder is None else _saved_curve(folder, recipe)
    if folder is None or not curve:
        return []
    try:
        tensors = load((folder / "state.safetensors").read_bytes())  # not memory-mapped: the file is replaced later
    except (OSError, SafetensorError):
        return []
    own = dict(_moving(classifier))
    if own.keys() - tensors.keys():
        return []
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, number, key = name.split(".", 2)
            parameter = parameters[int(number)]
            # the fused optimiser reads memory in the parameter's order, whatever the strides of a moment say
            ordered = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
            moments.setdefault(int(number), {})[key] = ordered
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    return curve


def _saved_curve(folder: Path, recipe: Recipe) -> list[tuple[float, float]]:
    """Return the learning curve of a checkpoint of this recipe; empty where there is none."""
    try:
        saved = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if saved.get("recipe") != dataclasses.asdict(recipe):
        return []
    return [(float(a), float("nan") if b is None else float(b)) for a, b in saved["curve"]]


def _json_curve(curve: Sequence[tuple[float, float]]) -> list[list[float | None]]:
    return [[a, None if math.isnan(b) else b] for a, b in curve]
