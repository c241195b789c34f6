"""The division of images, and what is said of it: no class without images to train on, nothing untested in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from graftwork.core.options import DataOptions, SplitOptions
from graftwork.errors import DataError
from graftwork.steps.prepare import SplitImages, prepare
from graftwork.testing import write_tiny_images


def findings_of(split: SplitImages) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for finding in split.findings:
        said.setdefault(finding.code, []).append(finding.because)
    return said


def in_groups(folder: Path, group_of: dict[str, list[str]], seed: int = 0) -> Path:
    """Tiny images whose names begin with their group; the groups of a class take turns."""
    for number, (name, groups) in enumerate(group_of.items()):
        write_tiny_images(folder, classes=(name,), per_class=12, seed=10 * seed + number)
        for i, path in enumerate(sorted((folder / name).iterdir())):
            path.rename(path.with_name(f"{groups[i % len(groups)]}_{path.name}"))
    return folder


def few_of(folder: Path, counts: dict[str, int]) -> Path:
    """Tiny images, so many of each class."""
    write_tiny_images(folder, classes=tuple(counts), per_class=max(counts.values()))
    for name, n in counts.items():
        for path in sorted((folder / name).iterdir())[n:]:
            path.unlink()
    return folder


GROUPED = DataOptions(group_by=r"^(p\d+)_")


def test_a_class_of_one_group_is_trained_and_said_to_be_untested(tmp_path: Path) -> None:
    many = [f"p{i}" for i in range(6)]
    data = in_groups(tmp_path, {"ant": many, "bee": many, "cat": ["p7"]})
    split = prepare(data, SplitOptions(), GROUPED)
    assert set(split.y.tolist()) == {0, 1, 2}
    (because,) = findings_of(split)["G124"]
    assert because.startswith("cat: trained on, but not measured")


def test_every_class_tested_is_no_finding(tmp_path: Path) -> None:
    many = [f"p{i}" for i in range(6)]
    assert (
        not {"G124", "G143"}
        & findings_of(prepare(in_groups(tmp_path, {"ant": many, "bee": many}), SplitOptions(), GROUPED)).keys()
    )


@pytest.mark.parametrize("groups", [["p1", "p2"]])
def test_groups_that_leave_nothing_to_test_are_a_warning(tmp_path: Path, groups: list[str]) -> None:
    data = in_groups(tmp_path, {"ant": groups, "bee": groups})
    split = prepare(data, SplitOptions(), GROUPED)
    assert not len(split.split.test)
    whole = f"24 images in {len(groups)} groups"
    assert findings_of(split)["G143"] == [f"a share of 0.2 of {whole} leaves none to test on"]


def test_a_share_too_small_to_test_on_is_a_warning(tmp_path: Path) -> None:
    split = prepare(write_tiny_images(tmp_path, per_class=12), SplitOptions(test=0.02))
    assert findings_of(split)["G143"] == ["a share of 0.02 of 36 images leaves none to test on"]


def test_four_groups_are_divided_where_the_share_allows_it(tmp_path: Path) -> None:
    groups = ["p1", "p2", "p3", "p4"]
    data = in_groups(tmp_path, {"ant": groups, "bee": groups})
    split = prepare(data, SplitOptions(test=0.5), GROUPED)
    assert len(split.split.test) == 12
    assert "G143" not in findings_of(split)


@pytest.mark.parametrize("test", [0, "cv"])
def test_no_test_part_is_no_finding_where_none_was_asked_for(tmp_path: Path, test: str | int) -> None:
    options = SplitOptions(test=str(test))
    assert "G143" not in findings_of(
        prepare(in_groups(tmp_path, {"ant": ["p1", "p2"], "bee": ["p1", "p2"]}), options, GROUPED)
    )


def test_a_given_test_part_whose_groups_take_a_class_out_of_training_is_one_line(tmp_path: Path) -> None:
    in_groups(tmp_path / "train", {"ant": ["p1", "p2"], "bee": ["p1", "p2"], "cat": ["p9"]})
    in_groups(tmp_path / "test", {"ant": ["p3"], "bee": ["p3"], "cat": ["p9"]}, seed=1)
    with pytest.raises(DataError, match=r"but cat has none: 12 are in the test part, and 12 share a group with test"):
        prepare(tmp_path, SplitOptions(), GROUPED)
    assert set(prepare(tmp_path, SplitOptions()).images.classes) == {"ant", "bee", "cat"}


def test_a_class_whose_training_images_are_all_copies_of_test_images_is_one_line(tmp_path: Path) -> None:
    write_tiny_images(tmp_path / "train", per_class=12)
    write_tiny_images(tmp_path / "test", per_class=4, seed=1)
    shutil.rmtree(tmp_path / "train" / "bee")
    shutil.copytree(tmp_path / "test" / "bee", tmp_path / "train" / "bee")
    with pytest.raises(
        DataError, match=r"but bee has none: 4 are in the test part, and 4 share a group .* or are copies"
    ):
        prepare(tmp_path, SplitOptions())


def test_a_class_whose_images_are_all_broken_leaves_with_a_finding(tmp_path: Path) -> None:
    write_tiny_images(tmp_path, per_class=12)
    for path in (tmp_path / "bee").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    split = prepare(tmp_path, SplitOptions())
    assert split.images.classes == ("ant", "cat")
    assert split.facts.classes == ("ant", "cat")
    assert np.bincount(split.images.labels).tolist() == [12, 12]
    assert list(findings_of(split)["G141"]) == ["none of the images of bee can be used: no class is made of them"]


def test_groups_that_straddle_the_split_are_advised_once(tmp_path: Path) -> None:
    write_tiny_images(tmp_path, per_class=30)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    lines = ["image,label,patient", *(f"{path},{path.parent},p{i // 5}" for i, path in enumerate(files))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    advised = [one.code for one in prepare(tmp_path / "t.csv", SplitOptions()).findings if "patient" in one.do]
    assert advised == ["G201"]
    grouped = prepare(tmp_path / "t.csv", SplitOptions(), DataOptions(group_by="patient"))
    assert not [one for one in grouped.findings if one.do.startswith("--group-by")]


@pytest.mark.parametrize(
    ("counts", "which"),
    [
        ({"ant": 1, "bee": 1, "cat": 1, "dog": 1, "elk": 1, "fox": 1}, "none has"),
        ({"ant": 1, "bee": 9}, "bee has"),
        ({"ant": 1, "bee": 1, "cat": 8}, "cat has"),
    ],
)
def test_data_on_which_no_classifier_can_be_judged_are_refused_with_what_is_missing(
    tmp_path: Path, counts: dict[str, int], which: str
) -> None:
    few_of(tmp_path, counts)
    with pytest.raises(DataError, match=f"two classes must have two images each .* of {len(counts)} classes {which}"):
        prepare(tmp_path, SplitOptions(test=0.0))


def test_a_class_of_one_group_is_not_judged_however_many_images_it_has(tmp_path: Path) -> None:
    data = in_groups(tmp_path, {"ant": ["p1"], "bee": ["p2", "p3", "p4"]})
    with pytest.raises(DataError, match="of 2 classes bee has"):
        prepare(data, SplitOptions(test=0.0, folds=3), GROUPED)


def test_one_image_of_a_third_class_is_no_obstacle(tmp_path: Path) -> None:
    split = prepare(few_of(tmp_path, {"ant": 6, "bee": 6, "cat": 1}), SplitOptions(test=0.0))
    assert "G116" in findings_of(split)
