"""Every fine-tuning keeps the contract: only what it names moves, the loss falls, and a kill leaves no trace."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from graftwork.backbones.catalogue import find_card
from graftwork.backbones.load import load, untrained
from graftwork.core.plans import Recipe
from graftwork.core.recipes import recipe
from graftwork.finetune import loop
from graftwork.finetune.cut import find_cut
from graftwork.finetune.sources import TrainingData
from graftwork.finetune.tune import FineTuned, fine_tune
from graftwork.images.read import read_images
from graftwork.listener import SILENT
from graftwork.testing import write_tiny_backbone, write_tiny_images

Run = Callable[..., FineTuned]
Tensors = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@pytest.fixture(params=["partial", "full", "scratch"])
def run(request: pytest.FixtureRequest, folder: Path) -> Run:
    """Fine-tune a tiny network in one way from a head of zeros; partial: above its second layer."""
    card = find_card(str(write_tiny_backbone(folder)))
    images = read_images(write_tiny_images(folder / "images"))
    layer = card.taps[1].name
    plans = {
        "partial": recipe(len(images) // 2, layer, cached=True),
        "full": recipe(len(images) // 2),
        "scratch": recipe(len(images) // 2, scratch=True),
    }
    plan = dataclasses.replace(plans[request.param], epochs=4, batch_size=7, lr=3e-3)

    def tuned(checkpoint: Path | None = None) -> FineTuned:
        head = np.zeros((len(images.classes), card.taps[-1].channels), np.float32), np.zeros(3, np.float32)
        rows, validation = np.arange(0, len(images), 2), np.arange(1, len(images), 2)
        data = TrainingData(images, images.labels, rows, validation, None, None, None, seed=0)
        (result,) = fine_tune(
            card, plan, head, data, alphas=(1.0,), checkpoint=checkpoint, enough_time=lambda _: True, listener=SILENT
        )
        return result

    network = load(card) if plan.start == "pretrained" else untrained(card, 0)
    cut = find_cut(network, card, layer)
    tuned.plan, tuned.network = plan, network  # type: ignore[attr-defined]
    tuned.below = (*cut.below, cut.module) if plan.freeze_to is not None else ()  # type: ignore[attr-defined]
    return tuned


def test_only_what_it_names_moves_and_the_loss_falls(run: Run) -> None:
    network: nn.Module = run.network  # type: ignore[attr-defined]
    before = {name: value.numpy() for name, value in network.state_dict().items()}
    result = run()
    moved = {name for name, value in result.body.items() if value.tobytes() != before[name].tobytes()}
    below = tuple(f"{name}." for name in run.below)  # type: ignore[attr-defined]
    plan: Recipe = run.plan  # type: ignore[attr-defined]
    # what is pretrained keeps the statistics of its batch norm
    tensors = network.named_parameters() if plan.start == "pretrained" else network.state_dict().items()
    assert moved == {name for name, _ in tensors if not name.startswith(below) and "classifier" not in name}
    assert np.abs(result.head[0]).max() > 0
    losses = [loss for loss, _ in result.curve]
    assert result.curve[-1][1] < 0.8 * np.log(3)  # a head of zeros begins at log 3
    assert losses[-1] < 0.7 * losses[0]


class KilledError(Exception):
    pass


def test_a_kill_leaves_no_trace(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = run()
    save, epochs = loop._save_checkpoint, []

    def killed(*given: Any) -> None:
        save(*given)
        epochs.append(len(given[-1]))
        if epochs == [1, 2]:
            raise KilledError

    monkeypatch.setattr(loop, "_save_checkpoint", killed)
    with pytest.raises(KilledError):
        run(tmp_path / "checkpoint")
    again = run(tmp_path / "checkpoint")
    assert epochs == [1, 2, 3, 4]  # it went on, and did not begin again
    assert again.curve == undisturbed.curve
    np.testing.assert_array_equal(again.margins[1], undisturbed.margins[1])
    np.testing.assert_array_equal(again.head[0], undisturbed.head[0])
    assert all(undisturbed.body[name].tobytes() == again.body[name].tobytes() for name in again.body)
