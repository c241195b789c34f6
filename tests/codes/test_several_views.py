"""Several views of an image are computed from one decoding, and are what each view alone gives, whatever is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from graftwork.codes import extract as module
from graftwork.codes.extract import extract
from graftwork.codes.settings import ExtractionSettings
from graftwork.codes.store import Store
from graftwork.core.facts import BackboneCard, Preprocess, Tap
from graftwork.errors import DataError
from graftwork.images.imageset import ImageSet
from graftwork.images.read import read_images
from graftwork.testing import write_tiny_images

CARD = BackboneCard(
    "file:net", "file", "net", "x", Preprocess(input_px=8), (Tap("mean", 1.0, 3), Tap("corner", 1.0, 3))
)


class Engine:
    """Means and corners of pixels; in blocks that end between the views of an image."""

    name, names = "test", ("mean", "corner")

    def stream(self, batches: Iterator[NDArray[np.uint8]]) -> Iterator[dict[str, NDArray[np.float32]]]:
        held = np.concatenate(list(batches))
        for begin in range(0, len(held), 5):
            part = held[begin : begin + 5].astype(np.float32)
            yield {"mean": part.mean(axis=(1, 2)), "corner": part[:, 0, 0]}


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return read_images(write_tiny_images(tmp_path / "images", per_class=7))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    counted: Counter[int] = Counter()
    read = ImageSet.read

    def counting(self: ImageSet, i: int) -> bytes:
        counted[i] += 1
        return read(self, i)

    monkeypatch.setattr(ImageSet, "read", counting)
    return counted


def spaces(images: ImageSet, store: Store, views: int) -> list[NDArray[np.floating]]:
    codes = extract(images, ExtractionSettings(CARD, "test", views, "float32"), Engine, store)
    return [space.gather(codes.digests, layer) for space in codes.spaces for layer in ("mean", "corner")]


@pytest.mark.parametrize("shard", [1, 4, 1000])
def test_each_image_is_decoded_once_for_all_views(
    images: ImageSet, reads: Counter[int], tmp_path: Path, shard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_IMAGES", shard)
    together = spaces(images, Store(tmp_path / "together"), 8)
    assert reads == Counter(range(len(images)))
    store = Store(tmp_path / "one by one")
    for image in range(len(images)):
        spaces(images.take(np.array([image])), store, 8)
    reads.clear()
    alone = spaces(images, store, 8)
    assert not reads
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
    assert len({values.tobytes() for values in together[::2]}) == 8


def test_views_that_lack_other_images_are_completed(images: ImageSet, reads: Counter[int], tmp_path: Path) -> None:
    expected = spaces(images, Store(tmp_path / "expected"), 4)
    store = Store(tmp_path / "store")
    spaces(images.take(np.arange(5)), store, 4)
    spaces(images, store, 1)  # now the plain view lacks nothing, and the others all but five
    reads.clear()
    assert all(np.array_equal(a, b) for a, b in zip(spaces(images, store, 4), expected, strict=True))
    assert reads == Counter(range(5, len(images)))


def test_what_was_computed_before_a_broken_image_is_stored_in_every_view(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stepwise(Engine):
        def stream(self, batches: Iterator[NDArray[np.uint8]]) -> Iterator[dict[str, NDArray[np.float32]]]:
            for batch in batches:
                yield from Engine.stream(self, iter([batch]))

    read = ImageSet.read
    monkeypatch.setattr(ImageSet, "read", lambda self, i: read(self, i) if i != 12 else b"GIF89a, cut off")
    settings, store = ExtractionSettings(CARD, "test", 4, "float32"), Store(tmp_path / "store")
    with pytest.raises(DataError):
        extract(images, settings, Stepwise, store)
    monkeypatch.setattr(ImageSet, "read", lambda self, i: pytest.fail("read again"))
    codes = extract(images.take(np.arange(12)), settings, lambda: pytest.fail("no engine is needed"), store)
    assert codes.of(["mean"]).shape == (12, 3)
