"""A fine-tuning on the folds of a task, one fold at a time: what it takes, how it does so far, and its trials.

``tournament`` decides which fold of which fine-tuning comes next.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.codes.extract import CodesOf, LayerCodes
from graftwork.core.arrays import Ints
from graftwork.core.metrics import mean_loss, softmax
from graftwork.core.plans import Candidate, Recipe, recipe_of
from graftwork.core.recipes import WISE_FT_ALPHA
from graftwork.core.schedule import refit_folds
from graftwork.core.trials import Ended, Standing, Task, Trial
from graftwork.finetune.context import FineTuneContext
from graftwork.linear.temperature import fit_temperature
from graftwork.listener import Listener
from graftwork.workfolder import FoldResult, Variant, load_fold, save_fold

Folds = Mapping[int, FoldResult]


@dataclasses.dataclass(eq=False)
class FineTuning:
    """A fine-tuning on the folds of a task, with the results of those that were run.

    The result of a fold is saved under everything that it depends on, so that a killed run goes on after its last
    epoch.
    """

    candidate: Candidate
    task: Task
    context: FineTuneContext
    """With its seed, and its folder on disk."""
    C: float
    """Of the linear model that it begins with."""
    label: str
    """For people."""
    most_views: int = 1
    """Over how many views the time limit allows to average a tuned network."""
    once_seconds: float = 0.0
    """Forecast of what is done once before the first fold, until it is done."""
    forecast_seconds: float = 0.0
    """Forecast of a fold; 0 where there is none."""
    folds: dict[int, FoldResult] = dataclasses.field(default_factory=dict)
    slowest_seconds: float = 0.0
    """Of its slowest fold so far."""
    spent_seconds: float = 0.0
    """On everything, cached activations and folds that were dropped included."""
    slow_starts: int = 0
    """How often a fold was begun that its first steps showed to be too slow for the time left."""
    ended: Ended = "interrupted"
    state: str = "waiting"
    """What it is doing, for people."""
    repeats: list[dict[int, FoldResult]] = dataclasses.field(default_factory=list)
    """The same folds with further seeds, complete."""

    @property
    def recipe(self) -> Recipe:
        """How it is trained."""
        return recipe_of(self.candidate)

    @property
    def alphas(self) -> tuple[float, ...]:
        """Those of which one training gives the weights (``Recipe.alpha``)."""
        return (1.0,) if self.recipe.kind == "scratch" else (1.0, WISE_FT_ALPHA)

    @property
    def views(self) -> int:
        """Views over which it is averaged in addition; 1 where it is used on the plain one alone."""
        # of cached activations there are these views and no others
        return self.most_views if self.recipe.cached_augmentations in (0, self.most_views) else 1

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Those of the candidates that one training serves."""
        return *((alpha, 1) for alpha in self.alphas), *(((1.0, self.views),) if self.views > 1 else ())

    @property
    def fold_seconds(self) -> float:
        """Seconds of a fold: as the slowest so far took, or as forecast."""
        return self.slowest_seconds or self.forecast_seconds

    @property
    def before_seconds(self) -> float:
        """Seconds of what comes before the first fold; 0 where it is done, or was begun by a run that was killed."""
        begun = self.context.place(self.candidate, self.C).is_dir()
        return 0.0 if begun else self.once_seconds

    def repeated(self, repeat: int) -> FineTuning:
        """Return the same fine-tuning with another seed, before its first fold; what comes before that is done."""
        return FineTuning(
            candidate=self.candidate,
            task=self.task,
            context=dataclasses.replace(self.context, seed=self.context.seed + repeat),
            C=self.C,
            label=self.label,
            most_views=self.most_views,
            slowest_seconds=self.slowest_seconds,
        )

    def has_run(self, fold: int) -> bool:
        """Whether a fold was run, here or by a run that was killed."""
        return fold in self.folds or load_fold(self._place(fold), self.variants) is not None

    def seconds_left(self, fold: int) -> float:
        """Seconds of what a fold that was not run still lacks."""
        return (1 - self._epochs_done(fold) / self.recipe.epochs) * self.fold_seconds

    def take_from_disk(self, fold: int) -> bool:
        """Take the result of a fold that a killed run has left; False where there is none."""
        result = load_fold(self._place(fold), self.variants)
        if result is not None:
            self._take(fold, result)
        return result is not None

    def prepare(self, codes_of: CodesOf) -> LayerCodes:
        """Do what comes before the first fold, unless it is done, and return the codes that each fold begins with."""
        from graftwork.finetune.fold import cached_inputs

        self.once_seconds = 0.0
        begin = time.perf_counter()
        codes = codes_of(self.candidate)
        cached_inputs(self.recipe, codes.extraction, self.context)
        self.spent_seconds += time.perf_counter() - begin  # once, and no part of what a fold takes
        return codes

    def run(
        self, fold: int, codes: LayerCodes, *, listener: Listener, enough_time: Callable[[float, float], bool]
    ) -> None:
        """Train on all folds but one, going on where a killed run was, judge on that one, and save the result.

        Parameters
        ----------
        codes
            As ``prepare`` gives them; the linear model that the fold begins with is fitted on those of its own images.
        listener
            Hears the epochs that are done.
        enough_time
            Asked with the seconds that this fold has taken and will still take, after its first steps and each epoch.

        Raises
        ------
        OutOfTimeError
            When there is not.
        TrainingError
            When the loss became NaN or infinite.
        """
        from graftwork.finetune.fold import tune_fold

        begin, done_before = time.perf_counter(), self._epochs_done(fold)
        results = tune_fold(
            self.recipe,
            self.C,
            codes,
            self.task,
            np.flatnonzero(self.task.folds == fold),
            alphas=self.alphas,
            context=dataclasses.replace(self.context, listener=listener),
            checkpoint=self._checkpoint(fold),
            enough_time=lambda seconds: enough_time(time.perf_counter() - begin, seconds),
            views=self.views,
        )
        curve = results[0].curve
        # a fold that went on after a kill took as long as if it had run at once
        seconds = (time.perf_counter() - begin) * len(curve) / max(len(curve) - done_before, 1)
        by_alpha = dict(zip(self.alphas, results, strict=True))
        margins = {(alpha, views): by_alpha[alpha].margins[views] for alpha, views in self.variants}
        result = FoldResult(margins, curve, seconds)
        save_fold(self._place(fold), result)
        self._take(fold, result)

    def loss(self) -> float:
        """Loss of the metric on the folds that were run, at the better alpha, in one view."""
        return min(self._loss(self.folds, (alpha, 1)) for alpha in self.alphas)

    def standing(self) -> Standing:
        """Where it stands, for people."""
        margins = self._margins(self.folds, self.variants[0])
        run = np.isin(self.task.folds, list(self.folds))
        done = len(self.folds)
        going = self.ended not in ("eliminated", "diverged") and done > 0
        return Standing(
            self.label,
            self.state,
            done,
            float((margins[run].argmax(axis=1) == self.task.y[run]).mean()) if done else None,
            self.slowest_seconds * (self.task.n_folds - done) if going else None,
        )

    def trials(self, seconds_left: float) -> Iterator[Trial]:
        """Yield a trial of each variant; without time for a refit, the model of the first fold is used."""
        begun_before = self.context.refit_place(self.candidate, self.C).is_dir()
        fits = refit_folds(self.task.n_folds) * self.slowest_seconds <= seconds_left
        refit = begun_before or fits or self.context.n_refits > 1
        details = {"C": self.C} | ({} if refit else {"fold": float(min(self.folds))})
        curves = [result.curve for result in self.folds.values()]
        longest = min(map(len, curves))
        curve = np.mean([each[:longest] for each in curves], axis=0)
        run: Ints = np.flatnonzero(np.isin(self.task.folds, list(self.folds)))
        for alpha, views in self.variants:
            margins = self._margins(self.folds, (alpha, views))
            temperature = fit_temperature(margins[run].astype(np.float64), self.task.y[run])
            rows = np.full_like(margins, np.nan)
            rows[run] = softmax(margins[run], temperature)
            plan = dataclasses.replace(self.recipe, alpha=alpha)
            seeds = (self.folds, *self.repeats) if self.repeats else ()
            yield Trial(
                dataclasses.replace(self.candidate, plan=plan, views=views),
                rows,
                self.spent_seconds,
                details
                | {"temperature": float(temperature), "epochs": float(np.median([len(each) for each in curves]))},
                self.ended,
                tuple((float(training), float(validation)) for training, validation in curve),
                tuple(self._loss(folds, (alpha, views)) for folds in seeds),
            )

    def _place(self, fold: int) -> Path:
        return self.context.fold_place(self.candidate, self.C, fold)

    def _checkpoint(self, fold: int) -> Path:
        return self._place(fold) / "checkpoint"

    def _epochs_done(self, fold: int) -> int:
        """Those after which a fold would go on, where a run was killed in it."""
        from graftwork.finetune.loop import epochs_done

        return epochs_done(self._checkpoint(fold), self.recipe)

    def _take(self, fold: int, result: FoldResult) -> None:
        self.folds[fold] = result
        self.slowest_seconds = max(self.slowest_seconds, result.seconds)
        self.spent_seconds += result.seconds

    def _margins(self, folds: Folds, variant: Variant) -> NDArray[np.float32]:
        """(n, k) margins of folds; NaN in the others."""
        margins = np.full((len(self.task.y), self.task.n_classes), np.nan, np.float32)
        for fold, result in folds.items():
            margins[self.task.folds == fold] = result.margins[variant]
        return margins

    def _loss(self, folds: Folds, variant: Variant) -> float:
        run = np.isin(self.task.folds, list(folds))
        y, values = self.task.y[run], self._margins(folds, variant)[run].astype(np.float64)
        return mean_loss(self.task.metric, y, softmax(values, fit_temperature(values, y)))
