"""How a network is trained is measured once, recorded, and used again, whatever a later measurement would say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.finetune import depthwise, engine, network
from graftwork.finetune.depthwise import WEIGHT_PATHS, GradientPaths
from graftwork.finetune.engine import FLOAT32, TrainingEngine, TrainingEngineChoice, training_engine
from graftwork.finetune.network import Classifier, trainable
from graftwork.finetune.timing import best_seconds, fastest

RandomCard = Callable[[str], BackboneCard]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let measurements of both precisions give chosen seconds."""
    monkeypatch.setattr(engine, "_precisions", lambda device: ("float32", "bfloat16"))
    monkeypatch.setattr(depthwise, "best_seconds", lambda runs, clock: {name: 1 / len(name) for name in runs})

    def seconds(**of: float) -> None:
        monkeypatch.setattr(engine, "best_seconds", lambda runs, clock: {name: of[name] for name in runs})

    return seconds


def records(cache: Path) -> list[Path]:
    return sorted((cache / "engines").glob("training-*.json"))


def test_the_choice_holds_where_a_later_measurement_would_differ(
    random_card: RandomCard, says: Callable[..., None], empty_cache: Path
) -> None:
    card = random_card("test_efficientnet")
    says(float32=2.0, bfloat16=1.0)
    first = training_engine(card)
    says(float32=1.0, bfloat16=2.0)
    assert training_engine(card) == first
    assert first.precision == "bfloat16"
    assert first.gradients
    assert all(name.endswith("bfloat16") for name in first.gradients)
    assert set(first.gradients.values()) == {GradientPaths("spread", "images as channels")}
    (record,) = records(empty_cache)
    record.write_text("{")
    assert training_engine(card).precision == "float32"  # a damaged record is made anew


def test_precision_changes_only_for_a_gain(random_card: RandomCard, says: Callable[..., None]) -> None:
    says(float32=1.0, bfloat16=0.95)
    assert training_engine(random_card("test_efficientnet")).precision == "float32"


def test_another_input_is_measured_anew(random_card: RandomCard, says: Callable[..., None], empty_cache: Path) -> None:
    card = random_card("test_efficientnet")
    larger = dataclasses.replace(card, preprocess=dataclasses.replace(card.preprocess, input_px=64))
    says(float32=1.0, bfloat16=2.0)
    assert training_engine(card) != training_engine(larger)
    assert len(records(empty_cache)) == 2


def test_the_first_of_two_processes_chooses_for_both(
    random_card: RandomCard, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(card: Any, device: Any, machine: str) -> TrainingEngineChoice:
        (empty_cache / "engines").mkdir(parents=True)
        monkeypatch.setattr(engine, "_measured", None)
        other = TrainingEngineChoice(TrainingEngine("bfloat16", {"layer": GradientPaths()}), {}, machine)
        monkeypatch.setattr(engine, "_measured", lambda *_: other)
        assert training_engine(card) == other.engine
        return TrainingEngineChoice(FLOAT32, {}, machine)

    monkeypatch.setattr(engine, "_measured", measured)
    card = random_card("test_efficientnet")
    assert training_engine(card).precision == "bfloat16"
    assert training_engine(card).precision == "bfloat16"


def test_a_processor_without_instructions_for_bfloat16_trains_in_float32(
    random_card: RandomCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert engine._precisions(torch.device("cpu")) == ("float32",)
    assert engine._precisions(torch.device("mps")) == ("float32",)
    assert training_engine(random_card("test_efficientnet")).precision == "float32"


def test_accelerate_adds_no_precision_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    AcceleratorState._reset_state()  # a process has one
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert engine.accelerated().mixed_precision == "no"


def test_a_network_without_depthwise_layers_keeps_torchs_gradients(
    random_card: RandomCard, says: Callable[..., None]
) -> None:
    says(float32=1.0, bfloat16=2.0)
    assert training_engine(random_card("resnet10t")) == FLOAT32


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_classifier_computes_as_its_engine_says(
    random_card: RandomCard, precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = random_card("test_efficientnet")
    inputs = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    head = np.ones((3, card.taps[-1].channels), np.float32), np.zeros(3, np.float32)
    used, dtypes = [], []
    windows = WEIGHT_PATHS["windows"]

    def noted(gradient: torch.Tensor, *rest: Any) -> torch.Tensor:
        used.append(gradient.dtype)
        return windows(gradient, *rest)

    monkeypatch.setitem(WEIGHT_PATHS, "windows", noted)
    plain = TrainingEngine(precision, {})
    monkeypatch.setattr(network, "training_engine", lambda card: plain)
    classifier = trainable(card, Recipe(None, epochs=1), head, cached=False, seed=0).classifier

    def gradients(engine: TrainingEngine) -> list[torch.Tensor]:
        classifier.engine = engine
        margins = classifier(inputs)
        dtypes.append(margins.dtype)
        weights = [p for p in classifier.parameters() if p.requires_grad]
        return list(torch.autograd.grad(margins.square().mean(), weights))

    with plain.computing(inputs.device):
        layers = depthwise.depthwise_layers(lambda: classifier(inputs))
    assert layers
    expected = gradients(plain)
    assert not used
    actual = gradients(TrainingEngine(precision, {layer.name: GradientPaths(weight="windows") for layer in layers}))
    assert used == [getattr(torch, precision)] * len(layers)
    assert dtypes == [torch.float32] * 2
    for other, usual in zip(actual, expected, strict=True):
        tolerance = {"float32": 1e-4, "bfloat16": 2e-2}[precision]
        assert (other - usual).norm() <= tolerance * usual.norm()


def test_a_classifier_of_its_own_computes_in_float32() -> None:
    classifier = Classifier(torch.nn.Identity(), (np.eye(2, dtype=np.float32), np.zeros(2, np.float32)))
    assert classifier.engine == FLOAT32


def test_what_is_much_slower_is_run_once_to_warm_up_and_once_to_measure() -> None:
    runs = {"fast": 0, "slow": 0}
    ticks = iter([0.0, 1, 1, 11, *(point for n in range(9) for point in (20 + n, 20.5 + n))])

    def run(name: str) -> None:
        runs[name] += 1

    seconds = best_seconds({name: lambda name=name: run(name) for name in runs}, lambda: next(ticks))  # type: ignore[misc]
    assert runs == {"fast": 3, "slow": 2}
    assert seconds == {"fast": 0.5, "slow": 10}
    assert fastest(seconds, "slow") == "fast"
