"""What is computed is computed once: images that reach the engine are counted."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork.advice.sources import GAUGE
from graftwork.core.facts import BackboneCard
from graftwork.steps import backbones
from graftwork.testing import tiny_image

NEW = 10


@dataclasses.dataclass
class Counted:
    """An engine that counts what it is given."""

    engine: object
    passes: list[int]

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[object]:
        def counted() -> Iterator[np.ndarray]:
            for batch in batches:
                self.passes[-1] += len(batch)
                yield batch

        return self.engine.stream(counted())


@pytest.fixture
def passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of images that each opened engine was given, but that of the gauge; the cache is empty."""
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    given: list[int] = []
    open_engine = backbones.open_engine

    def counted(card: BackboneCard, name: str) -> object:
        if card.name == f"package:{GAUGE}":  # similarity is measured with it, on some of the images, once too
            return open_engine(card, name)
        given.append(0)
        return Counted(open_engine(card, name), given)

    monkeypatch.setattr(backbones, "open_engine", counted)
    return given


@pytest.fixture
def more(tiny: Path, tmp_path: Path) -> Path:
    """The same images and ten new ones."""
    folder = tmp_path / "more"
    shutil.copytree(tiny, folder)
    for i in range(NEW):
        Image.fromarray(tiny_image(i % 3, 500 + i)).save(folder / ["ant", "bee", "cat"][i % 3] / f"new-{i}.png")
    return folder


def test_ten_new_images_cost_ten_passes_to_extract_and_a_second_time_costs_none(
    tiny: Path, more: Path, tmp_path: Path, passes: list[int], random_network: dict[str, object]
) -> None:
    backbone = random_network["backbone"]
    graftwork.extract(tiny, output=tmp_path / "codes.npz", backbone=backbone)
    assert passes == [60]  # every layer in one pass
    graftwork.extract(more, output=tmp_path / "more.npz", backbone=backbone)
    assert passes == [60, NEW]
    graftwork.extract(more, output=tmp_path / "again.npz", backbone=backbone)
    assert passes == [60, NEW]  # no engine is made at all
    graftwork.extract(tiny, output=tmp_path / "pad.npz", backbone=backbone, aspect="pad")
    assert passes == [60, NEW, 60]  # other preprocessing, other codes


def test_ten_new_images_cost_ten_passes_to_train_and_a_second_run_costs_none(
    tiny: Path, more: Path, tmp_path: Path, passes: list[int], random_network: dict[str, object]
) -> None:
    first = graftwork.train(tiny, output=tmp_path / "first", **random_network)
    assert sum(passes) == 60
    graftwork.train(more, output=tmp_path / "second", split_from=first.folder, **random_network)
    assert sum(passes) == 60 + NEW
    graftwork.train(more, output=tmp_path / "again", split_from=first.folder, metric="log-loss", **random_network)
    graftwork.extract(more, output=tmp_path / "codes.npz", backbone=random_network["backbone"])
    graftwork.probe(more, backbone=random_network["backbone"])
    assert sum(passes) == 60 + NEW


def test_one_image_under_two_names_is_extracted_once(
    tiny: Path, tmp_path: Path, passes: list[int], random_network: dict[str, object]
) -> None:
    shutil.copytree(tiny, tmp_path / "twice")
    shutil.copy(tiny / "ant" / "ant-000.png", tmp_path / "twice" / "ant" / "copy.png")
    graftwork.extract(tmp_path / "twice", output=tmp_path / "codes.npz", backbone=random_network["backbone"])
    assert passes == [60]
