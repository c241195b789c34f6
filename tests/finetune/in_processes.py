"""Fine-tunes a tiny network in as many processes as a launcher starts; each writes what it found."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
from accelerate.state import AcceleratorState

from graftwork.backbones.catalogue import find_card
from graftwork.core.recipes import recipe
from graftwork.finetune import loop
from graftwork.finetune.loop import Told
from graftwork.finetune.tune import FineTuned, tune
from graftwork.images.read import read_images

BATCH = 11
"""Two processes have 6 and 5 images of it."""


@contextlib.contextmanager
def in_float32() -> Iterator[None]:
    """What holds exactly is tested without bf16, whose rounding depends on who has which images."""
    AcceleratorState._reset_state()  # a process has one, and one precision
    try:
        with mock.patch.object(loop, "trains_in_bf16", return_value=False):
            yield
    finally:
        AcceleratorState._reset_state()


def run(folder: Path, checkpoint: Path | None) -> FineTuned:
    """Fine-tune the backbone of a folder on its images."""
    card = find_card(str(folder / "test_efficientnet.safetensors"))
    images = read_images(folder / "images")
    plan = dataclasses.replace(recipe(30), epochs=3, batch_size=BATCH, lr=1e-3, freeze_to=card.taps[0].name)
    head = np.zeros((3, card.taps[-1].channels), np.float32), np.zeros(3, np.float32)
    with in_float32():
        (found,) = tune(
            card, images, images.labels, head, plan, activations=None, rows=np.arange(0, 60, 2),
            held_out=np.arange(1, 60, 2), alphas=(1.0,), class_weight=np.array([0.5, 1.0, 2.0], np.float32), seed=0,
            checkpoint=checkpoint, told=Told(),
        )  # fmt: skip
    return found


def arrays(found: FineTuned) -> dict[str, np.ndarray]:
    """What can be compared."""
    return {
        **found.body,
        "weight": found.head[0],
        "bias": found.head[1],
        "margins": found.margins,
        "curve": np.array(found.curve),
    }


if __name__ == "__main__":
    here, rank = Path(sys.argv[1]), os.environ["RANK"]
    np.savez(here / f"{rank}.npz", **arrays(run(here, here / "checkpoint")))
