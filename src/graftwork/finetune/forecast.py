"""How long a fine-tuning will take on this machine: a few steps on random inputs, before it begins.

Measured once per machine and recorded, as engines are; how fast the machine is today, one of them tells.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from graftwork.core.facts import BackboneCard, digest_of
from graftwork.core.plans import Recipe
from graftwork.files import cache_folder, read_cached, write_json
from graftwork.finetune.cut import cut_of
from graftwork.finetune.engine import accelerated, machine_of, training_engine
from graftwork.finetune.folding import fold
from graftwork.finetune.network import trainable

_VERSION = 1
STEPS = 4
"""The first is not counted: it allocates memory. Of the others the fastest counts: what delays a step now may be gone
when the training runs, which is asked again then."""
ENOUGH_SECONDS = 1.5
"""After which no further step is begun: on a slow machine one step tells, and the time limit pays for all of them."""


def seconds_per_image_of(
    trainings: Sequence[tuple[BackboneCard, Recipe]], n_classes: int, enough_time: Callable[[float], bool]
) -> list[float | None]:
    """Return the seconds of one training step per image, for each training; None where no time is left to measure it.

    Those that are recorded are taken to be as much slower or faster today as the shortest of them.

    Parameters
    ----------
    enough_time
        Whether this number of seconds is left; asked before each is measured, for as long as the one before took.

    Raises
    ------
    BackboneError
        As ``seconds_per_image``.
    """
    took = 0.0

    def measured(card: BackboneCard, recipe: Recipe) -> float:
        nonlocal took
        begin = time.perf_counter()
        seconds = seconds_per_image(card, recipe, n_classes)
        took = time.perf_counter() - begin
        return seconds

    paths = [_record_of(card, recipe) for card, recipe in trainings]
    seconds: list[float | None] = [None] * len(trainings)
    for i, path in enumerate(paths):
        record = read_cached(path, _Pace)
        seconds[i] = None if record is None else record.seconds_per_image
    recorded = {i: each for i, each in enumerate(seconds) if each is not None}
    if recorded and enough_time(took):
        shortest = min(recorded, key=lambda i: recorded[i] * trainings[i][1].batch_size)
        today = measured(*trainings[shortest]) / recorded[shortest]
        seconds = [None if each is None else each * today for each in seconds]
    for i, path in enumerate(paths):
        if seconds[i] is None and enough_time(took):
            pace = measured(*trainings[i])
            write_json(path, dataclasses.asdict(_Pace(pace)))
            seconds[i] = pace
    return seconds


@dataclasses.dataclass(frozen=True)
class _Pace:
    """How fast a training was when it was measured."""

    seconds_per_image: float


def _record_of(card: BackboneCard, recipe: Recipe) -> Path:
    cached = recipe.cached_augmentations > 0
    engine = dataclasses.asdict(training_engine(card))
    depends_on = [
        _VERSION, card.architecture, card.model_args, card.preprocess.input_px, recipe.freeze_to, cached,
        recipe.batch_size, recipe.start, engine, machine_of(accelerated().device), torch.get_num_threads(),
    ]  # fmt: skip
    return cache_folder("engines") / f"steps-{digest_of(depends_on)}.json"


def seconds_per_image(card: BackboneCard, recipe: Recipe, n_classes: int) -> float:
    """Return the seconds of one training step per image, on random inputs of the right shape.

    Raises
    ------
    BackboneError
        When the network cannot be cut where the recipe says.
    """
    px = card.preprocess.input_px
    cached = recipe.freeze_to is not None and recipe.cached_augmentations > 0
    inputs = torch.randint(0, 256, (recipe.batch_size, px, px, 3), dtype=torch.uint8)
    if cached and recipe.freeze_to is not None:
        inputs = torch.rand(recipe.batch_size, cut_of(card, recipe.freeze_to).values_per_image)
    head = np.zeros((n_classes, card.taps[-1].channels), np.float32), np.zeros(n_classes, np.float32)
    accelerator = accelerated()
    model = trainable(card, recipe, head, cached=cached, seed=0)
    fold(model.network.network, model.pairs)
    classifier = accelerator.prepare_model(model.classifier, evaluation_mode=True)
    inputs = inputs.to(accelerator.device)
    moving = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(moving, lr=0.0, fused=True)
    targets = torch.zeros(recipe.batch_size, dtype=torch.long, device=accelerator.device)
    seconds: list[float] = []
    while len(seconds) < STEPS and sum(seconds) < ENOUGH_SECONDS:
        begin = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(classifier(inputs), targets)
        accelerator.backward(loss)
        optimiser.step()
        float(loss.detach())  # a GPU has finished the step when it can return this
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:] or seconds) / recipe.batch_size
