"""A model on labelled images: those that it was trained on are scored apart, and a threshold decides the exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork.core.facts import Metric
from graftwork.core.record import Run
from graftwork.core.scoring import score
from graftwork.errors import DataError
from graftwork.testing import write_tiny_images
from graftwork.verbs.evaluate import Evaluation

FRESH, EXACT, NEAR = 30, 4, 6
"""Images in ``mixed``: new ones; files trained on; such files as JPEG."""


@pytest.fixture(scope="module")
def first(
    tiny: Path, random_network: dict[str, object], shared_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run that classifies most images correctly, and some not."""
    folder = tmp_path_factory.mktemp("evaluated")
    return graftwork.train(tiny, output=folder / "run", layer="blocks.4", **random_network)


def images_of(run: Run, part: str) -> list[str]:
    return [name for name, p in zip(run.images.names, run.images.parts, strict=True) if p == part]


@pytest.fixture(scope="module")
def mixed(first: Run, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New images and old ones."""
    folder = write_tiny_images(tmp_path_factory.mktemp("mixed"), per_class=FRESH // 3, seed=7)
    for number, name in enumerate(images_of(first, "develop")[:: 48 // (EXACT + NEAR)][: EXACT + NEAR]):
        target = folder / name.split("/")[0] / f"old-{number}"
        if number < EXACT:
            shutil.copy(tiny / name, target.with_suffix(".png"))
        else:
            Image.open(tiny / name).save(target.with_suffix(".jpg"), quality=90)
    return folder


@pytest.fixture(scope="module")
def evaluation(first: Run, mixed: Path) -> Evaluation:
    return graftwork.evaluate(first.folder, mixed)


def new_in(mixed: Path) -> list[Path]:
    return sorted(set(mixed.rglob("*.png")) - set(mixed.rglob("old-*")))


def share_correct(run: Run, paths: list[Path]) -> float:
    predictions = graftwork.load(run.folder).predict(paths)
    return float(np.mean([p.label == path.parent.name for p, path in zip(predictions, paths, strict=True)]))


def test_images_trained_on_are_found_as_files_and_as_jpeg_and_scored_apart(
    first: Run, mixed: Path, evaluation: Evaluation
) -> None:
    assert (evaluation.exact, evaluation.near) == (EXACT, NEAR)
    assert evaluation.fresh.images == FRESH
    assert evaluation.trained_on is not None
    assert evaluation.trained_on.images == EXACT + NEAR
    old, new = sorted(mixed.rglob("old-*")), new_in(mixed)
    assert evaluation.fresh.value == pytest.approx(share_correct(first, new))
    assert evaluation.trained_on.value == pytest.approx(share_correct(first, old))
    assert evaluation.fresh.value < evaluation.trained_on.value


def test_recall_and_precision_are_of_the_new_images_alone(first: Run, mixed: Path, evaluation: Evaluation) -> None:
    new = new_in(mixed)
    said = [p.label for p in graftwork.load(first.folder).predict(new)]
    for name, recall, precision in zip(evaluation.classes, evaluation.recall, evaluation.precision, strict=True):
        hits = sum(label == name == path.parent.name for label, path in zip(said, new, strict=True))
        assert (recall.hits, recall.of) == (hits, FRESH // 3)
        assert (precision.hits, precision.of) == (hits, said.count(name))


def test_images_that_tested_the_model_are_not_images_that_it_was_trained_on(
    first: Run, tiny: Path, tmp_path: Path
) -> None:
    for name in images_of(first, "test"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(tiny / name, tmp_path / name)
    evaluation = graftwork.evaluate(first.folder, tmp_path)
    assert (evaluation.exact, evaluation.near, evaluation.trained_on) == (0, 0, None)
    assert evaluation.fresh.value == first.test.score.value


def test_a_model_fitted_on_every_image_was_trained_on_those_that_tested_it(
    tiny: Path, tmp_path: Path, random_network: dict[str, object]
) -> None:
    run = graftwork.train(tiny, output=tmp_path / "run", layer="blocks.3", final="all", **random_network)
    tests = images_of(run, "test")
    data = write_tiny_images(tmp_path / "data", per_class=4, seed=7)
    for name in tests:
        shutil.copy(tiny / name, data / name.replace("/", "/tested-"))
    evaluation = graftwork.evaluate(run.folder, data)
    assert evaluation.exact == len(tests) == 12
    assert evaluation.fresh.images == 12
    with pytest.raises(DataError, match="it was trained on all of them"):
        graftwork.evaluate(run.folder, tiny)


def test_where_measurements_are_no_longer_cached_near_duplicates_are_not_searched_and_that_is_said(
    first: Run, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graft
) -> None:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "empty"))
    evaluation = graftwork.evaluate(first.folder, mixed)
    assert (evaluation.exact, evaluation.near) == (EXACT, None)
    assert evaluation.fresh.images == FRESH + NEAR
    assert "near-duplicates of training images were not searched" in graft("evaluate", first.folder, mixed).out


def test_a_class_that_the_model_does_not_know_is_named(first: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the images also have wasp"):
        graftwork.evaluate(first.folder, write_tiny_images(tmp_path / "a", classes=("ant", "wasp"), per_class=3))
    with pytest.raises(DataError, match=r"the images also have Bees \(did you mean bee\?\), wasp; rename"):
        graftwork.evaluate(
            first.folder, write_tiny_images(tmp_path / "b", classes=("ant", "Bees", "wasp"), per_class=3)
        )


def test_the_command_prints_both_scores(first: Run, mixed: Path, evaluation: Evaluation, graft) -> None:
    answer = graft("evaluate", first.folder, mixed, "--quiet")
    assert answer.code == 0
    lines = answer.out.splitlines()
    fresh = next(line for line in lines if f"accuracy on {FRESH} new images" in line)
    assert f": {100 * evaluation.fresh.value:.1f} % (95 % interval {100 * evaluation.fresh.low:.1f} to" in fresh
    old = next(line for line in lines if f"accuracy on {EXACT + NEAR} images that it was trained on" in line)
    assert f": {100 * evaluation.trained_on.value:.1f} %" in old
    plain = json.loads(graft("evaluate", first.folder, mixed, "--quiet", "--json").out)
    assert (plain["exact"], plain["near"]) == (EXACT, NEAR)
    assert plain["fresh"]["low"] == evaluation.fresh.low


def test_at_least_exits_with_1_when_the_lower_bound_is_below_and_with_0_when_not(
    first: Run, mixed: Path, evaluation: Evaluation, graft
) -> None:
    below, above = f"{evaluation.fresh.low - 0.001:.4f}", f"{evaluation.fresh.low + 0.001:.4f}"
    assert float(above) < evaluation.fresh.value  # the lower bound decides, not the score
    holds = graft("evaluate", first.folder, mixed, "--at-least", below)
    assert (holds.code, f"at least {below}: holds" in holds.out) == (0, True)
    fails = graft("evaluate", first.folder, mixed, "--at-least", above)
    assert (fails.code, f"at least {above}: does not hold" in fails.out) == (1, True)
    assert graft("evaluate", first.folder, mixed, "--at-least", above, "--json").code == 1


def test_at_least_is_refused_for_log_loss_before_an_image_is_read(
    tiny: Path, tmp_path: Path, random_network: dict[str, object], graft
) -> None:
    run = graftwork.train(tiny, output=tmp_path / "run", layer="blocks.3", metric="log-loss", **random_network)
    answer = graft("evaluate", run.folder, tmp_path / "nowhere", "--at-least", "0.9")
    assert answer.code == 2
    assert answer.err.startswith("graft: --at-least needs a metric where higher is better")
    assert "leave it out, or train with another --metric" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("metric", ["accuracy", "macro-f1", "balanced-accuracy"])
def test_twelve_images_never_show_99_per_cent_though_all_are_right(metric: Metric) -> None:
    y = np.arange(12) % 3
    fresh = score(metric, y, np.eye(3)[y], np.arange(12))
    evaluation = Evaluation(fresh, None, 0, 0, ("a", "b", "c"), (), (), ())
    assert fresh.value == 1
    assert not evaluation.is_at_least(0.99)
    assert evaluation.is_at_least(0.7)


def test_one_group_shows_nothing_and_says_so(first: Run, tmp_path: Path, graft) -> None:
    data = write_tiny_images(tmp_path / "new", per_class=6, seed=11)
    for path in data.rglob("*.png"):
        path.rename(path.with_name(f"p1_{path.name}"))
    answer = graft("evaluate", first.folder, data, "--group-by", r"^(p\d)_", "--at-least", "0.01", "--quiet")
    assert answer.code == 1
    said = " ".join(answer.out.split())
    assert "(no interval, 1 group is too few)" in said
    assert "at least 0.01: does not hold (1 group is too few)" in said
