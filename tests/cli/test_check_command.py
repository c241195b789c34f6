"""``graft check``: what people read and what programs read are the same counts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import graftwork
from graftwork.testing import write_tiny_images


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    """Three classes of unequal size; one file cut off, one file under two labels, one copy in the test part."""
    folder = tmp_path / "flawed"
    for part, count, seed in (("train", 12, 1), ("test", 4, 2)):
        write_tiny_images(folder / part, per_class=count, seed=seed)
    train = folder / "train"
    for path in sorted((train / "bee").iterdir())[:3]:
        path.unlink()
    cut = train / "cat" / "cat-000.png"
    cut.write_bytes(cut.read_bytes()[:150])
    shutil.copy(train / "ant" / "ant-001.png", train / "bee" / "ant-001.png")
    shutil.copy(train / "ant" / "ant-002.png", folder / "test" / "ant" / "leak.png")
    return folder


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_json_holds_the_counts_and_findings_of_the_table(flawed: Path, graft) -> None:
    table, plain = graft("check", flawed, "--quiet"), graft("check", flawed, "--quiet", "--json")
    assert (table.code, plain.code) == (0, 0)
    parsed = json.loads(plain.out)
    lines = table.out.splitlines()
    assert " ".join(table.out.split()).startswith(f"{parsed['images']} images that can be used ")
    rows = {cells(line)[0]: cells(line)[1] for line in lines if line.startswith("│")}
    assert rows == {name: str(count) for name, count in parsed["per_class"].items()}
    assert ", ".join(f"{part}: {count}" for part, count in parsed["per_part"].items()) in lines
    said = [line.split()[1] for line in lines if line.startswith(("error G", "warning G", "note G"))]
    assert sorted(said) == sorted(finding["code"] for finding in parsed["findings"])
    for finding in parsed["findings"]:
        assert f"{finding['severity']} {finding['code']} {finding['title']}: {finding['because']}" in table.out


def test_the_counts_are_those_of_the_files(flawed: Path) -> None:
    result = graftwork.check(flawed)
    assert result.images == sum(result.per_class.values()) == sum(result.per_part.values())
    assert result.per_class["cat"] == 11 + 4  # the one cut off is left out
    assert result.per_part["test"] == 3 * 4 + 1
    codes = {finding.code: finding for finding in result.findings}
    (unreadable,) = [finding for finding in codes.values() if finding.examples == ("train/cat/cat-000.png",)]
    assert unreadable.count == 1


def test_images_without_a_flaw_are_said_to_have_none(tmp_path: Path, graft) -> None:
    write_tiny_images(tmp_path / "insects", per_class=30)
    answer = graft("check", tmp_path / "insects", "--quiet", "--input-px", "64")
    parsed = json.loads(graft("check", tmp_path / "insects", "--quiet", "--input-px", "64", "--json").out)
    assert parsed["per_class"] == {"ant": 30, "bee": 30, "cat": 30}
    assert not parsed["findings"]
    assert answer.out.splitlines()[-1] == "no problem was found"


def flat(root: Path) -> Path:
    return write_tiny_images(root, classes=("ant",)) / "ant"


def in_parts(root: Path) -> Path:
    for part in ("train", "val"):
        write_tiny_images(root / "images" / part, classes=("ant",), per_class=10, seed=len(part))
        for path in (root / "images" / part / "ant").iterdir():
            path.rename(path.parents[1] / path.name)
        (root / "images" / part / "ant").rmdir()
    return root


def in_a_table(root: Path) -> Path:
    write_tiny_images(root, classes=("ant",))
    lines = ["image,remark", *(f"ant/{path.name},nice" for path in sorted((root / "ant").iterdir()))]
    (root / "t.csv").write_text("\n".join(lines))
    return root / "t.csv"


@pytest.mark.parametrize("layout", [flat, in_parts, in_a_table])
def test_images_without_labels_are_called_that_and_not_flawless(tmp_path: Path, layout, graft) -> None:
    data = layout(tmp_path / "data")
    answer = graft("check", data, "--quiet", "--input-px", "64")
    assert answer.out.splitlines()[0] == "20 images that can be used, without labels"
    assert "note G142 no image has a label" in answer.out
    assert "-> to train, put the images of each class into a folder of its own, or list" in answer.out
    assert "no problem was found" not in answer.out
    refused = graft("train", data, "-o", tmp_path / "run", "--quiet")
    assert refused.code == 1
    said = refused.err.splitlines()[-1]
    assert said.startswith("graft: images of at least two classes are needed, but ")
    if layout is in_a_table:
        assert said.endswith("the images have no labels; --label-column 'remark', if that is the label")
    else:
        assert said.endswith(
            "holds 20 images without labels; put each class in a folder of its own, or list the images in a table"
        )


def test_one_class_alone_is_an_error_that_says_what_is_needed(tmp_path: Path, graft) -> None:
    answer = graft("check", write_tiny_images(tmp_path / "insects", classes=("ant",)), "--quiet")
    assert "error G117 one class only: all 20 images are of the class `ant`" in answer.out
    assert "-> add images of another class, or put each class in a folder of its own" in answer.out
    refused = graft("train", tmp_path / "insects", "-o", tmp_path / "run", "--quiet")
    said = refused.err.splitlines()[-1]
    assert said.endswith("holds only ant; add images of another class, or put each class in a folder of its own")
