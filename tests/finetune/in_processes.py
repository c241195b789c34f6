"""Fine-tunes a tiny network in as many processes as a launcher starts; each writes its result."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from unittest import mock

import numpy as np

from graftwork.backbones.catalogue import find_card
from graftwork.core.recipes import recipe
from graftwork.finetune import network
from graftwork.finetune.engine import FLOAT32
from graftwork.finetune.sources import TrainingData
from graftwork.finetune.tune import FineTuned, fine_tune
from graftwork.images.read import read_images
from graftwork.listener import SILENT

BATCH = 11
"""Two processes have 6 and 5 images of it."""


def in_float32() -> contextlib.AbstractContextManager[object]:
    """What holds exactly is tested without bfloat16, whose rounding depends on who has which images."""
    return mock.patch.object(network, "training_engine", return_value=FLOAT32)


def run(folder: Path, checkpoint: Path | None) -> FineTuned:
    """Fine-tune the backbone of a folder on its images."""
    card = find_card(str(folder / "test_efficientnet.safetensors"))
    images = read_images(folder / "images")
    plan = dataclasses.replace(recipe(30), epochs=3, batch_size=BATCH, lr=1e-3, freeze_to=card.taps[0].name)
    head = np.zeros((3, card.taps[-1].channels), np.float32), np.zeros(3, np.float32)
    with in_float32():
        weights = np.array([0.5, 1.0, 2.0], np.float32)
        data = TrainingData(
            images, images.labels, np.arange(0, 60, 2), np.arange(1, 60, 2), None, None, weights, seed=0
        )
        (result,) = fine_tune(
            card, plan, head, data, alphas=(1.0,), checkpoint=checkpoint, enough_time=lambda _: True, listener=SILENT
        )
    return result


def arrays(result: FineTuned) -> dict[str, np.ndarray]:
    """What can be compared."""
    return {
        **result.body,
        "weight": result.head[0],
        "bias": result.head[1],
        "margins": result.margins[1],
        "curve": np.array(result.curve),
    }


if __name__ == "__main__":
    here, rank = Path(sys.argv[1]), os.environ["RANK"]
    np.savez(here / f"{rank}.npz", **arrays(run(here, here / "checkpoint")))
