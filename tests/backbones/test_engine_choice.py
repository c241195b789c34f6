"""The engine is chosen by measuring: the fastest that agrees, recorded and used again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from graftwork.backbones import engines
from graftwork.backbones.batches import Codes
from graftwork.backbones.engines import AGREE, choose_engine, open_engine
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError
from graftwork.testing import tiny_image

PIXELS = np.stack([tiny_image(i % 3, i) for i in range(24)])


class FakeEngine:
    """As fast and as wrong as it is told to be."""

    names = ("a",)

    def __init__(self, name: str, seconds: float, error: float) -> None:
        self.name, self.seconds, self.error = name, seconds, error

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Codes]:
        rng = np.random.default_rng(0)
        for pixels in batches:
            time.sleep(self.seconds)
            codes = pixels.reshape(len(pixels), -1)[:, ::97].astype(np.float32)
            centred = codes - codes.mean(0)
            direction = rng.normal(size=codes.shape).astype(np.float32)
            direction *= np.linalg.norm(centred, axis=1, keepdims=True) / np.linalg.norm(
                direction, axis=1, keepdims=True
            )
            yield {"a": codes + self.error * direction}


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, FakeEngine]:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path))  # what other tests chose is not met
    made = {
        "exact": FakeEngine("exact", 0.02, 0.0),
        "quick": FakeEngine("quick", 0.005, AGREE / 2),
        "wrong": FakeEngine("wrong", 0.0, AGREE * 2),
    }
    monkeypatch.setattr(engines, "candidates", lambda: list(made))
    monkeypatch.setattr(engines, "open_engine", lambda card, name: made[name])
    return made


@pytest.mark.parametrize("damage", ["{", "", "[]", "null", "{}", '{"name": "exact"}'])
def test_a_damaged_record_is_passed_over_and_written_anew(
    fakes: dict[str, FakeEngine], tiny_card: Callable[..., BackboneCard], tmp_path: Path, damage: str
) -> None:
    card = tiny_card()
    choice = choose_engine(card, lambda n: PIXELS[:n])
    (cached,) = (tmp_path / "engines").glob("*.json")
    cached.write_text(damage)
    assert choose_engine(card, lambda n: PIXELS[:n]).name == choice.name
    assert json.loads(cached.read_text())["name"] == choice.name


def test_the_fastest_that_agrees_is_taken_and_recorded(
    fakes: dict[str, FakeEngine], tiny_card: Callable[..., BackboneCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tiny_card()
    choice = choose_engine(card, lambda n: PIXELS[:n])
    assert choice.name == "quick"
    assert choice.worst_error["wrong"] > AGREE > choice.worst_error["quick"] > 0 == choice.worst_error["exact"]
    assert set(choice.images_per_second) == {"exact", "quick"}
    assert choice.images == len(PIXELS)
    fakes["exact"].seconds, fakes["quick"].seconds = 0.0, 0.1
    assert choose_engine(card, lambda n: PIXELS[:n]) == choice  # measured once
    monkeypatch.setattr(engines, "machine_name", lambda: "another machine")
    assert choose_engine(card, lambda n: PIXELS[:n]).name == "exact"


def test_of_the_only_engine_no_more_is_measured_than_its_rate(
    fakes: dict[str, FakeEngine], tiny_card: Callable[..., BackboneCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, streamed = [], []

    def sample(n: int) -> NDArray[np.uint8]:
        sizes.append(n)
        return PIXELS[:n]

    class Counting(FakeEngine):
        def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Codes]:
            for codes in super().stream(batches):
                streamed.append(len(codes["a"]))
                yield codes

    choose_engine(tiny_card("test_convnext"), sample)
    fakes["exact"] = Counting("exact", engines._ROUND_SECONDS, 0.0)  # one batch is a round
    monkeypatch.setattr(engines, "candidates", lambda: ["exact"])
    choice = choose_engine(tiny_card(), sample)
    assert choice.name == "exact"
    assert 0 < choice.images_per_second["exact"] < len(PIXELS) / fakes["exact"].seconds
    assert streamed == 2 * [len(PIXELS)]  # once to warm up, and once to measure
    compared, alone = sizes
    assert alone < compared
    few = choose_engine(tiny_card("test_vit"), lambda n: PIXELS[:1])
    assert few.images_per_second["exact"] > 0  # nothing is compared, so one image is enough


def test_an_engine_at_the_limit_of_the_law_is_not_taken(
    fakes: dict[str, FakeEngine], tiny_card: Callable[..., BackboneCard]
) -> None:
    fakes["quick"].error = AGREE * 0.97  # what lies unseen may be worse than the sample
    assert choose_engine(tiny_card("test_convnext"), lambda n: PIXELS[:n]).name == "exact"


def test_with_few_images_float32_is_taken_and_nothing_recorded(
    fakes: dict[str, FakeEngine], tiny_card: Callable[..., BackboneCard]
) -> None:
    card = tiny_card("test_vit")
    few = choose_engine(card, lambda n: PIXELS[:3])
    assert (few.name, few.worst_error, few.images) == ("exact", {}, 3)
    assert choose_engine(card, lambda n: PIXELS[:n]).name == "quick"


def test_identical_images_measure_nothing(fakes: dict[str, FakeEngine], tiny_card: Callable[..., BackboneCard]) -> None:
    same = np.repeat(PIXELS[:1], 20, axis=0)
    assert choose_engine(tiny_card("test_efficientnet"), lambda n: same[:n]).name == "exact"


def test_an_engine_that_is_not_here_is_one_line(tiny_card: Callable[..., BackboneCard]) -> None:
    with pytest.raises(BackboneError, match=r"the engine tpu int4 must be one of .*; train again on this machine"):
        open_engine(tiny_card(), "tpu int4")


def test_without_openvino_plain_torch_runs(
    tiny_card: Callable[..., BackboneCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_openvino_version", lambda: None)
    card = tiny_card()
    choice = choose_engine(card, lambda n: PIXELS[:n])
    assert choice.name == engines.REFERENCE
    assert choice.machine.endswith("OpenVINO absent")
    blocks = list(open_engine(card, choice.name).stream([PIXELS[:5], PIXELS[5:]]))
    assert sum(len(block["pooled"]) for block in blocks) == len(PIXELS)


def test_two_cards_never_share_a_graph(tiny_card: Callable[..., BackboneCard]) -> None:
    from graftwork.backbones.cards import with_input, with_layers, with_pooling

    card = tiny_card()
    others = [
        card,
        with_input(card, input_px=64),
        with_layers(card, ["pooled"]),
        with_pooling(card, pool="max"),
        with_pooling(card, relu="before"),
        tiny_card("test_convnext"),
    ]
    assert len({engines._graph(other) for other in others}) == len(others)
    assert engines._graph(with_input(card, aspect="pad")) == engines._graph(card)  # how images are cut is no part of it
