"""Tables through the verbs: predicted, trained on, and refused where they have no labels."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import graftwork
from graftwork.core.options import DataOptions, SplitOptions
from graftwork.core.record import Run
from graftwork.errors import DataError, UsageError
from graftwork.steps.prepare import prepare
from graftwork.steps.shift import load_target
from graftwork.testing import write_tiny_images


@pytest.fixture
def photos(tiny: Path, tmp_path: Path) -> Path:
    """Return a folder with images of two classes, in folders whose names are no labels here."""
    return Path(shutil.copytree(tiny, tmp_path / "photos"))


def table(photos: Path, header: str, *, name: str = "test.csv", per_class: int = 3) -> Path:
    """A table of some images and the labels of their folders."""
    images = [
        path for folder in sorted(photos.iterdir()) if folder.is_dir() for path in sorted(folder.iterdir())[:per_class]
    ]
    lines = [f"{path.relative_to(photos).as_posix()},{path.parent.name}" for path in images]
    path = photos / name
    path.write_text("\n".join([header, *(line if "," in header else line.split(",")[0] for line in lines)]) + "\n")
    return path


@pytest.mark.parametrize(
    ("name", "header"), [("test.csv", "image"), ("test.csv", "File_Name,breed"), ("t.tsv", "path")]
)
def test_the_images_of_a_table_are_predicted_in_its_order(
    run: Run, photos: Path, graft, name: str, header: str
) -> None:
    path = table(photos, header, name=name)
    done = graft("predict", run.folder, path)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert (done.code, done.err) == (0, "")
    expected = [photos / line.split(",")[0] for line in path.read_text().splitlines()[1:]]
    assert [row["image"] for row in rows] == [str(image) for image in expected]
    assert [p.label for p in graftwork.predict(run.folder, [path])] == [row["label"] for row in rows]


def test_a_table_of_json_lines_is_predicted(run: Run, photos: Path) -> None:
    names = [path.relative_to(photos).as_posix() for path in sorted(photos.rglob("*.png"))[:4]]
    path = photos / "test.jsonl"
    path.write_text("".join(json.dumps({"image": name, "tags": ["a"]}) + "\n" for name in names))
    assert len(graftwork.predict(run.folder, [path])) == 4


def test_a_column_of_another_name_is_given(run: Run, photos: Path, graft) -> None:
    path = table(photos, "id")
    refused = graft("predict", run.folder, path)
    assert refused.code == 1
    assert "must have a column with the images" in refused.err
    assert "name it with --image-column" in refused.err
    assert len(graft("predict", run.folder, path, "--image-column", "id").out.splitlines()) == 10


def test_a_table_that_names_missing_files_is_one_line_and_the_others_are_predicted(
    run: Run, photos: Path, graft
) -> None:
    path = photos / "test.csv"
    path.write_text("image\nnowhere.png\n")
    done = graft("predict", run.folder, path, photos / "ant")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "1 of 1 do not: nowhere.png; the first is in line 2" in done.err
    assert len(done.out.splitlines()) == 21


def test_a_parquet_table_is_refused_in_one_line_that_says_what_to_do(run: Run, photos: Path, graft) -> None:
    (photos / "t.parquet").write_bytes(b"PAR1")
    done = graft("predict", run.folder, photos / "t.parquet")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "is Parquet: write its paths as CSV" in done.err


def test_a_run_is_trained_on_the_columns_that_are_given(photos: Path, small: dict[str, object], tmp_path: Path) -> None:
    path = table(photos, "where,breed", per_class=12)
    run = graftwork.train(path, output=tmp_path / "run", image_column="where", label_column="Breed", folds=3, **small)
    assert run.facts.classes == ("ant", "bee", "cat")
    assert run.settings["label_column"] == "Breed"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("image,breed", r"no column with a recognised name \(label, .*, but `breed`: .*; --label-column 'breed'"),
        ("image", "the images have no labels; predict them"),
    ],
)
def test_a_table_without_labels_is_not_trained_on_and_says_what_it_lacks(
    run: Run, photos: Path, small: dict[str, object], tmp_path: Path, header: str, message: str
) -> None:
    path = table(photos, header)
    with pytest.raises(DataError, match=message) as refused:
        graftwork.train(path, output=tmp_path / "run", **small)
    assert "folder" not in str(refused.value)
    with pytest.raises(DataError, match="must have labels, but some have none"):
        graftwork.evaluate(run.folder, path)


def test_one_class_alone_in_a_table_is_refused_without_a_word_of_folders(
    photos: Path, small: dict[str, object], tmp_path: Path
) -> None:
    path = photos / "t.csv"
    path.write_text(
        "image,label\n" + "".join(f"ant/{image.name},ant\n" for image in sorted((photos / "ant").iterdir()))
    )
    with pytest.raises(
        DataError, match=r"holds only ant; add images of another class, or correct the labels in t\.csv"
    ):
        graftwork.train(path, output=tmp_path / "run", **small)


@pytest.mark.parametrize("verb", ["check", "train", "probe", "evaluate", "extract"])
def test_the_help_names_the_columns_that_are_recognised(graft, verb: str) -> None:
    text = " ".join(graft(verb, "--help").out.split())
    assert "--label-column" in text
    assert "label, class, target" in text
    assert "image, path, file" in text


def test_a_wrong_column_is_misuse(photos: Path, graft) -> None:
    done = graft("check", table(photos, "image,label"), "--label-column", "lable", "--quiet")
    assert done.code == 2
    assert "`lable` is none (did you mean label?); it has image, label" in done.err
    with pytest.raises(UsageError):
        graftwork.check(photos / "test.csv", label_column="lable")


@pytest.mark.parametrize("group_by", [None, "breeder"])
def test_the_target_domain_may_be_class_folders_where_the_data_are_a_table(
    photos: Path, tmp_path: Path, group_by: str | None
) -> None:
    path = table(photos, "image,breed", per_class=12)
    path.write_text(
        "".join(f"{line},{i // 3}\n" if i else f"{line},breeder\n" for i, line in enumerate(path.read_text().split()))
    )
    options = DataOptions(label_column="breed", group_by=group_by)
    split = SplitOptions(folds=3)
    images = prepare(path, split, options)
    target = load_target(write_tiny_images(tmp_path / "there", per_class=10, seed=9), images, split, options)
    assert target is not None
    assert np.bincount(target.y).tolist() == [10, 10, 10]
    assert images.images.classes == ("ant", "bee", "cat")
