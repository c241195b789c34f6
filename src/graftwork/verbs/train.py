"""The story of a run, top to bottom: labelled images become a tested classifier, with its evidence."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graftwork.clock import Clock, parse_seconds
from graftwork.core.arrays import Ints
from graftwork.core.choose import score
from graftwork.core.facts import Aspect, Intensity, Relu
from graftwork.core.fitted import Fitted, probabilities
from graftwork.core.metrics import Metric
from graftwork.core.plans import Loss, Normalise, cost_to_use
from graftwork.core.record import Run, TestScore
from graftwork.core.rules import Finding, series_finding
from graftwork.core.splits import deal, joined_groups
from graftwork.core.trials import Trial
from graftwork.fit import FineTuneContext, fit
from graftwork.listener import Listener, Stages
from graftwork.steps.backbones import Backbone, Backbones, ExtractionOptions, open_networks
from graftwork.steps.compete import FineTuneOptions, compete, fine_tune_context
from graftwork.steps.ledger import count_look
from graftwork.steps.prepare import SplitImages, prepare
from graftwork.steps.projection import projection
from graftwork.steps.save import Outcome, save
from graftwork.steps.search import Rules, SearchResult, linear_rules, nested_probabilities, search
from graftwork.steps.shift import choose_for_target, load_target
from graftwork.tournament import run_trials
from graftwork.verbs import output as outputs


def train(
    data: str | Path,
    *,
    output: str | Path | None = None,
    strategy: Literal["auto", "linear"] = "auto",
    time_limit: str | float | None = "10m",
    backbone: str | Sequence[str] = ("auto",),
    aspect: Aspect | None = None,
    input_px: int | None = None,
    intensity: Intensity = "dataset",
    pool: Literal["average", "max"] = "average",
    relu: Relu = "auto",
    views: int = 1,
    layer: str = "auto",
    freeze_to: str | None = None,
    scratch: bool = False,
    exhaustive: bool = False,
    repeats: int = 1,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    layer_decay: float | None = None,
    patience: int | None = None,
    augment: Literal["none", "crop"] | None = None,
    loss: Loss | Literal["auto"] = "auto",
    metric: Metric = "accuracy",
    normalise: Normalise = "standard",
    class_weight: Literal["auto", "none", "balanced"] = "auto",
    folds: int = 5,
    seed: int = 0,
    tolerance: float = 1.0,
    test: str | Path | float = 0.2,
    split_from: str | Path | None = None,
    shifted: str | Path | None = None,
    group_by: str | None = None,
    final: Literal["develop", "all"] = "develop",
    slim: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Turn labelled images and a pretrained network into a tested classifier.

    Parameters
    ----------
    data
        A folder of class folders, a folder that comes split, a CSV or Parquet table, or a saved dataset.
    output
        The run's folder; ``runs/NAME-001`` and so on by default.
    strategy, time_limit
        ``auto`` sets fine-tunings beside the linear candidates as far as the time allows (``90s``, ``10m``, ``none``);
        ``linear`` leaves the network alone. Nested cross-validation tests linear candidates only.
    freeze_to, scratch, exhaustive, repeats
        Up to where nothing moves, in place of the usual cuts: a layer's name, a number of layers or a per cent of depth
        (``"50%"``); whether random weights are tried; whether every fine-tuning runs on all folds; with how many seeds,
        to tell chance in training from chance in the images.
    epochs, batch_size, lr, layer_decay, patience, augment
        In place of what the recipe says; ``patience`` stops a training after so many epochs without a lower log loss on
        images left out.
    backbone, layer
        Which network (several compete), and where it is read; ``auto`` takes the recommended one, and tries every
        layer.
    aspect, input_px, intensity
        How an image becomes the network's input, where it should differ from the card.
    pool, relu, views, loss, normalise
        How codes are read, and what is fitted on them.
    metric, class_weight, worth
        What rules every choice; how classes weigh in fitting (``auto``: balanced for balanced accuracy); and how
        many points (hundredths of a nat for log loss) a cheaper candidate is forgiven.
    folds, seed
        Folds of the cross-validation; where every draw begins.
    test
        A share of the images, a folder or table of its own, or ``cv`` for nested cross-validation.
    shifted
        Images of the place where the model will be used, if they look different there: where they have labels, half
        of them help to choose, half test.
    like
        An earlier run: every image that it had keeps its side of the split.
    group_by
        A column of the table, a regular expression whose first capture in the name, or ``series`` (the likely ones)
        tells what belongs together.
    final
        ``all`` fits the model again on every image after the test; the score belongs to the one before.
    slim
        Leave the network's own weights out of the model folder.
    listener
        Told what happens.

    Returns
    -------
    The run's record; its folder holds the model and ``report.html``.

    Raises
    ------
    GraftError
        When the images, the network, the arguments or the disk do not allow it; the message says what to do.
    """
    backbone = (backbone,) if isinstance(backbone, str) else tuple(backbone)
    settings = _settings(locals())
    stages = Stages(listener or Listener())
    limit_seconds = parse_seconds(time_limit)
    with outputs.claimed(output, Path(data).stem, settings) as folder:
        clock = Clock(limit_seconds, folder / outputs.CLOCK)
        with stages.stage("images"):
            split_images = prepare(
                data,
                test=test,
                folds=folds,
                group_by=group_by,
                split_from=split_from,
                seed=seed,
                input_px=input_px,
                listener=stages.listener,
            )
            there = load_target(shifted, split_images, group_by=group_by, seed=seed, listener=stages.listener)
        with stages.stage("backbone"):
            backbones = open_networks(
                backbone,
                ExtractionOptions("", aspect, input_px, intensity, pool, relu, views),
                split_images.develop,
                intensity_range=split_images.intensity_range,
                listener=stages.listener,
            )
        rules = linear_rules(
            backbones.cards,
            split_images.images.classes,
            layer=layer,
            loss=loss,
            normalise=normalise,
            pool=pool,
            views=views,
            metric=metric,
            class_weight=class_weight,
            seed=seed,
            tolerance=tolerance / 100,
        )
        wanted = FineTuneOptions(
            freeze_to, scratch or None, exhaustive, repeats,
            epochs, batch_size, lr, layer_decay, patience, augment,
            n_refits=2 if final == "all" else 1, extra_images=there.n_extractions if there is not None else 0,
        )  # fmt: skip
        tuning = fine_tune_context(
            split_images, backbones, wanted, folder, balanced=rules.balanced, seed=seed, listener=stages.listener
        )
        with stages.stage("codes"):
            backbones.extract_for(rules.candidates)
        with stages.stage("candidates"):
            found = search(
                rules,
                backbones.codes,
                split_images.y,
                split_images.split.folds,
                split_images.develop_groups,
                features=split_images.features,
                costs=[cost_to_use(candidate, backbones.cards) for candidate in rules.candidates],
                listener=stages.listener,
            )
        doubts = _score_with_series_apart(rules, backbones, found, split_images)
        if strategy == "auto" and test == "cv":
            stages.listener.say("nested cross-validation tests linear candidates only; use another --test to fine-tune")
        elif strategy == "auto":
            with stages.stage("fine-tuning"):
                found = compete(rules, found, backbones, split_images, wanted, tuning, clock, stages.listener)
        fit_develop = functools.partial(_fit, backbones, split_images, rules, tuning)
        shift = None
        if there is not None:
            with stages.stage("shifted"):
                found, shift = choose_for_target(rules, found, backbones, there, fit_develop)
        with stages.stage("fit"):
            fitted, backbone = fit_develop(found.chosen), backbones.of(found.chosen.candidate)
        with stages.stage("test"):
            tested = (
                _nested_score(rules, backbones, split_images, folder, stages.listener)
                if test == "cv"
                else _held_out_score(
                    rules, backbone.with_fitted(fitted), found, fitted, split_images, folder, stages.listener
                )
            )
        with stages.stage("map"):
            codes = backbone.with_fitted(fitted).codes(split_images.develop, stages.listener.progress)
            picture = projection(codes.of(found.chosen.candidate.taps), split_images.split.develop, seed=seed)
        with stages.stage("save"):
            outcome = Outcome(
                split_images, backbones, backbone, rules, found, fitted, tested, picture, doubts, tuning, shift
            )
            return save(outcome, codes, folder, settings, final=final, slim=slim, stages=stages)


