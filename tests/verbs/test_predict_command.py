"""``graft predict``: every way in, every column out, and images that cannot be read among those that can."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork.core.record import Run
from graftwork.errors import DataError
from graftwork.model.predict import CHUNK


@pytest.fixture(scope="module")
def paths(tiny: Path) -> list[Path]:
    return sorted(tiny.rglob("*.png"))[::9]


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """An image of another kind."""
    rng = np.random.default_rng(0)
    Image.fromarray((rng.integers(0, 2, (32, 32, 3)) * 255).astype(np.uint8)).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_paths_on_standard_input_are_those_on_the_line(
    run: Run, paths: list[Path], graft, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = graft("predict", run.folder, *paths)
    assert (typed.code, typed.err) == (0, "")
    assert [row["image"] for row in rows_of(typed.out)] == [str(path) for path in paths]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n" + "".join(f"{path}\r\n" for path in paths) + "\r\n"))
    assert graft("predict", run.folder, "-") == typed


def test_a_folder_is_read_in_full(run: Run, tiny: Path, graft) -> None:
    rows = rows_of(graft("predict", run.folder, tiny / "bee").out)
    assert [row["image"] for row in rows] == [str(path) for path in sorted((tiny / "bee").iterdir())]


def test_the_columns_name_the_best_classes_with_their_probabilities(run: Run, paths: list[Path], graft) -> None:
    rows = rows_of(graft("predict", run.folder, *paths, "--top", 2).out)
    assert list(rows[0]) == ["image", "label", "probability", "novel", "p_value", "label_2", "probability_2"]
    expected = graftwork.load(run.folder).probabilities(paths)
    for row, probabilities in zip(rows, expected, strict=True):
        first, second = np.argsort(-probabilities)[:2]
        assert (row["label"], row["label_2"]) == (run.classes[first], run.classes[second])
        assert row["probability"] == f"{probabilities[first]:.4f}"
        assert row["probability_2"] == f"{probabilities[second]:.4f}"


def test_no_more_classes_are_named_than_there_are(run: Run, paths: list[Path], graft) -> None:
    (line,) = graft("predict", run.folder, paths[0], "--top", 9, "--format", "jsonl").out.splitlines()
    assert len(json.loads(line)["top"]) == len(run.classes)
    (row,) = rows_of(graft("predict", run.folder, paths[0], "--top", 9).out)
    assert list(row)[-2:] == [f"label_{len(run.classes)}", f"probability_{len(run.classes)}"]
    assert row[f"label_{len(run.classes)}"] in run.classes


def test_json_lines_hold_what_python_returns(run: Run, paths: list[Path], graft) -> None:
    answer = graft("predict", run.folder, *paths, "--top", 3, "--format", "jsonl", "--novelty-rate", 0.1)
    predictions = graftwork.predict(run.folder, paths, top=3, novelty_rate=0.1)
    for line, prediction in zip(answer.out.splitlines(), predictions, strict=True):
        plain = json.loads(line)
        assert (plain["name"], plain["label"]) == (prediction.name, prediction.label)
        assert [tuple(pair) for pair in plain["top"]] == list(prediction.top)
        assert sum(p for _, p in plain["top"]) == pytest.approx(1, abs=1e-6)
        assert (plain["p_value"], plain["novel"]) == (prediction.p_value, prediction.novel)


def test_an_unreadable_image_is_named_the_others_are_predicted_and_the_exit_code_is_1(
    run: Run, paths: list[Path], tmp_path: Path, graft
) -> None:
    (tmp_path / "cut.png").write_bytes(paths[0].read_bytes()[:200])
    images = [paths[0], tmp_path / "cut.png", paths[1], tmp_path / "nowhere.png", paths[2]]
    answer = graft("predict", run.folder, *images)
    assert answer.code == 1
    assert answer.out == graft("predict", run.folder, *paths[:3]).out
    first, second = answer.err.splitlines()
    assert first.startswith(f"graft: {tmp_path / 'cut.png'}")
    assert second == f"graft: {tmp_path / 'nowhere.png'} must be a readable image, but: No such file or directory; " \
        "correct the path"  # fmt: skip
    with pytest.raises(DataError, match=r"cut\.png"):
        graftwork.predict(run.folder, images)


def test_a_chunk_of_nothing_but_unreadable_images_is_passed_over(
    run: Run, paths: list[Path], tmp_path: Path, graft
) -> None:
    answer = graft("predict", run.folder, *[tmp_path / f"{i}.png" for i in range(CHUNK)], paths[0])
    assert answer.code == 1
    assert len(answer.err.splitlines()) == CHUNK
    assert answer.out == graft("predict", run.folder, paths[0]).out


def test_another_kind_of_image_is_flagged_at_a_rate_that_the_images_allow(
    run: Run, paths: list[Path], noise: Path, graft
) -> None:
    rows = rows_of(graft("predict", run.folder, noise, *paths, "--novelty-rate", 0.05).out)
    assert rows[0]["novel"] == "yes"
    assert rows[0]["p_value"] == f"{1 / (len(run.y) + 1):.4f}"  # further out than every image trained on
    for row in rows:
        assert row["novel"] == ("yes" if float(row["p_value"]) <= 0.05 else "no")
    assert "no" in [row["novel"] for row in rows]


def test_a_name_that_the_system_refuses_is_named_and_the_others_are_predicted(run: Run, noise: Path, graft) -> None:
    answer = graft("predict", run.folder, "x" * 300 + ".png", noise)
    assert answer.code == 1
    assert len(rows_of(answer.out)) == 1
    assert "File name too long" in answer.err


def test_below_the_rate_that_the_images_allow_nothing_is_claimed(run: Run, noise: Path, graft) -> None:
    (row,) = rows_of(graft("predict", run.folder, noise).out)  # 48 images cannot tell one in a hundred
    assert (row["novel"], row["p_value"]) == ("not measured", "")
    (line,) = graft("predict", run.folder, noise, "--format", "jsonl").out.splitlines()
    assert (json.loads(line)["novel"], json.loads(line)["p_value"]) == (None, None)
