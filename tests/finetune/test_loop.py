"""The training loop: frozen is frozen, a killed training goes on as it was, and failures are reported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from in_processes import in_float32

from graftwork.backbones.load import load
from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.errors import TrainingError
from graftwork.finetune import loop
from graftwork.finetune.cut import find_cut
from graftwork.finetune.loop import OutOfTimeError
from graftwork.finetune.network import Classifier
from graftwork.finetune.sources import TrainingData
from graftwork.finetune.tune import FineTuned, fine_tune
from graftwork.images.read import read_images
from graftwork.listener import SILENT, Listener
from graftwork.testing import write_tiny_images

RandomCard = Callable[[str], BackboneCard]
RECIPE = Recipe(freeze_to=None, epochs=3, batch_size=8, lr=3e-3)


@pytest.fixture
def tuned(random_card: RandomCard, tmp_path: Path) -> Callable[..., FineTuned]:
    """Fine-tune a tiny network on tiny images, from a head of zeros."""
    card = random_card("test_efficientnet")
    images = read_images(write_tiny_images(tmp_path / "images"))

    def run(recipe: Recipe = RECIPE, *, seed: int = 0, views: int = 1, **other: Any) -> FineTuned:
        width, k = card.taps[-1].channels, len(images.classes)
        head = np.zeros((k, width), np.float32), np.zeros(k, np.float32)
        rows, validation = np.arange(0, len(images), 2), np.arange(1, len(images), 2)
        data = TrainingData(images, images.labels, rows, validation, None, None, None, seed, views)
        arguments: dict[str, Any] = {
            "alphas": (1.0,), "checkpoint": None, "enough_time": lambda seconds: True, "listener": SILENT, **other
        }  # fmt: skip
        results = fine_tune(card, recipe, head, data, **arguments)
        return results[0] if len(results) == 1 else results

    run.card = card  # type: ignore[attr-defined]
    return run


def test_training_and_validation_loss_fall(tuned: Callable[..., FineTuned]) -> None:
    result = tuned(dataclasses.replace(RECIPE, epochs=8))
    assert result.curve[-1][0] < 0.7 * result.curve[0][0]
    assert result.curve[-1][1] < result.curve[0][1]


def test_law_3_nothing_below_the_cut_moves_by_a_bit(tuned: Callable[..., FineTuned]) -> None:
    card = tuned.card
    layer = card.taps[-3].name
    network = load(card)
    cut = find_cut(network, card, layer)
    before = {name: value.numpy() for name, value in network.state_dict().items()}
    result = tuned(dataclasses.replace(RECIPE, freeze_to=layer))
    below = tuple(f"{name}." for name in (*cut.below, cut.module))
    frozen = [name for name in before if name.startswith(below)]
    assert frozen
    assert all(np.array_equal(before[name], result.body[name]) for name in frozen)
    moved = [name for name in before if not np.array_equal(before[name], result.body[name])]
    assert moved


def test_statistics_of_batch_norm_do_not_move(tuned: Callable[..., FineTuned]) -> None:
    before = {name: value.numpy() for name, value in load(tuned.card).state_dict().items()}
    result = tuned()
    statistics = [name for name in before if "running_" in name]
    assert statistics
    assert all(np.array_equal(before[name], result.body[name]) for name in statistics)


def test_patience_stops_a_training_whose_validation_loss_does_not_fall(
    tuned: Callable[..., FineTuned], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = iter([3.0, 2.0, 2.5, 2.5, 1.0])
    monkeypatch.setattr(loop, "_log_loss", lambda *given: next(watched))
    recipe = dataclasses.replace(RECIPE, epochs=5)
    result = tuned(dataclasses.replace(recipe, patience=2), checkpoint=tmp_path / "checkpoint")
    assert [loss for _, loss in result.curve] == [3.0, 2.0, 2.5, 2.5]
    again = tuned(dataclasses.replace(recipe, patience=2), checkpoint=tmp_path / "checkpoint")
    assert again.curve == result.curve
    watched = iter([3.0, 2.0, 2.5, 2.5])
    fitted = tuned(dataclasses.replace(recipe, stop_at=4))
    assert all(np.array_equal(fitted.body[name], result.body[name]) for name in result.body)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_killed_training_goes_on_as_if_it_had_not_been(
    tuned: Callable[..., FineTuned], tmp_path: Path, epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = tuned()
    save = loop._save_checkpoint

    def killed(folder: Any, classifier: Any, optimiser: Any, recipe: Any, curve: Any) -> None:
        save(folder, classifier, optimiser, recipe, curve)
        if len(curve) == epoch:
            raise KilledError

    monkeypatch.setattr(loop, "_save_checkpoint", killed)
    with pytest.raises(KilledError):
        tuned(checkpoint=tmp_path / "checkpoint")
    monkeypatch.setattr(loop, "_save_checkpoint", save)
    again = tuned(checkpoint=tmp_path / "checkpoint")
    assert again.curve == undisturbed.curve
    np.testing.assert_array_equal(again.margins[1], undisturbed.margins[1])
    assert all(np.array_equal(undisturbed.body[name], again.body[name]) for name in again.body)


@pytest.mark.parametrize("file", ["state.safetensors", "progress.json"])
def test_a_truncated_checkpoint_is_ignored(tuned: Callable[..., FineTuned], tmp_path: Path, file: str) -> None:
    undisturbed = tuned(checkpoint=tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / file
    path.write_bytes(path.read_bytes()[:-40])
    again = tuned(checkpoint=tmp_path / "checkpoint")
    np.testing.assert_array_equal(again.margins[1], undisturbed.margins[1])


def test_alpha_interpolates_between_the_linear_model_and_the_tuned_one(tuned: Callable[..., Any]) -> None:
    none, half, full = tuned(alphas=(0.0, 0.5, 1.0))
    name = next(name for name in full.body if not np.array_equal(none.body[name], full.body[name]))
    np.testing.assert_allclose(half.body[name], (none.body[name] + full.body[name]) / 2, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(none.head[0], 0)


def test_an_infinite_loss_is_an_error_that_says_what_to_do(tuned: Callable[..., FineTuned]) -> None:
    with pytest.raises(TrainingError, match=r"lower --lr from 1e\+30"):
        tuned(dataclasses.replace(RECIPE, lr=1e30))


def test_a_divergence_in_the_only_step_is_an_error_too(tuned: Callable[..., FineTuned]) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=512, lr=1e30)
    with pytest.raises(TrainingError, match="give a lower --lr"):
        tuned(recipe)


def test_any_seed_that_numpy_takes_will_do(tuned: Callable[..., FineTuned]) -> None:
    assert len(tuned(dataclasses.replace(RECIPE, epochs=1), seed=20_261_125).curve) == 1


def test_no_time_is_noticed_after_the_first_steps(tuned: Callable[..., FineTuned]) -> None:
    asked_seconds = []

    def enough_time(seconds: float) -> bool:
        asked_seconds.append(seconds)
        return False

    with pytest.raises(OutOfTimeError):
        tuned(enough_time=enough_time)
    assert len(asked_seconds) == 1
    assert asked_seconds[0] > 0


def test_a_batch_that_does_not_fit_is_taken_in_pieces(
    tuned: Callable[..., FineTuned], monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_float32():
        expected = tuned()
    forward = Classifier.forward
    said: list[str] = []

    def small_memory(self: Classifier, inputs: torch.Tensor) -> torch.Tensor:
        if self.training is False and torch.is_grad_enabled() and len(inputs) > 4:
            raise RuntimeError("CUDA out of memory.")
        return forward(self, inputs)

    monkeypatch.setattr(Classifier, "forward", small_memory)
    with in_float32():
        listener = Listener()
        listener.say = said.append  # type: ignore[method-assign]
        pieces = tuned(listener=listener)
    assert said == ["a batch of 8 images does not fit into memory; its gradient is accumulated over 2 pieces"]
    np.testing.assert_allclose(pieces.margins[1], expected.margins[1], rtol=0.02, atol=0.02)


def test_from_scratch_starts_from_random_weights(tuned: Callable[..., FineTuned]) -> None:
    before = {name: value.numpy() for name, value in load(tuned.card).state_dict().items()}
    result = tuned(
        dataclasses.replace(RECIPE, start="random", epochs=1), seed=5
    )  # the card itself was drawn from seed 0
    convolutions = [name for name in before if before[name].ndim == 4]
    assert convolutions
    assert all(np.abs(before[name] - result.body[name]).max() > 0.01 for name in convolutions)


def test_learning_rates_rise_and_fall_and_none_is_zero() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([{"params": [weight], "lr": 2.0}])
    classifier = Classifier(torch.nn.Identity(), (np.zeros((2, 1), np.float32), np.zeros(2, np.float32)))
    step = loop._Step(Accelerator(), classifier, optimiser, RECIPE, 40, None, SILENT)
    learning_rates = []
    for number in range(1, 41):
        step._schedule.step_update(number)
        learning_rates.append(optimiser.param_groups[0]["lr"])
    assert learning_rates[3] == max(learning_rates) == 2
    assert learning_rates[:4] == pytest.approx([0.5, 1, 1.5, 2])
    assert learning_rates[3:] == sorted(learning_rates[3:], reverse=True)
    assert 0 < learning_rates[-1] < 0.01


def test_one_schedule_spans_all_epochs(tuned: Callable[..., FineTuned], monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = []
    take = loop._Step.__call__

    def noted(self: loop._Step, inputs: torch.Tensor, targets: torch.Tensor, batch_size: int, number: int) -> float:
        numbers.append(number)
        return take(self, inputs, targets, batch_size, number)

    monkeypatch.setattr(loop._Step, "__call__", noted)
    tuned()
    assert numbers == list(range(1, 3 * 4 + 1))  # 30 images in batches of 8


def test_margins_over_views_are_the_mean_of_those_of_each_view(tuned: Callable[..., FineTuned]) -> None:
    result = tuned(views=4)
    assert set(result.margins) == {1, 4}
    assert not np.allclose(result.margins[1], result.margins[4], atol=1e-3)
    np.testing.assert_array_equal(result.margins[1], tuned().margins[1])
