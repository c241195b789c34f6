from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, paint, write
from PIL import Image

from graftwork.core.splits import make_split
from graftwork.images.check import check
from graftwork.images.measure import measure_images
from graftwork.images.near_duplicates import candidate_pairs, likeness_threshold, near_duplicates
from graftwork.images.read import read_images


def crop(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    cut = np.floor(rng.uniform(share / 2, share, 2) * image.size)
    left, top = rng.random(2) * cut
    box = (left, top, left + image.width - cut[0], top + image.height - cut[1])
    return image.crop(tuple(round(side) for side in box))


COPIES = {
    "re-encoded": lambda image, rng: encoded(image, "JPEG", quality=int(rng.integers(30, 90))),
    "resized": lambda image, rng: encoded(
        image.resize([max(32, round(side * rng.uniform(0.6, 1.5))) for side in image.size]), "PNG"
    ),
    "cropped": lambda image, rng: encoded(crop(image, 0.08, rng), "PNG"),
}


@pytest.mark.parametrize("name", ["dogcat", "pacs-sketch", "neu-steel", "trashnet"])
@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_distinct_images_are_not(sets: Path, tmp_path: Path, name: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    original = read_images(sets / name)
    chosen = rng.choice(len(original), 160, replace=False)
    for i in chosen:
        write(tmp_path / original.names[i], original.read(int(i)))
    for i in chosen[:40]:
        image = Image.open(io.BytesIO(original.read(int(i)))).convert("RGB")
        write(tmp_path / f"{original.names[i]}.copy.png", COPIES[kind](image, rng))
    images = read_images(tmp_path)
    groups = near_duplicates(measure_images(images), images.labels).groups
    place = {image: i for i, image in enumerate(images.names)}
    grouped = [groups[place[original.names[i]]] == groups[place[f"{original.names[i]}.copy.png"]] for i in chosen[:40]]
    assert np.mean(grouped) >= 0.95
    alone = [i for i, image in enumerate(images.names) if not image.endswith(".copy.png")]
    assert 160 - len(np.unique(groups[alone])) <= 2


def test_different_pictures_are_no_copies(tmp_path: Path) -> None:
    for i in range(60):
        write(tmp_path / f"{i}.jpg", paint(i, (80, 60)))
    images = read_images(tmp_path)
    assert len(near_duplicates(measure_images(images), images.labels).pairs) == 0


def test_colour_alone_makes_a_difference(tmp_path: Path) -> None:
    disc = np.hypot(*np.mgrid[-20:44, -30:34]) < 16
    disc[40:48, 5:50] = True
    for name, colour in {"red": (200, 30, 30), "blue": (30, 30, 200)}.items():
        picture = np.where(disc[..., None], np.array(colour), 128).astype(np.uint8)
        write(tmp_path / f"{name}.png", encoded(Image.fromarray(picture), "PNG"))
        write(tmp_path / f"{name}.jpg", encoded(Image.fromarray(picture), "JPEG", quality=70))
        write(tmp_path / f"{name}-blank.png", encoded(Image.new("RGB", (64, 64), colour), "PNG"))
    images = read_images(tmp_path)
    near = near_duplicates(measure_images(images), images.labels)
    assert {frozenset(images.names[i] for i in pair) for pair in near.pairs} == {
        frozenset({"red.png", "red.jpg"}),
        frozenset({"blue.png", "blue.jpg"}),
    }


def shot(inside: tuple[int, int, int], seed: int, radius: int = 17) -> Image.Image:
    """A round thing with a dark rim, photographed from above on white: its outline is that of many others."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-30:34, -38:42] + rng.normal(0, 0.3, 2)[:, None, None]
    distance = np.hypot(y, x)[..., None]
    picture = np.where(distance < radius, np.array(inside), np.array([212, 214, 222]))
    picture = np.where(np.abs(distance - radius) < 2, np.array([30, 30, 28]), picture)
    picture = picture + rng.normal(0, 2, (*distance.shape[:2], 1))
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).resize((320, 256), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("quality", [30, 90])
def test_two_things_of_one_outline_and_other_colours_are_no_copies(tmp_path: Path, quality: int) -> None:
    colours = {"glass": (120, 70, 20), "plastic": (20, 90, 60), "cap": (40, 60, 170)}
    for seed, (name, colour) in enumerate(colours.items()):
        image = shot(colour, seed)
        write(tmp_path / name / "photo.jpg", encoded(image, "JPEG", quality=95))
        write(tmp_path / name / "copy.jpg", encoded(image.resize((200, 160)), "JPEG", quality=quality))
    images = read_images(tmp_path)
    near = near_duplicates(measure_images(images), images.labels)
    assert {frozenset(images.names[i] for i in pair) for pair in near.pairs} == {
        frozenset({f"{name}/photo.jpg", f"{name}/copy.jpg"}) for name in colours
    }


def test_a_grey_copy_of_a_coloured_picture_is_a_copy(tmp_path: Path) -> None:
    image = shot((160, 60, 30), 0)
    write(tmp_path / "colour.jpg", encoded(image, "JPEG", quality=90))
    write(tmp_path / "grey.jpg", encoded(image.convert("L"), "JPEG", quality=60))
    images = read_images(tmp_path)
    assert near_duplicates(measure_images(images), images.labels).pairs.tolist() == [[0, 1]]


def test_near_duplicates_with_other_labels_say_how_alike_they_are(folder: Path) -> None:
    write(folder / "dog" / "copy.jpg", paint(0, quality=50))
    images = read_images(folder)
    findings = {finding.code: finding for finding in check(images, measure_images(images), input_px=64).findings}
    likeness = near_duplicates(measure_images(images), images.labels).likeness[0]
    assert (
        f"Their pixels correlate by {likeness:.3f} to {likeness:.3f} (the same picture: 1)" in findings["G106"].because
    )


def test_the_threshold_rises_where_different_classes_are_alike() -> None:
    likeness = np.concatenate([np.full(99, 0.6), [0.8], np.full(50, 0.99)]).astype(np.float32)
    one, other = np.zeros(150, int), np.concatenate([np.ones(100, int), np.zeros(50, int)])
    easy = likeness_threshold(likeness, one, other)
    hard = likeness_threshold(np.minimum(likeness + 0.3, 1), one, other)
    assert easy == pytest.approx(0.85)
    assert hard == pytest.approx(0.95, abs=0.01)
    assert likeness_threshold(likeness, one, one) == 0.85


def test_comparisons_grow_like_n_and_not_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    count_bits = np.bitwise_count

    def counting(words: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(words)
        return count_bits(words)

    monkeypatch.setattr(np, "bitwise_count", counting)
    rng = np.random.default_rng(0)
    comparisons = []
    for n in (5_000, 20_000):
        hashes = rng.integers(0, 256, (n, 19, 8), dtype=np.uint8)
        compared = 0
        candidate_pairs(hashes, np.ones(n, bool))
        comparisons.append(compared)
    assert 0 < comparisons[1] < 6 * comparisons[0]  # sixteen times would be the square


def test_frames_that_all_look_alike_do_not_explode() -> None:
    hashes = np.tile(np.random.default_rng(0).integers(0, 256, (1, 19, 8), dtype=np.uint8), (3000, 1, 1))
    candidates = candidate_pairs(hashes, np.ones(3000, bool))
    assert len(candidates.whole) <= 3000 * 16
    assert (np.bincount(np.concatenate([candidates.whole, candidates.part]), minlength=3000) > 0).all()


def test_near_duplicates_are_on_one_side_of_every_split(folder: Path) -> None:
    for i in range(4):
        image = Image.open(folder / "cat" / f"{i}.jpg")
        write(folder / "cat" / f"{i}-small.png", encoded(image.resize((36, 27)), "PNG"))
    images = read_images(folder)
    measurements = measure_images(images)
    problems = check(images, measurements)
    place = {name: i for i, name in enumerate(images.names)}
    for seed in range(20):
        split = make_split(images.labels, problems.groups, seed=seed, test_fraction=0.3, n_folds=2)
        for i in range(4):
            pair = [place[f"cat/{i}.jpg"], place[f"cat/{i}-small.png"]]
            assert np.isin(pair, split.test).sum() != 1
            where = [np.flatnonzero(split.develop == image) for image in pair]
            if len(where[0]):
                assert split.folds[where[0]] == split.folds[where[1]]
