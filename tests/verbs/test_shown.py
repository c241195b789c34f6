"""What verbs return at a prompt: what matters, and not all of their fields."""

from __future__ import annotations

import re
from pathlib import Path

import graftwork
from graftwork.core.record import Run
from graftwork.testing import write_tiny_images

SCORE = r"\d+\.\d % \(95 % interval [\d.]+ to [\d.]+\)"


def test_a_check_is_its_counts_and_findings(tiny: Path) -> None:
    assert repr(graftwork.check(tiny)).startswith("CheckResult(60 images; classes: ant 20, bee 20, cat 20; findings: ")


def test_codes_are_their_file_and_how_many_images_it_holds(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "codes.npz"
    codes = graftwork.extract(tiny, output=file, backbone="efficientnet_lite0", layers="last", input_px=32)
    assert repr(codes).startswith(f"ExtractedCodes(60 images; file: {file}; findings: ")


def test_an_evaluation_is_its_scores(run: Run, tmp_path: Path) -> None:
    new = write_tiny_images(tmp_path / "new", per_class=8, seed=3)
    text = repr(graftwork.evaluate(run.folder, new))
    assert re.fullmatch(rf"Evaluation\(accuracy; new images: {SCORE}, 24 images; findings: .*\)", text)


def test_a_probe_has_a_line_for_every_layer(tiny: Path) -> None:
    result = graftwork.probe(tiny, backbone="efficientnet_lite0", input_px=32)
    title, *lines = repr(result).splitlines()
    assert title == f"Probe({result.card.name}, {result.images} images"
    for line, row in zip(lines, result.verdict.rows, strict=False):
        assert re.fullmatch(rf"  {row.label}: {SCORE}", line)
    assert len(lines) == len(result.verdict.rows) + 1


def test_a_comparison_is_the_score_of_every_run(run: Run) -> None:
    text = repr(graftwork.compare([run.folder, run.folder]))
    assert text.startswith("Comparison(test accuracy")
    assert len(re.findall(rf"{run.folder}: {SCORE}", text)) == 2
    assert text.endswith("classified differently: 0 images)")
