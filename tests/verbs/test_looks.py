"""Looks at test images are counted image by image: another division of the same images looks at some of them again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import graftwork
from graftwork.core.findings import Finding
from graftwork.core.record import Run
from graftwork.listener import Listener
from graftwork.runfolder import read_run
from graftwork.steps.ledger import count_look


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing was looked at; codes and everything else in the cache is there."""
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path / "home"))


@pytest.fixture
def trained(tiny: Path, tmp_path: Path, random_network: dict[str, object], fresh: None) -> Callable[..., Run]:
    def train(name: str, **arguments: object) -> Run:
        return graftwork.train(tiny, output=tmp_path / name, layer="blocks.3", **random_network, **arguments)

    return train


def said(run: Run) -> Finding | None:
    return next((finding for finding in run.findings if finding.code in ("G305", "G312")), None)


def digests(run: Run) -> set[str]:
    return {run.images.digests[row] for row in run.test.rows}


def test_the_same_test_images_are_counted_run_by_run_and_a_run_that_goes_on_is_no_new_look(
    trained: Callable[..., Run],
) -> None:
    first = trained("first")
    assert (first.test.look, first.test.seen, said(first)) == (1, 0, None)
    second = trained("second", normalise="l2")
    assert (second.test.look, second.test.seen) == (2, 12)
    assert said(second).count == 2
    assert said(second).code == "G305"
    assert said(second).because.startswith(
        "this is look 2 at these images on this machine, after runs with another --norm"
    )
    third = trained("third", metric="log-loss")
    assert third.test.look == 3
    assert trained("first").test.look == 1
    assert trained("second", normalise="l2").test.look == 2
    assert read_run(Path(third.folder)).test.look == 3


def test_another_division_says_how_many_of_its_test_images_were_looked_at(trained: Callable[..., Run]) -> None:
    first, other = trained("first"), trained("other", seed=1)
    both = len(digests(first) & digests(other))
    assert 0 < both < 12
    assert (other.test.look, other.test.seen) == (2, both)
    assert said(other).code == "G305"
    assert f"look 2 at {both} of these 12 images" in said(other).because
    assert f"look number 2 at {both} of these 12 images" in (Path(other.folder) / "report.html").read_text("utf-8")


@pytest.mark.parametrize("arguments", [{}, {"seed": 1}, {"test": "cv", "folds": 3}])
def test_a_probe_of_all_images_is_a_look_at_each_however_they_are_divided_later(
    trained: Callable[..., Run], tiny: Path, random_network: dict[str, object], arguments: dict[str, object]
) -> None:
    probe = graftwork.probe(tiny, backbone=random_network["backbone"], on="all")
    assert (probe.on, probe.images) == ("all", 60)
    run = trained("run", **arguments)
    assert (run.test.look, run.test.seen) == (2, len(run.test.rows))
    assert said(run).code == "G305"
    assert "look 2 at these images on this machine, after a probe of all images, or runs whose" in said(run).because


def test_a_probe_of_the_develop_part_is_no_look(
    trained: Callable[..., Run], tiny: Path, random_network: dict[str, object]
) -> None:
    probe = graftwork.probe(tiny, backbone=random_network["backbone"])
    assert (probe.on, probe.images) == ("develop", 48)
    assert trained("run").test.look == 1


def test_a_test_with_every_image_after_a_held_out_one_looks_at_some_again(trained: Callable[..., Run]) -> None:
    first = trained("first")
    every = trained("every", test="cv", folds=3)
    assert (every.test.look, every.test.seen) == (2, len(first.test.rows))
    assert said(every).code == "G305"  # the number of folds was not advised


def test_what_an_earlier_run_advised_is_no_comparison_and_what_it_did_not_is_one(trained: Callable[..., Run]) -> None:
    first = trained("first")
    assert any("--test cv" in finding.do for finding in first.findings)
    advised = trained("advised", test="cv")
    assert (advised.test.look, said(advised).code, said(advised).severity) == (2, "G312", "note")
    again = trained("again")  # as first, in another folder: there is nothing to choose
    assert (again.test.look, said(again).code) == (3, "G312")
    other = trained("other", class_weight="balanced")
    assert (other.test.look, said(other).code, said(other).severity) == (4, "G305", "warning")
    assert ", after runs with another --class-weight; choosing between runs" in said(other).because
    assert "give images that no run has tested with `--test FOLDER`" in said(other).do


def test_other_data_are_no_comparison(
    tiny: Path, tmp_path: Path, random_network: dict[str, object], trained: Callable[..., Run]
) -> None:
    first = trained("first")
    cleaned = shutil.copytree(tiny, tmp_path / "cleaned")
    tested = {first.images.names[row] for row in first.test.rows}
    (cleaned / next(name for name in first.images.names if name not in tested)).unlink()
    run = graftwork.train(
        cleaned, output=tmp_path / "more", layer="blocks.2", split_from=first.folder, **random_network
    )
    assert (run.test.look, said(run).code) == (2, "G312")
    once_more = graftwork.train(
        cleaned, output=tmp_path / "still", layer="blocks.1", split_from=first.folder, **random_network
    )
    assert said(once_more).code == "G305"
    assert "after runs with another --layer;" in said(once_more).because


def test_the_same_images_elsewhere_are_the_same_data(
    tiny: Path, tmp_path: Path, random_network: dict[str, object], trained: Callable[..., Run]
) -> None:
    trained("first")
    moved = shutil.copytree(tiny, tmp_path / "moved")
    run = graftwork.train(moved, output=tmp_path / "more", layer="blocks.2", **random_network)
    assert (run.test.look, said(run).code) == (2, "G305")
    assert "after runs with another --layer;" in said(run).because


def test_a_folder_that_was_deleted_does_not_hide_its_look(trained: Callable[..., Run]) -> None:
    first = trained("run")
    shutil.rmtree(first.folder)
    assert trained("run").test.look == 1  # the same run again
    shutil.rmtree(first.folder)
    other = trained("run", normalise="l2")
    assert (other.test.look, said(other).code) == (2, "G305")


def test_images_that_nobody_looked_at_are_at_their_first_look(fresh: None) -> None:
    assert count_look(["a", "b"], "one", Listener())[:2] == (1, 0)
    assert count_look(["c"], "two", Listener())[:2] == (1, 0)
    assert count_look(["b", "c", "d"], "three", Listener())[:2] == (2, 2)
    assert count_look(["b", "e"], "four", Listener())[:2] == (3, 1)  # of the image with the highest count
    assert count_look(["a", "b"], "one", Listener())[:2] == (1, 0)
    assert count_look(["e"], "one", Listener())[:2] == (1, 0)  # looked at first by four, but one was there before
    assert count_look(["e"], "five", Listener())[:2] == (3, 1)
    assert count_look(["a", "b"], "six", Listener())[:2] == (4, 2)  # b thrice, a once