def _fit(
    backbones: Backbones, split_images: SplitImages, rules: Rules, tuning: FineTuneContext, trial: Trial
) -> Fitted:
    """Fit a trial's candidate on all images to develop on."""
    codes = backbones.codes(trial.candidate)
    return fit(trial, codes, split_images.y, rules.classes, balanced=rules.balanced, tuning=tuning)


def _settings(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what the user decided, as JSON holds it; where to write and whom to tell change nothing."""
    kept = {name: value for name, value in arguments.items() if name not in ("output", "listener")}
    return {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}


def _score_with_series_apart(
    rules: Rules, backbones: Backbones, found: SearchResult, split_images: SplitImages
) -> tuple[Finding, ...]:
    """Where images seem to come in series, say what the chosen candidate reads when a series stays on one side."""
    if split_images.series is None:
        return ()
    rows = split_images.split.develop
    series = joined_groups(len(rows), split_images.series[rows], split_images.develop_groups)
    folds = deal(
        split_images.y, series, (1.0,) * len(np.unique(split_images.split.folds)), np.random.default_rng(rules.seed)
    )
    if len(np.unique(folds)) < 2:  # all of one series: nothing can be kept apart
        return ()
    trial = next(run_trials([found.chosen.candidate], backbones.codes, rules.task(split_images.y, folds)))
    apart = score(rules.metric, split_images.y, trial.probabilities, series, seed=rules.seed)
    return (series_finding(apart, found.verdict.rows[found.verdict.chosen], images=len(rows)),)


def _held_out_score(
    rules: Rules,
    backbone: Backbone,
    found: SearchResult,
    fitted: Fitted,
    split_images: SplitImages,
    folder: Path,
    listener: Listener,
) -> TestScore | None:
    """Open the test part, once, with the model that is fitted already."""
    rows = split_images.split.test
    if not len(rows):
        return None
    images = split_images.images.take(rows)
    codes = backbone.codes(images).of(found.chosen.candidate.taps)
    how = "given test part" if split_images.test_was_given else "held-out test"
    return _score(rules, split_images, rows, probabilities(fitted, codes), how, folder, listener)


def _nested_score(
    rules: Rules, backbones: Backbones, split_images: SplitImages, folder: Path, listener: Listener
) -> TestScore:
    """Test the whole procedure, choices included, with every image once."""
    rows = nested_probabilities(
        rules,
        backbones.codes,
        split_images.y,
        split_images.split.folds,
        split_images.develop_groups,
        costs=[cost_to_use(candidate, backbones.cards) for candidate in rules.candidates],
        listener=listener,
    )
    return _score(rules, split_images, split_images.split.develop, rows, "nested cross-validation", folder, listener)


def _score(
    rules: Rules,
    split_images: SplitImages,
    rows: Ints,
    probability_rows: NDArray[np.float32],
    how: str,
    folder: Path,
    listener: Listener,
) -> TestScore:
    y = split_images.images.labels[rows]
    found = score(rules.metric, y, probability_rows, split_images.split.groups[rows], seed=rules.seed)
    look = count_look([split_images.images.digests[i] for i in rows], str(folder.resolve()), listener)
    return TestScore(
        metric=rules.metric,
        value=found.value,
        low=found.low,
        high=found.high,
        interval=found.interval,
        how=how,
        rows=rows,
        y=y,
        probabilities=probability_rows,
        look=look.number,
        seen=look.seen,
    )
