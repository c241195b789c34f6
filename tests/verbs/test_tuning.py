"""A run with fine-tunings: which candidates compete, what is saved, what the time limit allows, and what a saved
model predicts."""

from __future__ import annotations

import dataclasses
import errno
import io
import math
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import graftwork
from graftwork.clock import Clock, parse_seconds
from graftwork.core.plans import Linear, Recipe
from graftwork.core.record import Run
from graftwork.errors import BackboneError, Interrupted, StorageError, UsageError
from graftwork.finetune import loop
from graftwork.images.pixels import prepared
from graftwork.images.views import views as views_of
from graftwork.model.folder import read_model
from graftwork.reporting.page import render
from graftwork.runfolder import read_run
from graftwork.ship.explain import Explainer
from graftwork.steps import compete, time_limit
from graftwork.testing import write_tiny_backbone, write_tiny_images

pytestmark = pytest.mark.xdist_group("tuning")

QUICK = {"epochs": 2, "batch_size": 8, "folds": 3, "loss": "softmax", "time_limit": None}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    backbone = write_tiny_backbone(tmp_path_factory.mktemp("backbone"), architecture="test_efficientnet")
    return {**QUICK, "backbone": str(backbone)}


@pytest.fixture(scope="module")
def tuned_run(settings: dict[str, object], tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        # far above every other, so that a tuned network is chosen
        return graftwork.train(tiny, output=tmp_path_factory.mktemp("runs") / "tuned", tolerance=0, lr=3e-3, **settings)


def test_every_candidate_is_in_the_record(tuned_run: Run) -> None:
    plans = [trial.candidate.plan for trial in tuned_run.trials]
    recipes = [plan for plan in plans if isinstance(plan, Recipe)]
    assert any(isinstance(plan, Linear) for plan in plans)
    assert any(trial.candidate.views > 1 for trial in tuned_run.trials)
    assert {plan.freeze_to is None for plan in recipes} == {True, False}
    assert {plan.alpha for plan in recipes} == {0.5, 1.0}
    full = [trial.candidate for trial in tuned_run.trials if trial.candidate.plan.kind == "full"]
    assert {candidate.views for candidate in full} == {1, 8}
    assert len(tuned_run.verdict.rows) == len(tuned_run.trials)
    assert read_run(Path(tuned_run.folder)).verdict == tuned_run.verdict


def test_halving_eliminates_some_and_runs_others_on_all_folds(tuned_run: Run) -> None:
    recipes = [trial for trial in tuned_run.trials if trial.candidate.plan.kind != "linear"]
    completed = [trial for trial in recipes if trial.ended == "completed"]
    eliminated = [trial for trial in recipes if trial.ended == "eliminated"]
    assert completed
    assert eliminated
    assert all(trial.run.all() for trial in completed)
    assert all(0 < trial.run.mean() < 1 for trial in eliminated)
    assert all(len(trial.curve) == 2 for trial in recipes)
    assert tuned_run.trials[tuned_run.verdict.chosen].ended == "completed"


def test_report_shows_every_fine_tuning(tuned_run: Run) -> None:
    page = render(tuned_run, None)
    for trial in tuned_run.trials:
        assert trial.candidate.label in page


def test_the_work_folder_of_a_completed_run_is_deleted(tuned_run: Run) -> None:
    assert not (Path(tuned_run.folder) / "work").exists()


@pytest.mark.parametrize("views", [1, 8])
def test_a_tuned_model_predicts_in_another_folder_what_was_tested(
    settings: dict[str, object], tiny: Path, tmp_path: Path, views: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compete, "choose", _choose_tuned(compete.choose, views))
    run = graftwork.train(tiny, output=tmp_path / "run", freeze_to="blocks.1", **{**settings, "lr": 3e-3})
    chosen = run.trials[run.verdict.chosen].candidate.plan
    assert isinstance(chosen, Recipe)
    assert run.test is not None
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "empty"))
    moved = tmp_path / "elsewhere"
    (tmp_path / "run" / "model").rename(moved)
    model = graftwork.load(moved)
    paths = [tiny / run.images.names[row] for row in run.test.rows]
    np.testing.assert_allclose(model.probabilities(paths), run.test.probabilities, atol=2e-3)
    (moved / "engine").rename(tmp_path / "no-engine")
    again = graftwork.load(moved)  # exported again from the body, which is the fine-tuned one
    np.testing.assert_allclose(again.probabilities(paths), run.test.probabilities, atol=2e-3)
    assert_explained(moved, paths[0], again)


