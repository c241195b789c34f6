"""``graft explain``: a page, pictures and a list; a run's mistakes in its report; what goes wrong in one line."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pasted_things import Pasted

import graftwork
from graftwork.core.record import Run
from graftwork.errors import DataError, ModelError, UsageError
from graftwork.reporting.page import write_report
from graftwork.runfolder import read_run, write_run
from graftwork.testing import write_tiny_backbone

Typed = Callable[..., Any]


@pytest.fixture
def images(pasted: Pasted) -> list[Path]:
    return [pasted.data / name for name in list(pasted.boxes)[:50:25]]


@pytest.fixture
def own_run(pasted: Pasted, tmp_path: Path) -> Run:
    """The run with three test images predicted as another class, in a folder of its own."""
    folder = shutil.copytree(pasted.run.folder, tmp_path / "run")
    assert pasted.run.test is not None
    probabilities = pasted.run.test.probabilities.copy()
    probabilities[:3] = np.roll(probabilities[:3], 1, axis=1)
    run = dataclasses.replace(
        pasted.run, test=dataclasses.replace(pasted.run.test, probabilities=probabilities), folder=str(folder)
    )
    write_run(run, folder)
    write_report(run, folder)
    return run


def test_a_folder_has_a_page_a_picture_of_each_image_and_a_list(
    graft: Typed, pasted: Pasted, images: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "why"
    typed = graft("explain", pasted.run.folder, *images, "-o", out, "--quiet")
    assert typed.code == 0, typed.err
    first, second, page = typed.out.splitlines()
    assert re.match(rf"{images[0]}; ring: >?\d\d\.\d %; nearest training images: ring ring/\d\d.png \(", first)
    assert second.startswith(f"{images[1]}; stripe: ")
    assert page == str(out / "index.html")
    listed = json.loads((out / "explanations.json").read_text())
    assert [one["image"] for one in listed["images"]] == [str(image) for image in images]
    assert {file.name for file in out.iterdir()} == {
        "index.html", "explanations.json", *(one["picture"] for one in listed["images"])
    }  # fmt: skip
    html = (out / "index.html").read_text()
    assert html.count("data:image/jpeg;base64,") == 2 * (2 + 3)
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert base64.b64decode(re.findall(r"base64,([^\"]+)", html)[0]).startswith(b"\xff\xd8")


def test_an_earlier_explanation_is_replaced_and_nothing_else_is(
    graft: Typed, pasted: Pasted, images: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "why"
    assert graft("explain", pasted.run.folder, *images, "-o", out, "--quiet").code == 0
    assert graft("explain", pasted.run.folder, images[0], "-o", out, "--nearest", 0, "--quiet").code == 0
    assert len(list(out.glob("*.png"))) == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for taken in ("other", "file"):
        typed = graft("explain", pasted.run.folder, images[0], "-o", tmp_path / taken)
        assert typed.code == 2
        assert re.fullmatch(
            r"graft: -o must be a new folder or one that holds earlier explanations, but .*; give another\n", typed.err
        )
    assert (tmp_path / "other" / "mine.txt").read_text() == "mine"


def test_its_pictures_are_no_images_to_train_on(graft: Typed, pasted: Pasted, images: list[Path]) -> None:
    out = pasted.data / "explained"
    try:
        assert graft("explain", pasted.run.folder, images[0], "-o", out, "--quiet").code == 0
        assert graftwork.check(pasted.data).images == len(pasted.boxes)
    finally:
        shutil.rmtree(out)


def test_an_image_that_cannot_be_read_is_named_and_the_others_are_explained(
    graft: Typed, pasted: Pasted, images: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(images[0].read_bytes()[:300])
    given = [tmp_path / "broken.png", images[0], tmp_path / "nowhere.png"]
    typed = graft("explain", pasted.run.folder, *given, "-o", tmp_path / "why", "--quiet")
    assert typed.code == 1
    assert [line.split(" ")[1] for line in typed.err.splitlines()] == [str(given[0]), str(given[2])]
    assert len(typed.out.splitlines()) == 2
    with pytest.raises(DataError, match="must be a whole image"):
        graftwork.explain(pasted.run.folder, given[0], output=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_images_or_mistakes_are_given_and_not_both(graft: Typed, pasted: Pasted, images: list[Path]) -> None:
    for given, got in (((), "neither"), ((images[0], "--mistakes"), "both")):
        typed = graft("explain", pasted.run.folder, *given)
        assert typed.code == 2
        assert typed.err == (
            f"graft: explain takes images, or --mistakes for those of the run, but got {got}; give one of them\n"
        )
    typed = graft("explain", pasted.run.folder, images[0], "--for-class", "wing", "--quiet")
    assert (typed.code, typed.err.count("\n")) == (2, 1)
    assert "--for-class must be one of the model's 3 classes, but wing is none (did you mean ring?)" in typed.err
    with pytest.raises(UsageError, match="nearest must be"):
        graftwork.explain(pasted.run.folder, images[0], nearest=-1)


def test_a_place_that_cannot_be_written_to_is_one_line(
    graft: Typed, pasted: Pasted, images: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    typed = graft("explain", pasted.run.folder, images[0], "-o", tmp_path / "file" / "why", "--quiet")
    assert typed.code == 1
    assert re.fullmatch(r"graft: .*why must be writable, but: .*\n", typed.err)


def test_mistakes_are_explained_and_the_report_shows_them(graft: Typed, own_run: Run, tmp_path: Path) -> None:
    folder = Path(own_run.folder)
    before = (folder / "report.html").read_text(encoding="utf-8")
    assert "graft explain RUN --mistakes" in before
    assert 'alt="evidence for' not in before
    typed = graft("explain", folder, "--mistakes", "--quiet")
    assert typed.code == 0, typed.err
    *lines, page = typed.out.splitlines()
    assert page == str(folder / "explained" / "index.html")
    assert len(lines) == 3
    listed = json.loads((folder / "explained" / "explanations.json").read_text())["images"]
    assert own_run.test is not None
    truth = {
        own_run.images.names[row]: own_run.classes[y] for row, y in zip(own_run.test.rows, own_run.test.y, strict=True)
    }
    for one in listed:  # the model knows better; shown is what speaks for the mistake
        assert one["actual"] == truth[one["image"]] != one["for_class"]
    after = (folder / "report.html").read_text(encoding="utf-8")
    assert after.count('alt="evidence for') == 3
    assert "graft explain RUN --mistakes" not in after
    graftwork.report(folder)
    assert (folder / "report.html").read_text(encoding="utf-8").count('alt="evidence for') == 3


def test_a_run_without_mistakes_has_none_to_explain(graft: Typed, pasted: Pasted, tmp_path: Path) -> None:
    assert pasted.run.test is not None
    assert pasted.run.test.score.value == 1
    typed = graft("explain", pasted.run.folder, "--mistakes", "-o", tmp_path / "why")
    assert (typed.code, typed.out) == (0, "")
    assert "has no mistake to explain: it classified all 18 images correctly" in typed.err
    assert not (tmp_path / "why").exists()


def test_images_of_the_run_that_are_gone_or_changed_are_said(
    graft: Typed, own_run: Run, images: list[Path], tmp_path: Path
) -> None:
    data = shutil.copytree(own_run.settings["data"], tmp_path / "moved")
    moved = dataclasses.replace(own_run, settings={**own_run.settings, "data": str(data)})
    write_run(moved, Path(own_run.folder))
    assert own_run.test is not None
    first, second = (data / own_run.images.names[row] for row in own_run.test.rows[:2])
    first.unlink()
    second.write_bytes(images[0].read_bytes())
    typed = graft("explain", own_run.folder, "--mistakes", "--quiet")
    assert typed.code == 1
    assert sorted(line.split("must be ")[1] for line in typed.err.splitlines()) == [
        f"in {data}, as when the run was trained; put it back",
        "the image that the run was trained with, but has changed; put it back",
    ]
    shutil.rmtree(data)
    typed = graft("explain", own_run.folder, "--mistakes", "--quiet")
    assert typed.code == 1
    assert typed.err.startswith("graft: the images of the run must be where they were when it was trained, but ")
    assert typed.err.count("\n") == 1
    # other images are explained; of the nearest ones only those are shown that the report has
    (one,) = graftwork.explain(own_run.folder, images[0])
    assert len(one.nearest) == 3


def test_a_model_without_its_run_is_explained_without_its_training_images(
    graft: Typed, pasted: Pasted, images: list[Path], tmp_path: Path
) -> None:
    model = shutil.copytree(Path(pasted.run.folder) / "model", tmp_path / "moved")
    typed = graft("explain", model, images[0])
    assert typed.code == 0
    assert f"nearest training images: not known, for {model} is a model without its run" in typed.err
    assert "nearest" not in typed.out
    assert (model / "explained" / "index.html").is_file()
    typed = graft("explain", model, "--mistakes")
    assert typed.code == 1
    assert f"{model} must be the folder of a finished run" in typed.err
    assert graft("explain", tmp_path / "nowhere", images[0]).code == 1


def test_a_slim_model_needs_the_weights_that_it_began_with(
    pasted: Pasted, images: list[Path], tmp_path: Path, shared_cache: None
) -> None:
    weights = write_tiny_backbone(tmp_path / "net")
    run = graftwork.train(
        pasted.data, output=tmp_path / "run", strategy="linear", layer="last", loss="softmax", slim=True,
        backbone=str(weights),
    )  # fmt: skip
    assert graftwork.explain(run.folder, images[0])[0].map.shape == (112, 144)
    weights.unlink()
    with pytest.raises(ModelError, match=r"was trained with --slim: .* must be where it was, but .*net") as error:
        graftwork.explain(run.folder, images[0])
    assert "\n" not in str(error.value)


def test_a_report_that_is_read_again_shows_what_is_there(own_run: Run) -> None:
    from graftwork.reporting.thumbnails import write_evidence

    run = read_run(Path(own_run.folder))
    assert run.test is not None
    write_evidence(run, int(run.test.rows[0]), b"\xff\xd8 a map")
    write_report(run, Path(run.folder))
    html = (Path(run.folder) / "report.html").read_text(encoding="utf-8")
    assert html.count('alt="evidence for') == 1
    assert base64.b64encode(b"\xff\xd8 a map").decode() in html
