"""Predictions in files, and the table of predictions of a run's test images."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import graftwork
from graftwork.core.record import Run


@pytest.fixture(scope="module")
def first(
    tiny: Path, random_network: dict[str, object], shared_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    folder = tmp_path_factory.mktemp("predicted")
    return graftwork.train(tiny, output=folder / "run", layer="blocks.4", **random_network)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_holds_what_would_be_printed(first: Run, tiny: Path, tmp_path: Path, graft) -> None:
    printed = graft("predict", first.folder, tiny / "ant", "--top", "2").out
    answer = graft("predict", first.folder, tiny / "ant", "--top", "2", "-o", tmp_path / "out.csv")
    assert (answer.code, answer.out) == (0, "")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == printed
    lines = graft("predict", first.folder, tiny / "ant", "-o", tmp_path / "out.jsonl")
    assert lines.code == 0
    names = [json.loads(line)["name"] for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(names) == len(rows_of(tmp_path / "out.csv"))


def test_all_probabilities_are_in_columns_and_spreadsheets_see_the_mark(
    first: Run, tiny: Path, tmp_path: Path, graft
) -> None:
    graft("predict", first.folder, tiny / "bee", "-o", tmp_path / "out.csv", "--probabilities", "--bom")
    assert (tmp_path / "out.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    for row in rows_of(tmp_path / "out.csv"):
        by_class = {name: float(row[f"probability of {name}"]) for name in first.classes}
        assert sum(by_class.values()) == pytest.approx(1, abs=1e-3)
        assert max(by_class, key=by_class.__getitem__) == row["label"]


def test_a_file_that_exists_stays_unless_it_is_to_be_replaced(first: Run, tiny: Path, tmp_path: Path, graft) -> None:
    (tmp_path / "out.csv").write_text("mine")
    refused = graft("predict", first.folder, tiny / "ant", "-o", tmp_path / "out.csv")
    assert refused.code == 2
    assert "exists; give another, or --overwrite" in refused.err
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert graft("predict", first.folder, tiny / "ant", "-o", tmp_path / "out.csv", "--overwrite").code == 0
    assert rows_of(tmp_path / "out.csv")


def test_a_table_without_an_image_that_can_be_read_has_its_header(first: Run, tmp_path: Path, graft) -> None:
    for further in ([], ["--probabilities"]):
        graft("predict", first.folder, tmp_path / "none.png", "-o", tmp_path / "out.csv", "--overwrite", *further)
        assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith("image,label,probability")


def test_a_mark_is_for_tables_alone_and_the_name_agrees_with_the_format(
    first: Run, tiny: Path, tmp_path: Path, graft
) -> None:
    graft("predict", first.folder, tiny / "bee", "-o", tmp_path / "out.jsonl", "--bom")
    assert json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()[0])["label"]
    assert graft("predict", first.folder, tiny / "bee", "-o", tmp_path / "x.jsonl", "--format", "csv").code == 2


@pytest.mark.parametrize("name", ["out.xlsx", "out", "out.json"])
def test_a_file_of_another_kind_is_refused(first: Run, tiny: Path, tmp_path: Path, graft, name: str) -> None:
    refused = graft("predict", first.folder, tiny / "ant", "-o", tmp_path / name)
    assert refused.code == 2
    assert "-o must end in .csv or .jsonl" in refused.err
    assert not (tmp_path / name).exists()


def test_a_bad_run_writes_nothing(tiny: Path, tmp_path: Path, graft) -> None:
    assert graft("predict", tmp_path / "nowhere", tiny / "ant", "-o", tmp_path / "out.csv").code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_has_a_table_of_its_test_predictions(first: Run) -> None:
    rows = rows_of(Path(first.folder) / "predictions.csv")
    assert first.test is not None
    assert [row["image"] for row in rows] == [first.images.names[i] for i in first.test.rows]
    right = np.mean([row["label"] == row["predicted"] for row in rows])
    assert right == pytest.approx(first.test.score.value)
    for row, by_class in zip(rows, first.test.probabilities, strict=True):
        shown = [float(row[f"probability of {name}"]) for name in first.classes]
        assert shown == pytest.approx(by_class.tolist(), abs=1e-4)


def test_a_model_at_a_prompt_says_its_classes_layer_and_network(first: Run) -> None:
    text = repr(graftwork.load(first.folder))
    assert text.startswith(
        f"Model(3 classes: ant, bee, cat; network: {first.card.name}; layer: blocks.4; input: RGB, 32 x"
    )
    assert f"; chosen: {first.verdict.rows[first.verdict.chosen].label}; test accuracy: " in text
