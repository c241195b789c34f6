"""Images of the place where the model will be used: half choose among linear and tuned, half test."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork.core.choose import choose
from graftwork.core.plans import Linear, Recipe
from graftwork.errors import DataError
from graftwork.runfolder import read_run
from graftwork.testing import tiny_image, write_tiny_backbone, write_tiny_images
from graftwork.verbs import shifted
from graftwork.listener import Listener
from graftwork.steps.backbones import Backbones

pytestmark = pytest.mark.xdist_group("tuning")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same classes in another light."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for label, name in enumerate(("ant", "bee", "cat")):
        (folder / name).mkdir()
        for i in range(16):
            dark = (tiny_image(label, 77_000 + i) * 0.55).astype(np.uint8)
            Image.fromarray(dark).save(folder / name / f"{i}.png")
    return folder


def test_half_of_the_images_from_there_choose_and_half_test(
    tiny: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = write_tiny_backbone(tmp_path, architecture="test_efficientnet")
    run = graftwork.train(
        tiny, output=tmp_path / "run", backbone=str(backbone), shifted=elsewhere, folds=3, loss="softmax", epochs=2,
        batch_size=8, freeze_to="blocks.2", lr=3e-3, time_limit=None,
    )  # fmt: skip
    assert run.shift is not None
    assert run.shift.score.images == 24
    assert len(run.shift.verdict.rows) == 3  # linear, all the way, half of it
    chosen = run.trials[run.verdict.chosen].candidate
    assert run.shift.verdict.rows[run.shift.verdict.chosen].label == chosen.label
    assert "on 24 images of the place where the model will be used" in run.verdict.because
    assert read_run(Path(run.folder)).shift == run.shift
    (said,) = [finding for finding in run.findings if finding.code == "G307"]
    assert f"{100 * run.shift.score.value:.1f}" in said.because
    assert "plain fine-tuning is known to lose" in said.because
    model = graftwork.load(run.folder)
    hits = sum(model.predict(path)[0].label == path.parent.name for path in sorted(elsewhere.rglob("*.png")))
    assert hits / 48 == pytest.approx(run.shift.score.value, abs=0.35)


class Steps(Listener):
    """Counts the steps of training in each stage."""

    def __init__(self) -> None:
        self.now, self.taken = "", Counter[str]()

    def stage(self, name: str) -> None:
        self.now = name


def test_one_training_serves_all_shares_of_the_way(
    tiny: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.finetune.loop import _Step

    steps, step = Steps(), _Step.__call__

    def counted(self, *given):  # type: ignore[no-untyped-def]
        steps.taken[steps.now] += 1
        return step(self, *given)

    monkeypatch.setattr(_Step, "__call__", counted)
    monkeypatch.setattr(
        shifted, "choose", lambda *given, **named: dataclasses.replace(choose(*given, **named), chosen=2)
    )
    backbone = write_tiny_backbone(tmp_path, architecture="test_efficientnet")
    run = graftwork.train(
        tiny, output=tmp_path / "run", backbone=str(backbone), shifted=elsewhere, folds=3, loss="softmax", epochs=2,
        batch_size=8, freeze_to="blocks.2", time_limit=None, listener=steps,
    )  # fmt: skip
    assert steps.taken["fine-tuning"]
    assert steps.taken["shifted"] == 2 * math.ceil(run.facts.images / 8)
    assert not steps.taken["fit"]
    half = run.trials[run.verdict.chosen].candidate.plan
    assert isinstance(half, Recipe)
    assert half.alpha == 0.5


def test_the_clock_knows_of_the_images_from_there(
    tiny: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def forecast(backbones: Backbones, backbone: str, images: int) -> float:
        asked.append(images)
        return 0.0

    monkeypatch.setattr(Backbones, "forecast_seconds", forecast)
    backbone = write_tiny_backbone(tmp_path, architecture="test_efficientnet")
    settings = {"backbone": str(backbone), "folds": 3, "loss": "softmax", "time_limit": "1s"}
    graftwork.train(tiny, output=tmp_path / "run", **settings)
    alone = asked[0]
    asked.clear()
    graftwork.train(tiny, output=tmp_path / "shifted", shifted=elsewhere, **settings)
    assert asked[0] == alone + 3 * 48


def test_the_winner_there_is_what_is_kept(
    tiny: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last(trials, *rest, **named):  # type: ignore[no-untyped-def]
        return dataclasses.replace(choose(trials, *rest, **named), chosen=len(trials) - 1)

    monkeypatch.setattr(shifted, "choose", last)
    backbone = write_tiny_backbone(tmp_path, architecture="test_efficientnet")
    run = graftwork.train(
        tiny, output=tmp_path / "run", backbone=str(backbone), shifted=elsewhere, folds=3, loss="softmax", epochs=1,
        batch_size=8, freeze_to="blocks.2", time_limit=None,
    )  # fmt: skip
    plan = run.trials[run.verdict.chosen].candidate.plan
    assert isinstance(plan, Recipe)
    assert not isinstance(plan, Linear)
    assert "tuned" in graftwork.load(run.folder).fitted.card.name


def test_images_from_there_without_labels_leave_the_choice_and_are_spoken_of(
    tiny: Path, small: dict[str, object], elsewhere: Path, tmp_path: Path
) -> None:
    pile = tmp_path / "pile"
    pile.mkdir()
    for number, path in enumerate(sorted(elsewhere.rglob("*.png"))):
        (pile / f"{number}.png").write_bytes(path.read_bytes())
    run = graftwork.train(tiny, output=tmp_path / "run", shifted=pile, **small)
    assert run.shift is None
    assert run.test is not None
    (said,) = [finding for finding in run.findings if finding.code == "G311"]
    assert said.count == 48
    assert "plain fine-tuning is known to lose" in said.because


def test_images_from_there_that_all_belong_together_are_refused(
    tiny: Path, small: dict[str, object], tmp_path: Path
) -> None:
    there = write_tiny_images(tmp_path / "there", per_class=10, seed=5)
    for path in there.rglob("*.png"):
        path.rename(path.with_name(f"camera1_{path.name}"))
    asked = {**small, "group_by": r"^(camera\d|.*)"}
    with pytest.raises(DataError, match="all belong together"):
        graftwork.train(tiny, output=tmp_path / "run", shifted=there, **asked)


def test_what_is_wrong_with_them_is_said_before_anything_is_computed(
    tiny: Path, small: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.verbs import train

    monkeypatch.setattr(train, "open_networks", lambda *a, **k: pytest.fail("a network was opened"))
    there = write_tiny_images(tmp_path / "there", classes=("ant", "wasp"), per_class=20, seed=5)
    with pytest.raises(DataError, match="the images have wasp too"):
        graftwork.train(tiny, output=tmp_path / "run", shifted=there, **small)


@pytest.mark.parametrize(
    ("classes", "per_class", "message"),
    [(("ant", "wasp"), 20, "the images have wasp too"), (("ant", "bee"), 3, "at least 20 images")],
)
def test_images_from_there_must_fit(
    tiny: Path, small: dict[str, object], tmp_path: Path, classes: tuple[str, ...], per_class: int, message: str
) -> None:
    there = write_tiny_images(tmp_path / "there", classes=classes, per_class=per_class, seed=5)
    with pytest.raises(DataError, match=message):
        graftwork.train(tiny, output=tmp_path / "run", shifted=there, **small)
