from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from graftwork.core.options import DataOptions
from graftwork.images.groups import propose_groups
from graftwork.images.imageset import ImageSet
from graftwork.images.measure import measure_images
from graftwork.images.measurements import Measurements
from graftwork.images.read import read_images, with_groups


def proposed(images: ImageSet) -> list[str]:
    return [proposal.group_by for proposal in propose_groups(images, measure_images(images))]


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("cells", [r"^(BloodImage_\d+)_"]),
        ("pacs-sketch", [r"^(n\d+_\d+)-"]),
        ("xray", ["patient"]),
        ("dogcat", []),
        ("trashnet", []),
        ("neu-steel", []),
        ("rsscn7", []),
        ("hymenoptera", []),
    ],
)
def test_real_sets(sets: Path, name: str, patterns: list[str]) -> None:
    assert proposed(read_images(sets / name)) == patterns


def test_a_told_group_is_not_proposed_again(sets: Path) -> None:
    assert proposed(read_images(sets / "xray", DataOptions(group_by="patient"))) == []


@pytest.fixture(scope="module")
def signs(shared: Path) -> tuple[ImageSet, Measurements]:
    images = read_images(shared / "datasets" / "gtsrb.parquet").take(np.arange(0, 3010, 2))
    return images, measure_images(images)


def renamed(images: ImageSet, name) -> ImageSet:
    seen: dict[str, int] = {}
    names = []
    for label, track in zip(images.labels, images.columns["track"].tolist(), strict=True):
        seen[track] = seen.get(track, -1) + 1
        names.append(name(images.classes[label], track, seen[track]))
    return dataclasses.replace(images, names=tuple(names), columns={})


def test_tracks_are_proposed_from_names_and_columns(signs: tuple[ImageSet, Measurements]) -> None:
    images, measurements = signs
    number = {track: i for i, track in enumerate(sorted(set(images.columns["track"].tolist())))}
    (column,) = propose_groups(images, measurements)
    assert column.group_by == "track"
    running = renamed(images, lambda label, track, frame: f"{label}/{number[track]:05d}_{frame:05d}.jpg")
    (proposal,) = propose_groups(running, measurements)
    assert proposal.group_by == r"^(\d+)_"
    assert proposal.words == r"301 groups of 5: `--group-by '^(\d+)_'`"


def test_numbers_that_begin_anew_in_each_class_take_the_folder_along(signs: tuple[ImageSet, Measurements]) -> None:
    images, measurements = signs
    anew = renamed(images, lambda label, track, frame: f"{label}/{track.split('-')[1]}_{frame:05d}.jpg")
    (proposal,) = propose_groups(anew, measurements)
    assert proposal.group_by == r"([^/]+/\d+)_"
    grouped = with_groups(anew, proposal.group_by).groups
    assert len(set(grouped.tolist())) == 301


def test_two_classes_that_number_their_tracks_alike_are_not_thrown_together(
    signs: tuple[ImageSet, Measurements],
) -> None:
    images, measurements = signs
    some = np.flatnonzero(images.labels < 8)
    two = dataclasses.replace(images.take(some), labels=images.labels[some] % 2, classes=("even", "odd"))
    tracks = [sorted(set(two.columns["track"][two.labels == label].tolist())) for label in (0, 1)]
    number = {track: i for side in tracks for i, track in enumerate(side)}
    anew = renamed(two, lambda label, track, frame: f"{label}/{number[track]}_{frame}.jpg")
    (proposal,) = propose_groups(anew, measurements.take(some))
    assert proposal.group_by == r"([^/]+/\d+)_"
    assert proposal.n_groups == 56


def test_chance_proposes_nothing(signs: tuple[ImageSet, Measurements]) -> None:
    images, measurements = signs
    rng = np.random.default_rng(0)
    for _ in range(25):
        some = rng.choice(len(images), 48, replace=False)
        few = images.take(some)
        few = dataclasses.replace(few, labels=few.labels % 2, classes=("0", "1"))
        random = renamed(few, lambda label, track, frame: f"{label}/{rng.integers(12)}_{rng.integers(10**6)}.jpg")
        assert propose_groups(random, measurements.take(some)) == ()


def test_subfolders(signs: tuple[ImageSet, Measurements]) -> None:
    images, measurements = signs
    nested = renamed(images, lambda label, track, frame: f"{label}/{track}/{frame}.jpg")
    (proposal,) = propose_groups(nested, measurements)
    assert len(set(with_groups(nested, proposal.group_by).groups.tolist())) == 301


def test_a_word_and_number_further_back(signs: tuple[ImageSet, Measurements]) -> None:
    images, measurements = signs
    number = {track: i for i, track in enumerate(sorted(set(images.columns["track"].tolist())))}
    back = renamed(images, lambda label, track, frame: f"{label}/tile{frame}_slide{number[track]}.jpg")
    (proposal,) = propose_groups(back, measurements)
    assert proposal.group_by == r"(slide\d+)"


def test_names_that_mean_nothing_propose_nothing(signs: tuple[ImageSet, Measurements]) -> None:
    images, measurements = signs
    rng = np.random.default_rng(0)
    random = renamed(images, lambda label, track, frame: f"{label}/{rng.integers(200)}_{rng.integers(10**6)}.jpg")
    assert propose_groups(random, measurements) == ()
