"""Candidates run on the same folds; ``core.choose`` judges them."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Floats, Ints
from graftwork.core.facts import Cost
from graftwork.core.metrics import mean_loss, softmax
from graftwork.core.plans import Candidate, Linear, Recipe, labels_of, recipe_of
from graftwork.core.recipes import WISE_FT_ALPHA
from graftwork.core.trials import Baseline, Ended, Standing, Task, Trial
from graftwork.errors import TrainingError, UsageError
from graftwork.files import whole_file, write_json
from graftwork.fit import CodesOf, FineTuneContext, cached_activations, class_weights, tune_fold
from graftwork.linear.cross_validate import cross_validate
from graftwork.linear.temperature import fit_temperature

SURVIVORS = 0.5
"""Share of the fine-tunings that go on after the first fold (successive halving)."""
REFIT = 1.35
"""Seconds of the fit on all develop images, in those of a fold of five, with a margin."""


class Clock(Protocol):
    """How long there is."""

    def left(self) -> float:
        """Seconds until the limit; infinite where there is none."""
        ...


def run_trials(
    candidates: Sequence[Candidate],
    codes_of: CodesOf,
    task: Task,
    *,
    on_trial: Callable[[int, int], None] | None = None,
) -> Iterator[Trial]:
    """Cross-validate linear candidates on the codes (n, d) of their layers; gathered once per set of layers."""
    weights = class_weights(task.y, task.n_classes, task.balanced)
    gathered: tuple[tuple[object, ...], NDArray[np.floating]] | None = None
    for number, candidate in enumerate(candidates):
        begin = time.perf_counter()
        what = (candidate.backbone, candidate.views, candidate.taps)
        if gathered is None or gathered[0] != what:
            gathered = (what, codes_of(candidate).of(candidate.taps))
        if not isinstance(candidate.plan, Linear):
            raise UsageError(f"{candidate.label} is not linear; fine-tunings are run by `train`")
        found = cross_validate(
            gathered[1],
            task.y,
            task.folds,
            n_classes=task.n_classes,
            loss=candidate.plan.loss,
            metric=task.metric,
            normalise=candidate.plan.normalise,
            sample_weight=weights,
        )
        details = {"C": float(found.C), "temperature": float(found.temperature)}
        yield Trial(candidate, found.probabilities, Cost(time.perf_counter() - begin), details)
        if on_trial is not None:
            on_trial(number + 1, len(candidates))


def run_baselines(features: Mapping[str, NDArray[np.floating]], task: Task) -> tuple[Baseline, ...]:
    """Judge what can be known without the network: the majority class, and a softmax on each set of features.

    The majority class is that of all images and the same for each: the out-of-fold majority of balanced classes
    is always the wrong one, and would be too easy to beat.
    """
    n = len(task.y)
    share = (np.bincount(task.y, minlength=task.n_classes) / n).astype(np.float32)
    rows = [Baseline("majority class", np.tile(share, (n, 1)))]
    for name, values in features.items():
        found = cross_validate(values, task.y, task.folds, n_classes=task.n_classes, loss="softmax", metric=task.metric)
        rows.append(Baseline(name, found.probabilities))
    return tuple(rows)


@dataclasses.dataclass(eq=False)
class _Entry:
    """A fine-tuning in the tournament, and what it has shown so far."""

    candidate: Candidate
    tuning: FineTuneContext
    """Its seed, and where it is kept on disk."""
    alphas: tuple[float, ...]
    margins: dict[float, Floats]
    """(n, k) by share of the way; NaN where not run."""
    curves: list[tuple[tuple[float, float], ...]] = dataclasses.field(default_factory=list)
    fold_seconds: float = 0.0
    """Of the slowest fold yet."""
    seconds: float = 0.0
    ended: Ended = "interrupted"
    state: str = "waiting"
    """What it is doing, for people."""
    seed_margins: list[dict[float, Floats]] = dataclasses.field(default_factory=list)
    """Of further seeds, each whole."""

    @property
    def plan(self) -> Recipe:
        return recipe_of(self.candidate)


class Tournament:
    """Fine-tunings on the folds that the linear candidates ran on, by successive halving, within a time limit.

    Each runs on the first fold; the better half goes on, fold by fold, so that whenever the clock ends all of them have
    run on the same folds. What a fold gave is kept on disk by everything it depends on, so that a killed tournament
    goes on after its last epoch.
    """

    def __init__(
        self,
        codes_of: CodesOf,
        task: Task,
        *,
        start: Mapping[str, float],
        tuning: FineTuneContext,
        clock: Clock,
        fits: int = 1,
        on_change: Callable[[Sequence[Standing]], None] = lambda standings: None,
    ) -> None:
        self._codes_of, self._task, self._start = codes_of, task, start
        self._tuning, self._clock, self._on_change = tuning, clock, on_change
        self._refit = fits * REFIT
        self._entries: list[_Entry] = []
        self._labels: dict[str, str] = {}

    def run(self, candidates: Sequence[Candidate], *, exhaustive: bool = False, repeats: int = 1) -> list[Trial]:
        """Return two trials of each fine-tuning from pretrained weights: all the way, and half of it.

        Parameters
        ----------
        exhaustive
            Every candidate goes on to all folds.
        repeats
            Seeds with which those that ran to their end are run, on the same folds, so that what is due to the seed is
            told from what is due to the images.
        """
        self._entries = entries = [self._entry(candidate, self._tuning) for candidate in candidates]
        self._labels = dict(zip((c.key for c in candidates), labels_of(candidates), strict=True))
        try:
            self._compete(entries, exhaustive)
            for repeat in range(1, repeats):
                self._repeat([entry for entry in entries if entry.ended == "completed"], repeat)
        except KeyboardInterrupt:
            self._tuning.say("stopped; going on with the best so far")
        return [trial for entry in entries if entry.curves for trial in self._trials(entry)]

    @property
    def diverged(self) -> tuple[Candidate, ...]:
        """Those whose loss was no number any more; in the first fold, they leave no trial."""
        return tuple(entry.candidate for entry in self._entries if entry.ended == "diverged")

    def _compete(self, entries: list[_Entry], exhaustive: bool) -> None:
        order = {entry.candidate.key: number for number, entry in enumerate(entries)}
        running = [entry for entry in entries if self._run_fold(entry, 0, entries)]
        if not exhaustive:
            # short runs look good early: each is ranked among those of its own length
            for epochs in {entry.plan.epochs for entry in running}:
                ranked = sorted(
                    (entry for entry in running if entry.plan.epochs == epochs),
                    key=lambda entry: (self._loss(entry), order[entry.candidate.key]),
                )
                for entry in ranked[int(np.ceil(SURVIVORS * len(ranked))) :]:
                    entry.ended = "eliminated"
                    self._tell(entry, "dropped early: others are ahead")
            running = [entry for entry in running if entry.ended != "eliminated"]
        for entry in running:
            entry.ended = "completed"
        for fold in np.unique(self._task.folds)[1:]:
            before = [({k: v.copy() for k, v in entry.margins.items()}, len(entry.curves)) for entry in running]
            if not all(self._run_fold(entry, int(fold), running) or entry.ended == "diverged" for entry in running):
                for entry, (margins, curves) in zip(running, before, strict=True):
                    entry.margins = margins  # a fold that not all have run compares nothing
                    del entry.curves[curves:]
                self._tuning.say(f"the time limit leaves {fold} of {self._task.n_folds} folds to fine-tunings")
                return
            running = [entry for entry in running if entry.ended == "completed"]

    def _repeat(self, entries: Sequence[_Entry], repeat: int) -> None:
        """Run entries with another seed, as far as the time allows whole runs."""
        folder = self._tuning.folder / f"seed-{repeat}"
        tuning = dataclasses.replace(self._tuning, seed=self._tuning.seed + repeat, folder=folder)
        for entry in entries:
            again = dataclasses.replace(self._entry(entry.candidate, tuning), fold_seconds=entry.fold_seconds)
            folds = np.unique(self._task.folds[~np.isnan(entry.margins[entry.alphas[0]][:, 0])])
            if not all(self._run_fold(again, int(fold), entries) for fold in folds):
                return
            entry.seed_margins.append(again.margins)

    def _run_fold(self, entry: _Entry, fold: int, all_entries: Sequence[_Entry]) -> bool:
        """Run one fold; False where the clock does not allow it or the training went astray."""
        held_out = np.flatnonzero(self._task.folds == fold)
        rows = np.flatnonzero(self._task.folds != fold)
        place = entry.tuning.place(entry.candidate, self._start[entry.candidate.backbone]) / f"fold-{fold}"
        state = f"fold {fold + 1} of {self._task.n_folds}"
        self._tell(entry, state)
        kept = _load_fold(place, entry.alphas)
        begin = time.perf_counter()
        if kept is None:
            reserve = self._refit * max([other.fold_seconds for other in all_entries], default=0.0)
            if entry.fold_seconds + reserve > self._clock.left():
                return False
            cached_activations(entry.plan, self._codes_of(entry.candidate).extraction, entry.tuning)
            entry.seconds += time.perf_counter() - begin  # once, and no part of what a fold takes
            begin = time.perf_counter()
            gave = self._tuned(entry, rows, held_out, place, state)
            if gave is None:
                return False
            margins, curve, epochs = gave
            kept = (margins, curve, (time.perf_counter() - begin) * len(curve) / max(epochs, 1))
            _save_fold(place, *kept)
        for alpha, values in kept[0].items():
            entry.margins[alpha][held_out] = values
        entry.curves.append(kept[1])
        entry.fold_seconds = max(entry.fold_seconds, kept[2])
        entry.seconds += kept[2]
        self._tell(entry, f"{state} done")
        return True

    def _tell(self, entry: _Entry, state: str) -> None:
        entry.state = state
        self._on_change([self._standing(each) for each in self._entries])

    def _standing(self, entry: _Entry) -> Standing:
        margins, folds = entry.margins[entry.alphas[0]], self._task.n_folds
        ran = ~np.isnan(margins[:, 0])
        done = len(np.unique(self._task.folds[ran]))
        going = entry.ended not in ("eliminated", "diverged") and entry.fold_seconds > 0
        return Standing(
            self._labels[entry.candidate.key],
            entry.state,
            done,
            float((margins[ran].argmax(axis=1) == self._task.y[ran]).mean()) if done else None,
            entry.fold_seconds * (folds - done) if going else None,
        )

    def _tuned(
        self, entry: _Entry, rows: Ints, held_out: Ints, place: Path, state: str
    ) -> tuple[dict[float, Floats], tuple[tuple[float, float], ...], int] | None:
        """Margins by share of the way, the curve, and how many epochs were run here: a killed fold goes on."""
        from graftwork.finetune.loop import OutOfTimeError

        begin = time.perf_counter()
        epochs: list[int] = []

        def fits(seconds: float) -> bool:
            whole = time.perf_counter() - begin + seconds
            return seconds + self._refit * whole <= self._clock.left()

        def progress(done: int, total: int) -> None:
            epochs.append(done)
            self._tell(entry, f"{state}, epoch {done} of {total}")

        try:
            codes, C = self._codes_of(entry.candidate), self._start[entry.candidate.backbone]
            found = tune_fold(
                entry.plan, C, codes, self._task.y, self._task.n_classes, rows, held_out,
                alphas=entry.alphas, balanced=self._task.balanced, tuning=entry.tuning, checkpoint=place / "checkpoint",
                fits=fits, progress=progress,
            )  # fmt: skip
        except OutOfTimeError:
            self._tuning.say(f"{entry.candidate.label}: not run to its end, the time limit does not allow it")
            return None
        except TrainingError as error:
            self._tuning.say(f"{entry.candidate.label}: dropped, {error}")
            entry.ended = "diverged"
            return None
        return {k: tuned.margins for k, tuned in zip(entry.alphas, found, strict=True)}, found[0].curve, len(epochs)

    def _loss(self, entry: _Entry) -> float:
        """Of the metric on the folds that were run, at the better share of the way."""
        return min(self._loss_of(entry.margins[alpha]) for alpha in entry.alphas)

    def _loss_of(self, margins: Floats) -> float:
        ran = ~np.isnan(margins[:, 0])
        y, found = self._task.y[ran], margins[ran].astype(np.float64)
        return mean_loss(self._task.metric, y, softmax(found, fit_temperature(found, y)))

    def _entry(self, candidate: Candidate, tuning: FineTuneContext) -> _Entry:
        alphas = (1.0,) if recipe_of(candidate).start == "random" else (1.0, WISE_FT_ALPHA)
        empty = {alpha: np.full((len(self._task.y), self._task.n_classes), np.nan, np.float32) for alpha in alphas}
        return _Entry(candidate, tuning, alphas, empty)

    def _trials(self, entry: _Entry) -> Iterator[Trial]:
        longest = min(len(curve) for curve in entry.curves)
        curve = np.mean([curve[:longest] for curve in entry.curves], axis=0)
        for alpha in entry.alphas:
            margins = entry.margins[alpha]
            ran = ~np.isnan(margins[:, 0])
            if not ran.any():
                continue
            temperature = fit_temperature(margins[ran].astype(np.float64), self._task.y[ran])
            rows = np.full_like(margins, np.nan)
            rows[ran] = softmax(margins[ran], temperature)
            yield Trial(
                dataclasses.replace(entry.candidate, plan=dataclasses.replace(entry.plan, alpha=alpha)),
                rows,
                Cost(entry.seconds),
                {
                    "C": self._start[entry.candidate.backbone],
                    "temperature": float(temperature),
                    "epochs": float(np.median([len(curve) for curve in entry.curves])),
                },
                entry.ended,
                tuple((float(a), float(b)) for a, b in curve),
                tuple(self._loss_of(of[alpha]) for of in (entry.margins, *entry.seed_margins))
                if entry.seed_margins
                else (),
            )


def _save_fold(
    place: Path, margins: Mapping[float, Floats], curve: Sequence[tuple[float, float]], seconds: float
) -> None:
    """Write what a fold gave; with ``fold.json`` it is whole."""
    with whole_file(place / "margins.npz") as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **{f"keep {alpha:g}": values for alpha, values in margins.items()})
    write_json(place / "fold.json", {"seconds": seconds, "curve": [list(point) for point in curve]})


def _load_fold(
    place: Path, alphas: Sequence[float]
) -> tuple[dict[float, Floats], tuple[tuple[float, float], ...], float] | None:
    """Return what an earlier run of the same fold gave; None where there is none, or it is broken."""
    try:
        told = json.loads((place / "fold.json").read_text(encoding="utf-8"))
        with np.load(place / "margins.npz", allow_pickle=False) as saved:
            margins = {alpha: saved[f"keep {alpha:g}"] for alpha in alphas}
        curve = tuple((float(a), float(b)) for a, b in told["curve"])
        return margins, curve, float(told["seconds"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
