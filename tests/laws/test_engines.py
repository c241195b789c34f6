"""Law 1: the codes of an image depend on the image alone, to the bit; and engines agree with each other."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from graftwork.backbones.batches import gathered, regrouped
from graftwork.backbones.cards import with_input
from graftwork.backbones.catalogue import find_card
from graftwork.backbones.engines import (
    AGREE,
    REFERENCE,
    Engine,
    candidates,
    choose_engine,
    open_engine,
    worst_error,
)
from graftwork.core.facts import BackboneCard, Preprocess
from graftwork.images.pixels import pixels
from graftwork.testing import tiny_image, write_tiny_backbone

TINY = ["test_byobnet", "test_convnext", "test_vit"]
KINDS = [*candidates(), *([REFERENCE] if REFERENCE not in candidates() else [])]
IMAGES = np.stack([tiny_image(i % 3, i) for i in range(7)])


@functools.cache
def tiny(architecture: str, folder: Path) -> BackboneCard:
    return find_card(str(write_tiny_backbone(folder, architecture=architecture)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@functools.cache
def engine_of(kind: str, architecture: str, folder: Path) -> Engine:
    return open_engine(tiny(architecture, folder), kind)


@functools.cache
def alone(kind: str, architecture: str, folder: Path) -> list[dict[str, NDArray[np.float32]]]:
    engine = engine_of(kind, architecture, folder)
    return [gathered(engine.stream([image[None]])) for image in IMAGES]


@pytest.mark.parametrize("architecture", TINY)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(data=st.data())
def test_codes_do_not_depend_on_batch_order_or_neighbours(
    kind: str, architecture: str, folder: Path, data: st.DataObject
) -> None:
    order = data.draw(st.lists(st.integers(0, len(IMAGES) - 1), min_size=1, max_size=23))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=5)))
    parts = np.split(IMAGES[order], cuts)
    codes = gathered(engine_of(kind, architecture, folder).stream(parts))
    for name, values in codes.items():
        expected = [alone(kind, architecture, folder)[i][name][0] for i in order]
        assert np.array_equal(values, np.stack(expected)), name


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_neighbours_change_nothing(kind: str, folder: Path) -> None:
    engine = engine_of(kind, "test_byobnet", folder)
    expected = alone(kind, "test_byobnet", folder)[0]
    for fill in (0, 255):
        crowd = np.full((9, *IMAGES[0].shape), fill, np.uint8)
        crowd[5] = IMAGES[0]
        codes = gathered(engine.stream([crowd]))
        assert all(np.array_equal(values[5], expected[name][0]) for name, values in codes.items())


@pytest.mark.parametrize("input_px", [96, 224])
def test_the_default_network_reads_an_image_alike_wherever_it_stands(input_px: int) -> None:
    card = with_input(find_card("efficientnet_lite0"), input_px=input_px)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (11, input_px, input_px, 3), dtype=np.uint8)
    for kind in candidates():
        engine = open_engine(card, kind)
        together = gathered(engine.stream([images]))
        order = rng.permutation(len(images))
        shuffled = gathered(engine.stream(images[i][None] for i in order))
        again = gathered(open_engine(card, kind).stream([images[:3], images[3:]]))
        for name, values in together.items():
            assert np.array_equal(values[order], shuffled[name]), (kind, name)
            assert np.array_equal(values, again[name]), (kind, name)


@pytest.mark.parametrize("architecture", TINY)
def test_openvino_agrees_with_torch(architecture: str, folder: Path) -> None:
    reference, engine = (engine_of(kind, architecture, folder) for kind in (REFERENCE, candidates()[0]))
    images = np.stack([tiny_image(i % 5, i) for i in range(40)])
    expected, codes = gathered(reference.stream([images])), gathered(engine.stream([images]))
    assert set(expected) == set(codes)
    assert worst_error(codes, expected) < 1e-4  # float32 both: the law allows 2 %


@functools.cache
def photos(folder: Path, preprocess: Preprocess) -> NDArray[np.uint8]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "imagenet-photos" / "photos.parquet", columns=["image"])
    return np.stack([pixels(image, preprocess) for image in table.column("image").to_pylist()[::8]])


@pytest.mark.parametrize(
    "name",
    ["efficientnet_lite0", "squeezenet1_1.mxnet_in1k", "mobilenetv2_100.tv_in1k"],
)
def test_the_chosen_engine_keeps_the_law_on_photos_it_was_not_chosen_on(name: str, shared: Path) -> None:
    file = shared / "weights" / f"{name}.safetensors"
    card = find_card(str(file) if file.is_file() else name)
    seen, unseen = photos(shared, card.preprocess)[:75], photos(shared, card.preprocess)[75:]
    choice = choose_engine(card, lambda n: seen[:n])
    codes = gathered(open_engine(card, choice.name).stream([unseen]))
    reference = gathered(open_engine(card, REFERENCE).stream([unseen]))
    assert worst_error(codes, reference) <= AGREE
    assert _equal_decisions(codes, reference) >= 0.995


def _equal_decisions(codes: dict[str, NDArray[np.float32]], reference: dict[str, NDArray[np.float32]]) -> float:
    """Share of images whose nearest of ten prototypes is the same, over all layers.

    Prototypes are images themselves, so classes are as close together as single images: harder than real ones.
    """
    same = []
    for name, values in reference.items():
        prototypes = values[:10]
        decided = [_nearest(rows[10:], prototypes) for rows in (values, codes[name])]
        same.append(decided[0] == decided[1])
    return float(np.mean(same))


def _nearest(rows: NDArray[np.float32], prototypes: NDArray[np.float32]) -> NDArray[np.intp]:
    distances = ((rows[:, None] - prototypes[None]) ** 2).sum(2)
    return np.asarray(distances.argmin(1))


@given(heights=st.lists(st.integers(0, 9), max_size=12), sizes=st.sets(st.integers(1, 6), min_size=1))
def test_regrouping_keeps_every_image_once_and_in_order(heights: list[int], sizes: set[int]) -> None:
    numbered = iter(range(sum(heights)))

    def batches() -> Iterator[NDArray[np.uint8]]:
        for n in heights:
            yield np.array([next(numbered) for _ in range(n)], np.uint8).reshape(n, 1, 1, 1)

    groups = list(regrouped(batches(), sorted(sizes)))
    assert {len(batch) for batch, _ in groups} <= sizes
    assert all(len(batch) == real for batch, real in groups[:-1])  # only the last one may be filled up
    assert sum(real == max(sizes) for _, real in groups) == sum(heights) // max(sizes)
    images = [int(value) for batch, real in groups for value in batch[:real, 0, 0, 0]]
    assert images == list(range(sum(heights)))
    if 1 in sizes:
        assert all(len(batch) == real for batch, real in groups)


def test_the_error_of_centred_codes() -> None:
    rng = np.random.default_rng(0)
    codes = {"a": rng.normal(size=(50, 8)), "b": rng.normal(size=(50, 4)) + 100}
    assert worst_error(codes, codes) == 0
    assert worst_error({name: values + 5 for name, values in codes.items()}, codes) < 1e-12  # a shift is no error
    off = {name: values.copy() for name, values in codes.items()}
    centred = codes["b"] - codes["b"].mean(0)
    off["b"][3] += 0.1 * centred[3]
    assert worst_error(off, codes) == pytest.approx(0.1, rel=0.05)  # of the image's own distance from the mean
