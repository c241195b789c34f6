"""The one training loop: batches in, a moved network out; it can be killed after any epoch and goes on as it was."""

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
from accelerate.utils.memory import should_reduce_batch_size
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from graftwork.core.plans import Recipe
from graftwork.errors import TrainingError
from graftwork.files import whole_folder, write_json
from graftwork.finetune.sources import Source, shuffled

Ints = NDArray[np.integer]

WARMUP = 0.1
"""Share of the steps in which the rates rise; then they fall along a half cosine to nothing."""
CLIP = 1.0
"""Largest norm of a step's gradient."""
TIMED_STEPS = 3
EVALUATED = 64
"""Images a batch where nothing is trained."""


class OutOfTimeError(Exception):
    """The seconds that are left do not reach to the end of this training."""


class Student(nn.Module):
    """A body that gives codes and a linear head on them."""

    def __init__(self, body: nn.Module, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            self.head.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Margins (b, k)."""
        margins: torch.Tensor = self.head(self.body(inputs)[0])
        return margins


@dataclasses.dataclass(frozen=True)
class Told:
    """What a loop tells, and asks, while it runs."""

    fits: Callable[[float], bool] = lambda seconds: True
    """Whether so many seconds, to the end of this training, can be had; asked once, after the first steps."""
    progress: Callable[[int, int], None] = lambda done, total: None
    say: Callable[[str], None] = lambda text: None


def train(
    student: Student,
    groups: Sequence[Mapping[str, Any]],
    source: Source,
    rows: Ints,
    y: Ints,
    recipe: Recipe,
    *,
    class_weight: NDArray[np.float32] | None,
    held_out: Ints,
    seed: int,
    checkpoint: Path | None,
    told: Told,
) -> list[tuple[float, float]]:
    """Train a student in place; return after each epoch the loss on ``rows`` and the log loss on ``held_out``.

    The body stays in eval mode unless it starts from random weights: batch norm keeps the statistics that came with the
    weights, so what is frozen does not move by a bit, and small batches cannot spoil them.

    Parameters
    ----------
    groups
        For the optimiser, each with its ``lr`` (``rates.parameter_groups``).
    rows, held_out
        Images to train on, and images to watch (none: NaN).
    y
        (n,) class indices of all images of the source.
    checkpoint
        A folder that is written after each epoch and read at the start.

    Raises
    ------
    TrainingError
        When the loss is no longer a number.
    OutOfTimeError
        When ``told.fits`` says no.
    """
    accelerator = Accelerator(mixed_precision="bf16" if trains_in_bf16() else "no", step_scheduler_with_optimizer=False)
    optimiser = torch.optim.AdamW([{**group, "peak": group["lr"]} for group in groups])
    student, optimiser = accelerator.prepare(student, optimiser)
    curve = _resume(checkpoint, student, optimiser, recipe)
    weight = None if class_weight is None else torch.from_numpy(class_weight).to(accelerator.device)
    loss_of = nn.CrossEntropyLoss(weight, label_smoothing=recipe.label_smoothing)
    labels = torch.from_numpy(np.asarray(y, np.int64))
    steps = len(shuffled(rows, recipe.batch_size, seed, 0))
    pieces = 1  # a batch that does not fit into memory is taken in so many
    timed: list[float] = []
    for epoch in range(len(curve), recipe.epochs):
        student.train(recipe.start == "random")
        torch.manual_seed(1000 * seed + epoch)
        batches = shuffled(rows, recipe.batch_size, seed, epoch)
        total = 0.0
        begin = time.perf_counter()
        for number, (batch, inputs) in enumerate(zip(batches, source.stream(batches, epoch), strict=True)):
            _set_rates(optimiser, (epoch * steps + number) / (recipe.epochs * steps))
            mine = slice(accelerator.process_index, None, accelerator.num_processes)
            inputs, targets = inputs[mine].to(accelerator.device), labels[batch][mine].to(accelerator.device)
            loss, pieces = _step(accelerator, student, optimiser, loss_of, inputs, targets, pieces, told)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss must stay a number, but was {loss} in epoch {epoch + 1}; lower --lr from {recipe.lr:g}"
                )
            total += loss * len(batch)
            timed.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            if len(timed) == TIMED_STEPS + 1:
                left = (recipe.epochs - epoch) * steps - number - 1
                if not told.fits(left * float(np.median(timed[1:])) * 1.1):
                    raise OutOfTimeError
        curve.append((total / len(rows), _log_loss(student, source, held_out, y)))
        told.progress(epoch + 1, recipe.epochs)
        _keep(checkpoint, student, optimiser, recipe, curve)
    student.eval()
    return curve


def margins(student: Student, source: Source, rows: Ints) -> NDArray[np.float32]:
    """(len(rows), k) margins of images as they are."""
    student.eval()
    device = next(student.parameters()).device
    batches = [rows[begin : begin + EVALUATED] for begin in range(0, len(rows), EVALUATED)]
    with torch.inference_mode():
        found = [student(inputs.to(device)).float().cpu().numpy() for inputs in source.stream(batches, None)]
    return np.concatenate(found) if found else np.zeros((0, student.head.out_features), np.float32)


def trains_in_bf16() -> bool:
    """Whether this machine trains faster in bfloat16: a GPU that has it, or a processor with instructions for it.

    Without them it is five times slower than float32.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


def _step(
    accelerator: Accelerator,
    student: nn.Module,
    optimiser: Any,
    loss_of: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    pieces: int,
    told: Told,
) -> tuple[float, int]:
    """One step of the optimiser; return the loss and in how many pieces the batch had to be taken."""
    while True:
        try:
            optimiser.zero_grad(set_to_none=True)
            total = 0.0
            for part, wanted in zip(inputs.chunk(pieces), targets.chunk(pieces), strict=True):
                with accelerator.autocast():
                    loss = loss_of(student(part).float(), wanted) * (len(part) / len(inputs))
                accelerator.backward(loss)
                total += float(loss.detach())
            break
        except RuntimeError as error:
            if not should_reduce_batch_size(error) or pieces >= len(inputs):
                raise
            pieces *= 2
            told.say(f"a batch of {len(inputs)} images does not fit into memory; it is taken in {pieces} pieces")
    accelerator.clip_grad_norm_(student.parameters(), CLIP)
    optimiser.step()
    return total, pieces


def _set_rates(optimiser: Any, done: float) -> None:
    share = done / WARMUP if done < WARMUP else 0.5 * (1 + math.cos(math.pi * (done - WARMUP) / (1 - WARMUP)))
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * max(share, 1e-3)


def _log_loss(student: Student, source: Source, rows: Ints, y: Ints) -> float:
    if not len(rows):
        return float("nan")
    found = torch.from_numpy(margins(student, source, rows))
    return float(nn.functional.cross_entropy(found, torch.from_numpy(np.asarray(y[rows], np.int64))))


def _moving(student: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Everything that training may change: parameters with a gradient, and buffers."""
    yield from ((name, parameter) for name, parameter in student.named_parameters() if parameter.requires_grad)
    yield from student.named_buffers()


def _keep(
    folder: Path | None, student: nn.Module, optimiser: Any, recipe: Recipe, curve: Sequence[tuple[float, float]]
) -> None:
    """Write a checkpoint, whole or not at all: tensors and JSON, never a pickle."""
    if folder is None:
        return
    tensors = {f"student.{name}": value.detach().cpu().contiguous() for name, value in _moving(student)}
    for number, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimiser.{number}.{key}"] = torch.as_tensor(value).cpu().contiguous()
    with whole_folder(folder) as part:
        save_file(tensors, part / "state.safetensors")
        write_json(part / "progress.json", {"recipe": dataclasses.asdict(recipe), "curve": _json_curve(curve)})


def _resume(folder: Path | None, student: nn.Module, optimiser: Any, recipe: Recipe) -> list[tuple[float, float]]:
    """Go on from a checkpoint of the same recipe; one that is missing, broken or another's is passed over."""
    if folder is None or not (folder / "progress.json").is_file():
        return []
    try:
        told = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "state.safetensors")
    except (OSError, ValueError, SafetensorError):
        return []
    here = dict(_moving(student))
    if told.get("recipe") != dataclasses.asdict(recipe) or {f"student.{n}" for n in here} - set(tensors):
        return []
    with torch.no_grad():
        for name, value in here.items():
            value.copy_(tensors[f"student.{name}"])
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, number, key = name.split(".", 2)
            state.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return [(float(a), float("nan") if b is None else float(b)) for a, b in told["curve"]]


def _json_curve(curve: Sequence[tuple[float, float]]) -> list[list[float | None]]:
    return [[a, None if math.isnan(b) else b] for a, b in curve]
