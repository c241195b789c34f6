"""Fine-tunings compete on the folds of a task, within a time limit; ``core.choose`` judges them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from graftwork.clock import Clock
from graftwork.codes.extract import CodesOf
from graftwork.core.arrays import Ints
from graftwork.core.metrics import mean_loss, softmax
from graftwork.core.plans import Candidate, labels_of, recipe_of
from graftwork.core.recipes import WISE_FT_ALPHA
from graftwork.core.schedule import folds_to_judge, refit_folds
from graftwork.core.trials import Ended, Standing, Task, Trial
from graftwork.errors import TrainingError
from graftwork.finetune.context import FineTuneContext
from graftwork.linear.temperature import fit_temperature
from graftwork.listener import Listener
from graftwork.workfolder import FoldResult, load_fold, save_fold

SURVIVORS = 0.5
"""Share of the fine-tunings that go on after the first folds (successive halving; Jamieson and Talwalkar 2016)."""
ATTEMPTS = 3
"""How often a fold is begun in a row: where its first steps are too slow for the time left, the machine may have been
busy just then."""
TURNS = 2
"""In how many turns it is begun so, over the whole run."""


@dataclasses.dataclass(eq=False)
class _Entry:
    """A fine-tuning in the tournament, and its results so far."""

    candidate: Candidate
    context: FineTuneContext
    """With its seed, and its folder on disk."""
    alphas: tuple[float, ...]
    views: int
    """That are averaged in addition to the plain one alone."""
    folds: dict[int, FoldResult] = dataclasses.field(default_factory=dict)
    slowest_seconds: float = 0.0
    """Of its slowest fold so far."""
    spent_seconds: float = 0.0
    """On everything, cached activations and folds that were dropped included."""
    ended: Ended = "interrupted"
    attempts_left: int = TURNS * ATTEMPTS
    """To begin folds whose first steps are too slow."""
    state: str = "waiting"
    """What it is doing, for people."""
    repeats: list[dict[int, FoldResult]] = dataclasses.field(default_factory=list)
    """The same folds with further seeds, complete."""

    @property
    def variants(self) -> tuple[tuple[float, int], ...]:
        """Alpha and number of views of each candidate that one training serves."""
        return *((alpha, 1) for alpha in self.alphas), *(((1.0, self.views),) if self.views > 1 else ())


class Tournament:
    """Fine-tunings on the folds that the linear candidates ran on, by successive halving, within a time limit.

    Each runs on the first fold, or on as many as hold images enough to judge it; the better half goes on, fold by fold,
    so that whenever the time ends all of them have run on the same folds. Where there is no time for a fold of all of
    them, those behind are eliminated. The result of a fold is saved under everything that it depends on, so that a
    killed tournament goes on after its last epoch.

    Parameters
    ----------
    start
        Gives C of the linear model that a fine-tuning begins with.
    once_seconds, fold_seconds
        What is forecast to be done once before the first fold of a candidate, and what a fold takes, by its key; one
        without a forecast is tried at any time.
    views
        Over how many views each fine-tuned network is averaged in addition.
    refit
        Whether time for the refit of the slowest is put aside.
    exhaustive
        Nobody is eliminated.
    """

    def __init__(
        self,
        codes_of: CodesOf,
        task: Task,
        *,
        start: Callable[[Candidate], float],
        context: FineTuneContext,
        clock: Clock,
        once_seconds: Mapping[str, float] = MappingProxyType({}),
        fold_seconds: Mapping[str, float] = MappingProxyType({}),
        views: int = 1,
        refit: bool = True,
        exhaustive: bool = False,
    ) -> None:
        self._codes_of, self._task, self._start = codes_of, task, start
        self._once_seconds, self._fold_seconds = dict(once_seconds), fold_seconds
        self._views, self._exhaustive = views, exhaustive
        self._context, self._clock = context, clock
        self._refit_folds = context.n_refits * refit_folds(task.n_folds) if refit else 0.0
        self._folds = [int(fold) for fold in np.unique(task.folds)]
        self._first_folds = self._folds[: folds_to_judge(len(task.y), task.n_folds)]
        self._entries: list[_Entry] = []
        self._labels: dict[str, str] = {}

    def run(
        self,
        candidates: Sequence[Candidate],
        *,
        at_the_end: Sequence[Candidate] = (),
        repeats: int = 1,
    ) -> list[Trial]:
        """Return a trial of each fine-tuning at each alpha.

        Parameters
        ----------
        at_the_end
            Candidates for which there seemed to be no time: they are asked again once the others have run their first
            folds, and at the end.
        repeats
            Number of seeds with which those that completed are run on the same folds, so that variation between seeds
            can be told from variation between images.
        """
        every = [*candidates, *at_the_end]
        self._entries = [self._entry(candidate, self._context) for candidate in every]
        self._labels = dict(zip((c.key for c in every), labels_of(every), strict=True))
        self._compete(self._entries[: len(candidates)])
        self._catch_up()
        for repeat in range(1, repeats):
            self._repeat([entry for entry in self._entries if entry.ended == "completed"], repeat)
        return self._every_trial()

    def without_refit(self) -> list[Trial]:
        """Return the trials after more folds, in the seconds that were put aside for the refit.

        For where nothing that ``run`` returned would be refitted: candidates without a fold are tried first, since of
        them nothing is known; then more folds tell more of all. Where one of them is chosen, the model of its first
        fold is used.
        """
        self._refit_folds = 0.0
        self._catch_up()
        self._further_folds([entry for entry in self._entries if entry.ended == "completed"])
        return self._every_trial()

    def _every_trial(self) -> list[Trial]:
        left = self._clock.left()
        return [trial for entry in self._entries if entry.folds for trial in self._trials(entry, left)]

    @property
    def diverged(self) -> tuple[Candidate, ...]:
        """Candidates whose loss became NaN or infinite; when that happens in the first fold, they have no trial."""
        return tuple(entry.candidate for entry in self._entries if entry.ended == "diverged")

    def _compete(self, first: Sequence[_Entry]) -> None:
        for entries in (first, self._entries):  # there may be time now for what seemed to have none
            running = [entry for entry in entries if self._run_folds(entry, self._first_folds, entries)]
        if not self._exhaustive:
            self._eliminate(running)
            running = [entry for entry in running if entry.ended != "eliminated"]
        for entry in running:
            entry.ended = "completed"
        self._further_folds(running)

    def _further_folds(self, running: Sequence[_Entry]) -> None:
        """Run entries on the folds that they lack, as far as the time allows."""
        for fold in self._folds:
            running = running if self._exhaustive else self._going_on(running, fold)
            if not all(self._run_fold(entry, fold, running) or entry.ended == "diverged" for entry in running):
                for entry in running:
                    entry.folds.pop(fold, None)  # a fold that not all have run compares nothing
                return
            running = [entry for entry in running if entry.ended == "completed"]

    def _going_on(self, running: Sequence[_Entry], fold: int) -> list[_Entry]:
        """Return those for which there is time for a fold together, the best first; the others are eliminated.

        Where there is none for the best alone, nobody goes on, and all of them stay.
        """
        ranked = sorted(running, key=self._loss)
        for n in range(len(ranked), 0, -1):
            if self._fit(ranked[:n], [fold], ranked[:n]):
                self._drop(ranked[n:])
                return [entry for entry in running if entry.ended == "completed"]
        return []

    def _catch_up(self) -> None:
        """Run entries that the time interrupted on every fold that the others have completed, where that fits now."""
        completed = [entry for entry in self._entries if entry.ended == "completed"]
        folds = sorted({fold for entry in completed for fold in entry.folds}) or self._first_folds
        for entry in [entry for entry in self._entries if entry.ended == "interrupted"]:
            if self._run_folds(entry, folds, [*completed, entry]):
                entry.ended = "completed"
                completed.append(entry)

    def _eliminate(self, running: Sequence[_Entry]) -> None:
        """Drop the worse half after the first folds; each length by itself, since short runs look good early."""
        order = {entry.candidate.key: number for number, entry in enumerate(self._entries)}
        for epochs in {recipe_of(entry.candidate).epochs for entry in running}:
            ranked = sorted(
                (entry for entry in running if recipe_of(entry.candidate).epochs == epochs),
                key=lambda entry: (self._loss(entry), order[entry.candidate.key]),
            )
            self._drop(ranked[int(np.ceil(SURVIVORS * len(ranked))) :])

    def _drop(self, entries: Sequence[_Entry]) -> None:
        for entry in entries:
            entry.ended = "eliminated"
            self._show(entry, "eliminated: others are ahead")

    def _repeat(self, entries: Sequence[_Entry], repeat: int) -> None:
        """Run entries with another seed, as far as the time allows complete runs."""
        context = dataclasses.replace(self._context, seed=self._context.seed + repeat)
        for entry in entries:
            again = dataclasses.replace(self._entry(entry.candidate, context), slowest_seconds=entry.slowest_seconds)
            if self._run_folds(again, sorted(entry.folds), entries):
                entry.repeats.append(again.folds)
            elif again.ended != "diverged":
                return

    def _run_folds(self, entry: _Entry, folds: Sequence[int], rivals: Sequence[_Entry]) -> bool:
        """Run one on folds, where there is time for all of them; False where it lacks one then."""
        if entry.ended == "diverged" or not self._fit([entry], folds, rivals):
            return False
        return all(self._run_fold(entry, fold, rivals) for fold in folds)

    def _run_fold(self, entry: _Entry, fold: int, rivals: Sequence[_Entry]) -> bool:
        """Run one fold, unless it was run; False where the time does not allow it or the training diverged."""
        if fold in entry.folds:
            return True
        state = f"fold {fold + 1} of {self._task.n_folds}"
        begin = time.perf_counter()
        place = self._place(entry, fold)
        result = load_fold(place, entry.variants)
        if result is None and not self._fit([entry], [fold], rivals):
            return False
        self._once_seconds.pop(entry.candidate.key, None)  # done by now or next, for every fold and seed
        if result is None:
            from graftwork.finetune.fold import cached_inputs

            self._show(entry, state)
            cached_inputs(recipe_of(entry.candidate), self._codes_of(entry.candidate).extraction, entry.context)
            entry.spent_seconds += time.perf_counter() - begin  # once, and no part of what a fold takes
            result = self._tuned(entry, fold, place, state, rivals)
            if result is None:
                return False
            save_fold(place, result)
        entry.folds[fold] = result
        entry.slowest_seconds = max(entry.slowest_seconds, result.seconds)
        entry.spent_seconds += result.seconds
        self._clock.save()
        self._show(entry, f"{state} done")
        return True

    def _place(self, entry: _Entry, fold: int) -> Path:
        return entry.context.fold_place(entry.candidate, self._start(entry.candidate), fold)

    def _fit(self, entries: Sequence[_Entry], folds: Sequence[int], rivals: Sequence[_Entry]) -> bool:
        """Whether the time allows what is left of folds of entries, what comes before them, and the slowest refit.

        Folds that are on disk need no time, and no refit is asked for where all of them are.

        Parameters
        ----------
        rivals
            Of which one will be fitted again, too, where it has run a fold.
        """
        lacking = [(entry, fold) for entry in entries for fold in folds if not self._is_done(entry, fold)]
        if not lacking:
            return True
        needed = sum(self._seconds_left(entry, fold) for entry, fold in lacking)
        once = sum(
            0.0
            if self._place(entry, 0).parent.is_dir()  # begun by a run that was killed
            else self._once_seconds.get(entry.candidate.key, 0.0)
            for entry in entries
        )
        slowest = max([*map(self._fold_takes, entries), *(entry.slowest_seconds for entry in rivals if entry.folds)])
        return once + needed + self._refit_folds * slowest <= self._clock.left()

    def _fold_takes(self, entry: _Entry) -> float:
        """Seconds of a fold: as the slowest so far took, or as forecast."""
        return entry.slowest_seconds or self._fold_seconds.get(entry.candidate.key, 0.0)

    def _is_done(self, entry: _Entry, fold: int) -> bool:
        return fold in entry.folds or load_fold(self._place(entry, fold), entry.variants) is not None

    def _seconds_left(self, entry: _Entry, fold: int) -> float:
        """Seconds of what a fold that is not done still lacks."""
        from graftwork.finetune.loop import epochs_done

        recipe = recipe_of(entry.candidate)
        share_left = 1 - epochs_done(self._place(entry, fold) / "checkpoint", recipe) / recipe.epochs
        return share_left * self._fold_takes(entry)

    def _tuned(self, entry: _Entry, fold: int, place: Path, state: str, rivals: Sequence[_Entry]) -> FoldResult | None:
        """Train on one fold, going on where a killed one was; None where it cannot end or diverges."""
        from graftwork.finetune.loop import OutOfTimeError

        for _ in range(min(ATTEMPTS, entry.attempts_left)):
            try:
                return self._trained(entry, fold, place, state)
            except OutOfTimeError:
                entry.attempts_left -= 1
                if not self._fit([entry], [fold], rivals):
                    break
            except TrainingError as error:
                self._context.listener.say(f"{entry.candidate.label}: dropped, {error}")
                entry.ended = "diverged"
                return None
        self._context.listener.say(f"{entry.candidate.label}: interrupted, the time limit does not allow all of it")
        return None

    def _trained(self, entry: _Entry, fold: int, place: Path, state: str) -> FoldResult:
        """Train on one fold; raises OutOfTimeError where its pace is too slow for the time left, and TrainingError."""
        from graftwork.finetune.fold import tune_fold

        begin = time.perf_counter()
        progress = _EpochProgress(self, entry, state)

        def enough_time(seconds: float) -> bool:
            fold_seconds = time.perf_counter() - begin + seconds
            return seconds + self._refit_folds * fold_seconds <= self._clock.left()

        results = tune_fold(
            recipe_of(entry.candidate),
            self._start(entry.candidate),
            self._codes_of(entry.candidate),
            self._task,
            np.flatnonzero(self._task.folds == fold),
            alphas=entry.alphas,
            context=dataclasses.replace(entry.context, listener=progress),
            checkpoint=place / "checkpoint",
            enough_time=enough_time,
            views=entry.views,
        )
        curve = results[0].curve
        # a fold that went on after a kill took as long as if it had run at once
        seconds = (time.perf_counter() - begin) * len(curve) / max(progress.epochs, 1)
        by_alpha = dict(zip(entry.alphas, results, strict=True))
        margins = {(alpha, views): by_alpha[alpha].margins[views] for alpha, views in entry.variants}
        return FoldResult(margins, curve, seconds)

    def _show(self, entry: _Entry, state: str) -> None:
        entry.state = state
        self._context.listener.candidates([self._standing(each) for each in self._entries])

    def _standing(self, entry: _Entry) -> Standing:
        margins = self._margins(entry.folds, entry.variants[0])
        run = np.isin(self._task.folds, list(entry.folds))
        done = len(entry.folds)
        going = entry.ended not in ("eliminated", "diverged") and done > 0
        return Standing(
            self._labels[entry.candidate.key],
            entry.state,
            done,
            float((margins[run].argmax(axis=1) == self._task.y[run]).mean()) if done else None,
            entry.slowest_seconds * (self._task.n_folds - done) if going else None,
        )

    def _margins(self, folds: Mapping[int, FoldResult], variant: tuple[float, int]) -> NDArray[np.float32]:
        """(n, k) margins of the folds that were run; NaN in the others."""
        margins = np.full((len(self._task.y), self._task.n_classes), np.nan, np.float32)
        for fold, result in folds.items():
            margins[self._task.folds == fold] = result.margins[variant]
        return margins

    def _loss(self, entry: _Entry) -> float:
        """Loss of the metric on the folds that were run, at the better alpha, in one view."""
        return min(self._loss_at(entry.folds, (alpha, 1)) for alpha in entry.alphas)

    def _loss_at(self, folds: Mapping[int, FoldResult], variant: tuple[float, int]) -> float:
        run = np.isin(self._task.folds, list(folds))
        y, values = self._task.y[run], self._margins(folds, variant)[run].astype(np.float64)
        return mean_loss(self._task.metric, y, softmax(values, fit_temperature(values, y)))

    def _entry(self, candidate: Candidate, context: FineTuneContext) -> _Entry:
        cached = recipe_of(candidate).cached_augmentations
        # of cached activations there are these views and no others
        views = self._views if cached in (0, self._views) else 1
        return _Entry(candidate, context, (1.0,) if candidate.plan.kind == "scratch" else (1.0, WISE_FT_ALPHA), views)

    def _trials(self, entry: _Entry, seconds_left: float) -> Iterator[Trial]:
        """Yield a trial at each alpha and number of views; without time for a refit, the first fold's model is used."""
        begun_before = entry.context.refit_place(entry.candidate, self._start(entry.candidate)).is_dir()
        fits = refit_folds(self._task.n_folds) * entry.slowest_seconds <= seconds_left
        refit = begun_before or fits or self._context.n_refits > 1
        details = {"C": self._start(entry.candidate)} | ({} if refit else {"fold": float(min(entry.folds))})
        curves = [result.curve for result in entry.folds.values()]
        longest = min(map(len, curves))
        curve = np.mean([each[:longest] for each in curves], axis=0)
        run: Ints = np.flatnonzero(np.isin(self._task.folds, list(entry.folds)))
        for alpha, views in entry.variants:
            margins = self._margins(entry.folds, (alpha, views))
            temperature = fit_temperature(margins[run].astype(np.float64), self._task.y[run])
            rows = np.full_like(margins, np.nan)
            rows[run] = softmax(margins[run], temperature)
            plan = dataclasses.replace(recipe_of(entry.candidate), alpha=alpha)
            seeds = (entry.folds, *entry.repeats) if entry.repeats else ()
            yield Trial(
                dataclasses.replace(entry.candidate, plan=plan, views=views),
                rows,
                entry.spent_seconds,
                details
                | {"temperature": float(temperature), "epochs": float(np.median([len(each) for each in curves]))},
                entry.ended,
                tuple((float(training), float(validation)) for training, validation in curve),
                tuple(self._loss_at(folds, (alpha, views)) for folds in seeds),
            )


class _EpochProgress(Listener):
    """Shows the epochs of a fold as the state of its entry, and counts those that were run now."""

    def __init__(self, tournament: Tournament, entry: _Entry, state: str) -> None:
        self.epochs = 0
        self._tournament, self._entry, self._state = tournament, entry, state

    def progress(self, done: int, total: int) -> None:
        self.epochs += 1
        self._tournament._clock.save()
        self._tournament._show(self._entry, f"{self._state}, epoch {done} of {total}")

    def say(self, text: str) -> None:
        self._tournament._context.listener.say(text)
