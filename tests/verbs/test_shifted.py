"""The target domain: half of its images choose among linear and fine-tuned models, half test."""

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
from graftwork.errors import DataError
from graftwork.listener import Listener
from graftwork.runfolder import read_run
from graftwork.steps import shift
from graftwork.steps.backbones import Backbones
from graftwork.testing import tiny_image, write_tiny_backbone, write_tiny_images

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


def test_half_of_the_target_images_choose_and_half_test(
    tiny: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = write_tiny_backbone(tmp_path, architecture="test_efficientnet")
    run = graftwork.train(
        tiny, output=tmp_path / "run", backbone=str(backbone), shifted=elsewhere, folds=3, loss="softmax", epochs=2,
        batch_size=8, freeze_to="blocks.2", lr=3e-3, time_limit=None,
    )  # fmt: skip
    assert run.shift is not None
    assert run.shift.score.images == 24
    assert len(run.shift.verdict.rows) == 3  # linear, fine-tuned, WiSE-FT
    chosen = run.trials[run.verdict.chosen].candidate
    assert run.shift.verdict.rows[run.shift.verdict.chosen].label == chosen.label
    assert "on 24 images of the target domain" in run.verdict.because
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


def test_one_training_serves_every_alpha(
    tiny: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.finetune.loop import _Step

    steps, step = Steps(), _Step.__call__

    def counted(self, *given):  # type: ignore[no-untyped-def]
        steps.taken[steps.now] += 1
        return step(self, *given)

    monkeypatch.setattr(_Step, "__call__", counted)
    monkeypatch.setattr(shift, "choose", lambda *given, **named: dataclasses.replace(choose(*given, **named), chosen=2))
    backbone = write_tiny_backbone(tmp_path, architecture="test_efficientnet")
    run = graftwork.train(
        tiny, output=tmp_path / "run", backbone=str(backbone), shifted=elsewhere, folds=3, loss="softmax", epochs=2,
        batch_size=8, freeze_to="blocks.2", time_limit=None, listener=steps,
    )  # fmt: skip
    assert steps.taken["fine-tuning"]
    assert steps.taken["target domain"] == 2 * math.ceil(run.facts.images / 8)
    assert not steps.taken["fit"]
    average = run.trials[run.verdict.chosen].candidate.plan
    assert (average.kind, average.alpha) == ("partial", 0.5)


def test_time_for_the_target_images_is_reserved(
    tiny: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast_images: list[int] = []

    def forecast(backbones: Backbones, backbone: str, images: int, input_px: int | None = None) -> float:
        forecast_images.append(images)
        return 0.0

    monkeypatch.setattr(Backbones, "forecast_seconds", forecast)
    backbone = write_tiny_backbone(tmp_path, architecture="test_efficientnet")
    settings = {"backbone": str(backbone), "folds": 3, "loss": "softmax", "time_limit": "1s"}
    graftwork.train(tiny, output=tmp_path / "run", **settings)
    alone = forecast_images[0]
    forecast_images.clear()
    graftwork.train(tiny, output=tmp_path / "shifted", shifted=elsewhere, **settings)
    assert forecast_images[0] == alone + 3 * 48


def test_the_winner_on_the_target_is_saved(
    tiny: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last(trials, *rest, **named):  # type: ignore[no-untyped-def]
        return dataclasses.replace(choose(trials, *rest, **named), chosen=len(trials) - 1)

    monkeypatch.setattr(shift, "choose", last)
    backbone = write_tiny_backbone(tmp_path, architecture="test_efficientnet")
    run = graftwork.train(
        tiny, output=tmp_path / "run", backbone=str(backbone), shifted=elsewhere, folds=3, loss="softmax", epochs=1,
        batch_size=8, freeze_to="blocks.2", time_limit=None,
    )  # fmt: skip
    assert run.trials[run.verdict.chosen].candidate.plan.kind == "partial"
    assert "tuned" in graftwork.load(run.folder).fitted.card.name


def test_target_images_without_labels_leave_the_choice_and_are_a_finding(
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
    assert "Plain fine-tuning is known to lose" in said.because


def test_target_images_that_all_belong_together_are_refused(
    tiny: Path, small: dict[str, object], tmp_path: Path
) -> None:
    target = write_tiny_images(tmp_path / "target", per_class=10, seed=5)
    for path in target.rglob("*.png"):
        path.rename(path.with_name(f"camera1_{path.name}"))
    arguments = {**small, "group_by": r"^(camera\d|.*)"}
    with pytest.raises(DataError, match="all belong together"):
        graftwork.train(tiny, output=tmp_path / "run", shifted=target, **arguments)


def test_unusable_target_images_are_refused_before_anything_is_computed(
    tiny: Path, small: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.verbs import train as story

    monkeypatch.setattr(story, "open_backbones", lambda *a, **k: pytest.fail("a network was opened"))
    target = write_tiny_images(tmp_path / "target", classes=("ant", "wasp"), per_class=20, seed=5)
    with pytest.raises(DataError, match="the images also have wasp"):
        graftwork.train(tiny, output=tmp_path / "run", shifted=target, **small)


@pytest.mark.parametrize(
    ("classes", "per_class", "message"),
    [(("ant", "wasp"), 20, "the images also have wasp"), (("ant", "bee"), 3, "20 images or more")],
)
def test_target_images_must_fit(
    tiny: Path, small: dict[str, object], tmp_path: Path, classes: tuple[str, ...], per_class: int, message: str
) -> None:
    target = write_tiny_images(tmp_path / "target", classes=classes, per_class=per_class, seed=5)
    with pytest.raises(DataError, match=message):
        graftwork.train(tiny, output=tmp_path / "run", shifted=target, **small)