def assert_explained(folder: Path, image: Path, model: graftwork.Model) -> None:
    """The network in which evidence is looked for gives the codes of the engine, so its body is the tuned one."""
    explainer = Explainer(folder)
    one = explainer.explain(image.read_bytes())
    kinds = views_of(model.fitted.views, seed=0)
    picture = Image.open(image).convert("RGB")
    inputs = np.stack([prepared(picture, model.fitted.card.preprocess, view) for view in kinds])
    codes = torch.cat(explainer._attribution.network(torch.from_numpy(inputs)), 1).mean(0).numpy()
    np.testing.assert_allclose(codes, model.codes([image])[0], rtol=0.02, atol=0.02)
    assert one.label == model.predict(image)[0].label
    assert (len(one.evidence), one.nearest) == (len(kinds), ())
    (note,) = explainer.notes
    assert note.startswith("nearest training images: not known, for a fine-tuned network's folder")


def _choose_tuned(choose, views=1):  # type: ignore[no-untyped-def]
    """The real choice, but the tuned trial of so many views is taken."""
    import dataclasses

    def chosen(trials, *rest, **named):  # type: ignore[no-untyped-def]
        verdict = choose(trials, *rest, **named)
        completed = [
            j
            for j, t in enumerate(trials)
            if t.candidate.plan.kind != "linear" and t.ended == "completed" and t.candidate.views == views
        ]
        return dataclasses.replace(verdict, chosen=completed[0])

    return chosen


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("kill_at", [2, 7])
def test_a_killed_tournament_goes_on_to_the_same_end(
    settings: dict[str, object],
    tiny: Path,
    tmp_path: Path,
    tuned_run: Run,
    kill_at: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save, epochs = loop._save_checkpoint, []

    def killed(*given: object) -> None:
        save(*given)  # type: ignore[arg-type]
        epochs.append(given)
        if len(epochs) == kill_at:
            raise KilledError

    monkeypatch.setattr(loop, "_save_checkpoint", killed)
    arguments = {**settings, "tolerance": 0, "lr": 3e-3}
    with pytest.raises(KilledError):
        graftwork.train(tiny, output=tmp_path / "run", **arguments)
    monkeypatch.setattr(loop, "_save_checkpoint", save)
    again = graftwork.train(tiny, output=tmp_path / "run", **arguments)
    assert again.verdict == tuned_run.verdict
    assert again.test is not None
    assert tuned_run.test is not None
    np.testing.assert_array_equal(again.test.probabilities, tuned_run.test.probabilities)


def test_a_killed_run_goes_on_with_the_views_it_had_decided_on(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def killed(*given: object) -> None:
        raise KilledError

    save = loop._save_checkpoint
    arguments = {**settings, "time_limit": "1h"}
    for views, end in ((3, killed), (5, save)):  # the second start has less time, or more
        monkeypatch.setattr(compete, "views_within", lambda *given, views=views: views)
        monkeypatch.setattr(loop, "_save_checkpoint", end)
        if end is killed:
            with pytest.raises(KilledError):
                graftwork.train(tiny, output=tmp_path / "run", **arguments)
    run = graftwork.train(tiny, output=tmp_path / "run", **arguments)
    assert {trial.candidate.views for trial in run.trials} == {1, 3}


def test_what_the_limit_does_not_allow_is_said_before_it_is_spent_with_the_minutes_it_would_take(
    settings: dict[str, object], tiny: Path, tmp_path: Path, listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.finetune import forecast

    monkeypatch.setattr(forecast, "seconds_per_image_of", lambda trainings, *given: [100.0] * len(trainings))
    run = graftwork.train(tiny, output=tmp_path / "run", listener=listener, **{**settings, "time_limit": "10m"})
    assert all(trial.candidate.plan.kind == "linear" for trial in run.trials)
    (said,) = [line for line in listener.said if "too few for" in line]
    assert re.match(
        r"the time limit leaves \d\.\d minutes, too few for .*all layers tuned \(\d+\.\d minutes here\)", said
    )
    assert said.endswith("not tried; a longer --time-limit tries more")


def test_what_does_not_fit_beside_others_is_said_to_come_at_the_end_if_at_all(
    settings: dict[str, object], tiny: Path, tmp_path: Path, listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.finetune import forecast

    paces = {None: 100.0}
    monkeypatch.setattr(
        forecast, "seconds_per_image_of", lambda trainings, *given: [paces.get(r.freeze_to, 1e-6) for _, r in trainings]
    )
    graftwork.train(tiny, output=tmp_path / "run", listener=listener, **{**settings, "time_limit": "10m"})
    (said,) = [line for line in listener.said if "at the end" in line]
    assert re.match(r"only if time is left at the end: .*all layers tuned \(\d+\.\d minutes here\); a longer", said)


@pytest.mark.parametrize(("half", "all_of_it", "views"), [(1, 4, {1, 4}), (3, 5, {1, 5}), (4, 4, {1, 4}), (1, 1, {1})])
def test_time_that_fine_tunings_have_no_use_for_serves_more_views(
    settings: dict[str, object],
    tiny: Path,
    tmp_path: Path,
    listener,
    monkeypatch: pytest.MonkeyPatch,
    half: int,
    all_of_it: int,
    views: set[int],
) -> None:
    from graftwork.finetune import forecast

    monkeypatch.setattr(forecast, "seconds_per_image_of", lambda trainings, *given: [100.0] * len(trainings))
    monkeypatch.setattr(compete, "views_within", lambda *given, done=0, **kinds: all_of_it if done else half)
    run = graftwork.train(tiny, output=tmp_path / "run", listener=listener, **{**settings, "time_limit": "10m"})
    assert {trial.candidate.views for trial in run.trials} == views
    assert ("codes of several views do not fit into the time limit; not tried" in listener.said) == (views == {1})


def test_without_time_for_a_refit_the_model_of_the_fold_that_judged_it_is_the_model(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "left", lambda self: 1e3)  # of which the refit, 1.35 folds, would take more
    monkeypatch.setattr(time_limit, "refit_folds", lambda n_folds: 1e9)
    monkeypatch.setattr("graftwork.tuning_trials.refit_folds", lambda n_folds: 1e9)
    monkeypatch.setattr(compete, "costs_of", lambda candidates, cards: [c.plan.kind == "linear" for c in candidates])
    arguments = {**settings, "time_limit": "1h", "tolerance": 100, "freeze_to": "blocks.1"}
    run = graftwork.train(tiny, output=tmp_path / "run", **arguments)
    chosen = run.trials[run.verdict.chosen]
    assert chosen.candidate.plan.kind == "partial"
    (said,) = [finding for finding in run.findings if finding.code == "G313"]
    assert chosen.candidate.label in said.because
    judged = np.flatnonzero(np.array(run.images.folds)[run.develop] == chosen.details["fold"])
    names = [str(tiny / run.images.names[run.develop[i]]) for i in judged]
    predicted = graftwork.load(run.folder).probabilities(names)
    assert np.abs(predicted - chosen.probabilities[judged]).max() < 2e-2


def test_a_smaller_input_is_a_candidate_that_can_be_chosen_saved_and_used(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = compete.candidates_to_tune
    monkeypatch.setattr(
        compete,
        "candidates_to_tune",
        lambda *given, **options: tuple(c for c in planned(*given, **options) if c.smaller_px),
    )
    monkeypatch.setattr(compete, "costs_of", lambda candidates, cards: [c.plan.kind == "linear" for c in candidates])
    backbone = write_tiny_backbone(tmp_path / "backbone", architecture="test_efficientnet", input_px=128)
    arguments = {**QUICK, "backbone": str(backbone), "tolerance": 100}
    run = graftwork.train(tiny, output=tmp_path / "run", **arguments)
    chosen = run.trials[run.verdict.chosen].candidate
    assert (chosen.input_px, run.cards[0].preprocess.input_px) == (96, 128)
    assert "at 96 px" in chosen.label
    assert "at 96 px" in render(run, None)
    assert read_model(Path(run.folder) / "model").fitted.card.preprocess.input_px == 96
    (prediction,) = graftwork.predict(run.folder, next((tiny / "ant").iterdir()))
    assert prediction.label in run.classes


def test_an_input_that_the_user_gave_is_the_only_one(tiny: Path, tmp_path: Path) -> None:
    backbone = write_tiny_backbone(tmp_path / "backbone", architecture="test_efficientnet", input_px=128)
    run = graftwork.train(
        tiny, output=tmp_path / "again", input_px=128, **{**QUICK, "epochs": 1, "backbone": str(backbone)}
    )
    assert {trial.candidate.input_px for trial in run.trials} == {128}


def test_nested_cross_validation_says_what_it_would_cost_to_nest_a_fine_tuning(
    settings: dict[str, object], tiny: Path, tmp_path: Path, listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.finetune import forecast

    monkeypatch.setattr(forecast, "seconds_per_image_of", lambda trainings, *given: [1.0] * len(trainings))
    run = graftwork.train(tiny, output=tmp_path / "run", test="cv", listener=listener, **settings)
    assert {trial.candidate.plan.kind for trial in run.trials} == {"linear"}
    (said,) = [line for line in listener.said if "nested cross-validation" in line]
    minutes = re.search(r"with the cheapest of them it would take (\d+) minutes here; use another --test", said)
    assert minutes
    # 60 images, 3 folds, 2 epochs of 40 images at 1.2 seconds: one fold, the refit; in every fold and once more
    assert abs(int(minutes[1]) - 4 * (1 + 1.62) * 2 * 40 * 1.2 / 60) <= 1


def test_a_limit_below_everything_yields_the_linear_model(
    settings: dict[str, object], tiny: Path, tmp_path: Path, listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.finetune import forecast

    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))  # of a machine on which nothing was measured before
    monkeypatch.setattr(forecast, "seconds_per_image", lambda *given: pytest.fail("no time is left to measure it"))
    run = graftwork.train(tiny, output=tmp_path / "run", listener=listener, **{**settings, "time_limit": "1s"})
    assert all(trial.candidate.plan.kind == "linear" for trial in run.trials)
    tells = (
        "the time limit leaves 0.0 minutes, too few for any fine-tuning: not tried; a longer --time-limit tries more"
    )
    assert tells in listener.said
    (said,) = [finding for finding in run.findings if finding.code == "G309"]
    assert said.count == 3
    assert "all layers tuned" in said.because


def test_a_loss_that_explodes_leaves_the_others(
    settings: dict[str, object], tiny: Path, tmp_path: Path, listener
) -> None:
    run = graftwork.train(tiny, output=tmp_path / "run", listener=listener, **{**settings, "lr": 1e30})
    assert run.trials[run.verdict.chosen].ended == "completed"
    assert any("the loss must be finite" in line for line in listener.said)
    (said,) = [finding for finding in run.findings if finding.code == "G310"]
    assert said.count == 3
    assert "all layers tuned" in said.because
    assert not [finding for finding in run.findings if finding.code == "G309"]


def split_and_opened(settings: dict[str, object], tiny: Path):  # type: ignore[no-untyped-def]
    """What a run has before its search: split images, and the opened network."""
    from graftwork.core.options import ExtractionOptions, SplitOptions
    from graftwork.steps.backbones import open_backbones
    from graftwork.steps.prepare import prepare

    split_images = prepare(tiny, SplitOptions(folds=3))
    options = ExtractionOptions(backbone=(str(settings["backbone"]),))
    return split_images, open_backbones(options, split_images.develop)


def test_a_fold_is_saved_under_all_that_it_depends_on(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from graftwork.core.options import FineTuneOptions, JudgingOptions
    from graftwork.finetune.depthwise import GradientPaths
    from graftwork.finetune.engine import TrainingEngine
    from graftwork.steps.compete import fine_tune_context

    split_images, backbones = split_and_opened(settings, tiny)

    def folder(split_images=split_images, backbones=backbones, weight="none"):  # type: ignore[no-untyped-def]
        task = split_images.task(JudgingOptions(class_weight=weight))
        return fine_tune_context(
            split_images, task, backbones, FineTuneOptions(), tmp_path, any_input=False, n_refits=1
        ).folder

    images = split_images.images
    swapped = images.labels.copy()
    swapped[split_images.split.develop[:2]] = swapped[split_images.split.develop[:2]][::-1] + 1
    other = dataclasses.replace(split_images, images=dataclasses.replace(images, labels=swapped % 3))
    ((name, backbone),) = backbones.by_name.items()
    extraction = dataclasses.replace(backbone.extraction, card=dataclasses.replace(backbone.card, licence="another"))
    again = dataclasses.replace(backbones, by_name={name: dataclasses.replace(backbone, extraction=extraction)})
    assert folder() == folder()
    folders = [folder(), folder(other), folder(backbones=again), folder(weight="balanced")]
    for precision in ("float32", "bfloat16"):
        engine = TrainingEngine(precision, {"another layer": GradientPaths()})  # type: ignore[arg-type]
        monkeypatch.setattr("graftwork.finetune.engine.training_engine", lambda card, engine=engine: engine)
        folders.append(folder())
    assert len(set(folders)) == len(folders) == 6


def test_fine_tunings_start_at_the_c_of_standardised_codes(
    settings: dict[str, object], tiny: Path, tmp_path: Path
) -> None:
    arguments = {**settings, "freeze_to": "blocks.2", "epochs": 1}
    standard = graftwork.train(tiny, output=tmp_path / "standard", **arguments)
    lengths = graftwork.train(tiny, output=tmp_path / "l2", normalise="l2", **arguments)
    (c,) = {trial.details["C"] for trial in standard.trials if trial.candidate.plan.kind != "linear"}
    assert {t.details["C"] for t in lengths.trials if t.candidate.plan.kind != "linear"} == {c}


def test_the_epochs_of_early_stopping_are_those_of_the_fit_on_all_images(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.finetune import fold

    monkeypatch.setattr(compete, "costs_of", lambda candidates, cards: [c.plan.kind == "linear" for c in candidates])
    monkeypatch.setattr(loop, "_log_loss", lambda *given: 1.0)  # never lower: the second epoch is the last
    plans, tune_fold = [], fold.tune_fold
    monkeypatch.setattr(fold, "tune_fold", lambda plan, *a, **k: plans.append(plan) or tune_fold(plan, *a, **k))
    arguments = {**settings, "epochs": 4, "patience": 1, "lr": 3e-3, "tolerance": 100}
    run = graftwork.train(tiny, output=tmp_path / "run", **arguments)
    tuned = [trial for trial in run.trials if trial.candidate.plan.kind != "linear"]
    assert {(trial.details["epochs"], len(trial.curve)) for trial in tuned} == {(2.0, 2)}
    plan = plans[-1]
    assert (plan.patience, plan.stop_at, plan.epochs) == (None, 2, 4)


def test_an_unknown_layer_to_freeze_is_named(settings: dict[str, object], tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"must have the layer stages\.99 to be frozen up to it"):
        graftwork.train(tiny, output=tmp_path / "run", freeze_to="stages.99", **settings)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("none", math.inf), (None, math.inf)]
)
def test_times_are_read_as_people_write_them(text: str | None, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1m", "0", "10 minutes"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--time-limit must be a time such as"):
        parse_seconds(text)


def test_seconds_of_an_earlier_start_count(tmp_path: Path) -> None:
    def left() -> float:
        clock = Clock(100, tmp_path / "clock.json")
        clock.reserve_seconds = 10
        return clock.left()

    assert 89 < left() <= 90
    (tmp_path / "clock.json").write_text('{"active_seconds": 80}')
    assert 9 < left() <= 10


def test_past_extraction_forecasts_further_extraction(
    settings: dict[str, object], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.codes import compute
    from graftwork.core.plans import linear_candidates

    prepared, seconds = compute.prepared, 0.02
    slowly = 0.5 * seconds / (os.cpu_count() or 1)
    _, backbones = split_and_opened(settings, tiny)
    ((name, backbone),) = backbones.by_name.items()
    candidate = linear_candidates(backbone.extraction.card)[0]
    backbones.codes(candidate)
    assert backbones.forecast_seconds(name, 1000) < 1000 * slowly
    monkeypatch.setattr(compute, "prepared", lambda *given: (time.sleep(seconds), prepared(*given))[1])
    backbones.codes(dataclasses.replace(candidate, views=5))
    assert backbones.forecast_seconds(name, 1000) > 1000 * slowly
    _, again = split_and_opened(settings, tiny)
    again.codes(candidate)
    assert not again._seconds_per_image  # all were cached
    assert again.forecast_seconds(name, 1000) > 1000 * slowly


def test_several_networks_compete_and_each_is_named(settings: dict[str, object], tiny: Path, tmp_path: Path) -> None:
    other = write_tiny_backbone(tmp_path, architecture="test_byobnet", seed=9)
    backbones = [str(settings["backbone"]), str(other)]
    run = graftwork.train(tiny, output=tmp_path / "run", **{**settings, "backbone": backbones, "time_limit": "1s"})
    assert len(run.cards) == 2
    assert {trial.candidate.backbone for trial in run.trials} == {card.name for card in run.cards}
    assert run.card.name == run.trials[run.verdict.chosen].candidate.backbone
    assert all(row.label.startswith(("test_efficientnet: ", "test_byobnet: ")) for row in run.verdict.rows)
    assert run.command.count("--backbone") == 2
    moved = graftwork.load(run.folder)
    assert moved.predict(tiny / run.images.names[0])[0].label in run.classes


def test_the_same_network_twice_is_refused(settings: dict[str, object], tiny: Path, tmp_path: Path) -> None:
    arguments = {**settings, "backbone": [settings["backbone"]] * 2}
    with pytest.raises(UsageError, match="each --backbone must be another network"):
        graftwork.train(tiny, output=tmp_path / "run", **arguments)


def test_variation_between_seeds_is_measured_apart_from_variation_between_images(
    settings: dict[str, object], tiny: Path, tmp_path: Path
) -> None:
    arguments = {**settings, "repeats": 2, "freeze_to": "blocks.2", "lr": 3e-3}
    run = graftwork.train(tiny, output=tmp_path / "run", **arguments)
    tuned = [trial for trial in run.trials if trial.candidate.plan.kind != "linear"]
    assert tuned
    for trial in tuned:
        assert len(trial.seed_losses) == 2
        score = run.verdict.rows[run.trials.index(trial)].score
        assert 1 - trial.seed_losses[0] == pytest.approx(score)
    (said,) = [finding for finding in run.findings if finding.code == "G308"]
    assert "over 2 seeds" in said.because
    assert all(not trial.seed_losses for trial in run.trials if trial.candidate.plan.kind == "linear")


def test_a_run_is_ranked_among_those_of_its_own_length_only(
    settings: dict[str, object], tiny: Path, tmp_path: Path
) -> None:
    arguments = {name: value for name, value in settings.items() if name != "epochs"}
    from graftwork.core import recipes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "_MOST_EPOCHS", 2)
        patch.setattr(recipes, "_FEWEST_EPOCHS", 1)
        run = graftwork.train(tiny, output=tmp_path / "run", scratch=True, **arguments)
    ended = {trial.candidate.plan.start: set() for trial in run.trials if trial.candidate.plan.kind != "linear"}
    for trial in run.trials:
        if trial.candidate.plan.kind != "linear":
            ended[trial.candidate.plan.start].add(trial.ended)
    assert ended["random"] == {"completed"}
    assert ended["pretrained"] == {"completed", "eliminated"}


def test_where_the_time_limit_leaves_some_folds_the_chosen_linear_candidate_represents_all(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.tournament import Tournament

    run_fold, folds = Tournament._run_fold, []

    def short(self: Tournament, tuning: object, fold: int, rivals: object) -> bool:
        folds.append(fold)
        return fold < 2 and run_fold(self, tuning, fold, rivals)  # type: ignore[arg-type]

    monkeypatch.setattr(Tournament, "_run_fold", short)
    run = graftwork.train(tiny, output=tmp_path / "run", **settings)
    linear = [trial for trial in run.trials if trial.candidate.plan.kind == "linear" and trial.candidate.views == 1]
    assert sorted({trial.ended for trial in linear}) == ["completed", "represented"]
    assert sum(trial.ended == "completed" for trial in linear) == 1
    assert run.verdict.images is not None
    assert run.verdict.images < len(run.y)
    assert "represented by the chosen linear classifier" in render(run, None)


def test_a_class_that_some_folds_lack_is_tuned_all_the_same(settings: dict[str, object], tmp_path: Path) -> None:
    images = write_tiny_images(tmp_path / "images")
    for path in sorted((images / "cat").iterdir())[2:]:
        path.unlink()
    run = graftwork.train(images, output=tmp_path / "run", test=0, exhaustive=True, **settings)
    tuned = [trial for trial in run.trials if trial.candidate.plan.kind != "linear"]
    assert tuned
    assert min(np.bincount(run.y)) == 2
    assert all(trial.run.all() and np.isfinite(trial.probabilities).all() for trial in tuned)


def test_a_small_disk_keeps_fewer_views_or_none_and_says_so(
    settings: dict[str, object], tiny: Path, tmp_path: Path, listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {**settings, "freeze_to": "blocks.2", "listener": listener}
    for budget_mb, views in ((1e6, 8), (0.1, 1), (0.0, 0)):
        monkeypatch.setenv("GRAFTWORK_CACHE_MB", str(budget_mb))
        run = graftwork.train(tiny, output=tmp_path / str(budget_mb), **arguments)
        plans = [trial.candidate.plan for trial in run.trials if trial.candidate.plan.kind != "linear"]
        assert {plan.cached_augmentations for plan in plans} == {views}
    said = [line for line in listener.said if "more than the cache may hold" in line]
    assert any("every epoch runs the whole network" in line for line in said)
    assert "every epoch decodes them again" in said[-1]
    assert "1 views are cached" in said[0]


@pytest.mark.parametrize("stop_at", [1, 4])
def test_ctrl_c_in_a_fine_tuning_leaves_an_unfinished_run_and_the_same_call_goes_on(
    settings: dict[str, object], tiny: Path, tmp_path: Path, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = graftwork.train(tiny, output=tmp_path / "whole", **settings)
    save, epochs = loop._save_checkpoint, []

    def stopped(*given: object) -> None:
        save(*given)  # type: ignore[arg-type]
        epochs.append(given)
        if len(epochs) == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_save_checkpoint", stopped)
    with pytest.raises(Interrupted, match=r"run holds what was computed, unfinished and untested; the same command"):
        graftwork.train(tiny, output=tmp_path / "run", **settings)
    assert not (tmp_path / "run" / "run.json").exists()
    run = graftwork.train(tiny, output=tmp_path / "run", **settings)
    assert len(epochs) < 2 * stop_at + len([t for t in run.trials if t.candidate.plan.kind != "linear"]) * 20
    for one, other in zip(run.trials, expected.trials, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize("views", [8, 3])
def test_one_pass_over_the_views_serves_the_linear_classifier_and_every_cut(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, views: int
) -> None:
    from graftwork.codes import extract

    passes, compute = [], extract.compute

    def counted(images, rows, extraction, views, engine):  # type: ignore[no-untyped-def]
        passes.append((len(rows), len(views), len(extraction.activations)))
        return compute(images, rows, extraction, views, engine)

    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(extract, "compute", counted)
    monkeypatch.setattr(compete, "views_within", lambda *given: views)
    run = graftwork.train(tiny, output=tmp_path / "run", **settings)
    cut = [c.plan for c in (t.candidate for t in run.trials) if isinstance(c.plan, Recipe) and c.plan.freeze_to]
    assert len({plan.freeze_to for plan in cut}) == 2
    assert {plan.cached_augmentations for plan in cut} == {views}
    assert [each for each in passes if each[0] == len(run.develop) and each[1] > 1] == [(len(run.develop), views, 2)]


def test_activations_are_taken_of_the_images_that_fine_tunings_read_and_of_no_others(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.codes import extract

    passes, compute, choose = [], extract.compute, compete.choose

    def counted(images, rows, extraction, views, engine):  # type: ignore[no-untyped-def]
        passes.append((len(images), len(views), len(extraction.activations)))
        return compute(images, rows, extraction, views, engine)

    def choose_several_views(trials, *rest, **named):  # type: ignore[no-untyped-def]
        position = next(j for j, t in enumerate(trials) if t.candidate.plan.kind == "linear" and t.candidate.views > 1)
        return dataclasses.replace(choose(trials, *rest, **named), chosen=position)

    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(extract, "compute", counted)
    monkeypatch.setattr(compete, "choose", choose_several_views)
    run = graftwork.train(tiny, output=tmp_path / "run", **{**settings, "epochs": 1})
    develop, tested = len(run.develop), len(run.test.rows)
    assert {activations > 0 for images, views, activations in passes if images == develop and views > 1} == {True}
    assert {activations for images, views, activations in passes if images == tested and views > 1} == {0}


@pytest.mark.parametrize(("final", "tried"), [("develop", True), ("all", False)])
def test_where_the_model_is_to_be_fitted_on_all_images_nothing_is_tried_that_leaves_no_time_for_it(
    settings: dict[str, object],
    tiny: Path,
    tmp_path: Path,
    listener,
    monkeypatch: pytest.MonkeyPatch,
    final: str,
    tried: bool,
) -> None:
    from graftwork.finetune import forecast

    # two folds, which hold images enough to judge by, take seven of the ten minutes
    pace = 3.5 * 60 / (time_limit.STEP_MARGIN * 4 * len(list(tiny.glob("*/*"))) * 0.8 * 2 / 3)
    monkeypatch.setattr(forecast, "seconds_per_image_of", lambda trainings, *given: [pace] * len(trainings))
    arguments = {**settings, "time_limit": "10m", "epochs": 4, "final": final}
    run = graftwork.train(tiny, output=tmp_path / "run", listener=listener, **arguments)
    assert any(trial.candidate.plan.kind != "linear" for trial in run.trials) == tried
    assert any("allows the first fold" in line for line in listener.said) == tried


@pytest.mark.parametrize(("final", "further"), [("develop", True), ("all", False)])
def test_the_seconds_of_a_refit_that_is_not_needed_go_to_more_folds(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, final: str, further: bool
) -> None:
    used = []
    without_refit = compete.Tournament.without_refit
    monkeypatch.setattr(
        compete.Tournament, "without_refit", lambda tournament: used.append(1) or without_refit(tournament)
    )
    arguments = {**settings, "time_limit": "10m", "tolerance": 100, "freeze_to": "blocks.2", "epochs": 1}
    run = graftwork.train(tiny, output=tmp_path / "run", final=final, **arguments)
    assert run.trials[run.verdict.chosen].candidate.plan.kind == "linear"
    assert bool(used) == further


@pytest.mark.parametrize("cached", [True, False])
def test_a_fine_tuning_is_fitted_again_on_every_image_where_that_is_asked_for(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    choose = compete.choose

    def choose_tuned(trials, *rest, **named):  # type: ignore[no-untyped-def]
        kinds = [trial.candidate.plan.kind for trial in trials]
        return dataclasses.replace(choose(trials, *rest, **named), chosen=kinds.index("partial" if cached else "full"))

    monkeypatch.setattr(compete, "choose", choose_tuned)
    arguments = {**settings, "epochs": 1, **({"freeze_to": "blocks.2"} if cached else {})}
    run = graftwork.train(tiny, output=tmp_path / "run", final="all", **arguments)
    chosen = run.trials[run.verdict.chosen].candidate.plan
    assert isinstance(chosen, Recipe)
    assert bool(chosen.cached_augmentations) == cached
    assert read_model(tmp_path / "run" / "model").manifest["trained_on"] == "all"


@pytest.mark.parametrize("metric", ["accuracy", "macro-f1"])
def test_the_choice_knows_what_is_expected_of_every_candidate_but_random_weights(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    heard, choose = [], compete.choose

    def listening(trials, *rest, expected, **named):  # type: ignore[no-untyped-def]
        heard.append((trials, expected))
        return choose(trials, *rest, expected=expected, **named)

    monkeypatch.setattr(compete, "choose", listening)
    arguments = {**settings, "metric": metric, "epochs": 1, "scratch": True}
    run = graftwork.train(tiny, output=tmp_path / "run", **arguments)
    ((trials, expected),) = heard
    if metric != "accuracy":  # nothing was measured of others
        assert expected is None
        return
    assert len(expected) == len(trials) == len(run.trials)
    kinds = [trial.candidate.plan.kind for trial in trials]
    assert {kind for kind, value in zip(kinds, expected, strict=True) if math.isnan(value)} <= {"scratch"}
    assert "linear" in kinds
    last = next(
        t for t in trials if t.candidate.taps == trials[-1].candidate.taps and t.candidate.plan.kind == "linear"
    )
    measured = float((last.probabilities.argmax(axis=1) == run.y).mean())
    assert expected[trials.index(last)] == pytest.approx(measured)


@pytest.mark.parametrize("views", [3, 4])
def test_nothing_is_expected_of_fewer_views_than_gain_what_the_forecast_was_fitted_on(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, views: int
) -> None:
    heard, choose = [], compete.choose

    def listening(trials, *rest, expected, **named):  # type: ignore[no-untyped-def]
        heard.extend(zip((trial.candidate for trial in trials), expected, strict=True))
        return choose(trials, *rest, expected=expected, **named)

    monkeypatch.setattr(compete, "choose", listening)
    monkeypatch.setattr(compete, "views_within", lambda *_, **__: views)
    graftwork.train(tiny, output=tmp_path / "run", **{**settings, "epochs": 1})
    averaged = [expected for candidate, expected in heard if candidate.views > 1 and candidate.plan.kind == "linear"]
    assert [math.isnan(expected) for expected in averaged] == [views == 3]


def test_a_full_disk_in_the_middle_of_a_training_is_one_line(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = io.open

    def full(file: object, mode: str = "r", *rest: object, **named: object) -> object:
        if "w" in mode and "state.safetensors" in str(file):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        return real(file, mode, *rest, **named)

    monkeypatch.setattr(io, "open", full)
    with pytest.raises(StorageError, match="No space left on device; free some space or choose another place"):
        graftwork.train(tiny, output=tmp_path / "run", **settings)


def test_how_many_folds_the_time_limit_left_is_said(
    settings: dict[str, object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    class Heard(graftwork.Listener):
        def say(self, text: str) -> None:
            heard.append(text)

    monkeypatch.setattr(compete.Tournament, "_further_folds", lambda *_: None)  # as where the time ends
    arguments = {**settings, "time_limit": "10m", "freeze_to": "blocks.2", "epochs": 1}
    graftwork.train(tiny, output=tmp_path / "run", listener=Heard(), **arguments)
    assert "the time limit left 2 of 3 folds to fine-tunings" in heard  # 20 images are judged on
