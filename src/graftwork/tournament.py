"""Fine-tunings compete on the folds of a task, within a time limit; ``core.choose`` judges them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from graftwork.clock import Clock
from graftwork.codes.extract import CodesOf, LayerCodes
from graftwork.core.plans import Candidate, labels_of
from graftwork.core.schedule import folds_to_judge, refit_folds
from graftwork.core.trials import Task, Trial
from graftwork.errors import TrainingError
from graftwork.finetune.context import FineTuneContext
from graftwork.listener import Listener
from graftwork.tuning_trials import FineTuning

SURVIVORS = 0.5
"""Share of the fine-tunings that go on after the first folds (successive halving; Jamieson and Talwalkar 2016)."""
ATTEMPTS = 3
"""How often a fold is begun in a row: where its first steps are too slow for the time left, the machine may have been
busy just then."""
TURNS = 2
"""In how many turns it is begun so, over the whole run."""


class Tournament:
    """Fine-tunings on the folds that the linear candidates ran on, by successive halving, within a time limit.

    Each runs on the first fold, or on as many as hold images enough to judge it; the better half goes on, fold by fold,
    so that whenever the time ends all of them have run on the same folds. Where there is no time for a fold of all of
    them, those behind are eliminated.

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
        self._once_seconds, self._fold_seconds = once_seconds, fold_seconds
        self._views, self._exhaustive = views, exhaustive
        self._context, self._clock = context, clock
        self._refit_folds = context.n_refits * refit_folds(task.n_folds) if refit else 0.0
        self._folds = [int(fold) for fold in np.unique(task.folds)]
        self._first_folds = self._folds[: folds_to_judge(len(task.y), task.n_folds)]
        self._tunings: list[FineTuning] = []

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
        self._tunings = [
            FineTuning(
                candidate,
                self._task,
                self._context,
                self._start(candidate),
                label,
                self._views,
                once_seconds=self._once_seconds.get(candidate.key, 0.0),
                forecast_seconds=self._fold_seconds.get(candidate.key, 0.0),
            )
            for candidate, label in zip(every, labels_of(every), strict=True)
        ]
        self._compete(self._tunings[: len(candidates)])
        self._catch_up()
        for repeat in range(1, repeats):
            self._repeat([tuning for tuning in self._tunings if tuning.ended == "completed"], repeat)
        return self._every_trial()

    def without_refit(self) -> list[Trial]:
        """Return the trials after more folds, in the seconds that were put aside for the refit.

        For where nothing that ``run`` returned would be refitted: candidates without a fold are tried first, since of
        them nothing is known; then more folds tell more of all. Where one of them is chosen, the model of its first
        fold is used.
        """
        self._refit_folds = 0.0
        self._catch_up()
        self._further_folds([tuning for tuning in self._tunings if tuning.ended == "completed"])
        return self._every_trial()

    @property
    def diverged(self) -> tuple[Candidate, ...]:
        """Candidates whose loss became NaN or infinite; when that happens in the first fold, they have no trial."""
        return tuple(tuning.candidate for tuning in self._tunings if tuning.ended == "diverged")

    def _every_trial(self) -> list[Trial]:
        left = self._clock.left()
        return [trial for tuning in self._tunings if tuning.folds for trial in tuning.trials(left)]

    def _compete(self, first: Sequence[FineTuning]) -> None:
        for tunings in (first, self._tunings):  # there may be time now for what seemed to have none
            running = [tuning for tuning in tunings if self._run_folds(tuning, self._first_folds, tunings)]
        if not self._exhaustive:
            self._eliminate(running)
            running = [tuning for tuning in running if tuning.ended != "eliminated"]
        for tuning in running:
            tuning.ended = "completed"
        self._further_folds(running)

    def _further_folds(self, running: Sequence[FineTuning]) -> None:
        """Run fine-tunings on the folds that they lack, as far as the time allows."""
        for fold in self._folds:
            running = running if self._exhaustive else self._going_on(running, fold)
            if not all(self._run_fold(tuning, fold, running) or tuning.ended == "diverged" for tuning in running):
                for tuning in running:
                    tuning.folds.pop(fold, None)  # a fold that not all have run compares nothing
                return
            running = [tuning for tuning in running if tuning.ended == "completed"]

    def _going_on(self, running: Sequence[FineTuning], fold: int) -> list[FineTuning]:
        """Return those for which there is time for a fold together, the best first; the others are eliminated.

        Where there is none for the best alone, nobody goes on, and all of them stay.
        """
        ranked = sorted(running, key=FineTuning.loss)
        for n in range(len(ranked), 0, -1):
            if self._fit(ranked[:n], [fold], ranked[:n]):
                self._drop(ranked[n:])
                return [tuning for tuning in running if tuning.ended == "completed"]
        return []

    def _catch_up(self) -> None:
        """Run those that the time interrupted on every fold that the others have completed, where that fits now."""
        completed = [tuning for tuning in self._tunings if tuning.ended == "completed"]
        folds = sorted({fold for tuning in completed for fold in tuning.folds}) or self._first_folds
        for tuning in [tuning for tuning in self._tunings if tuning.ended == "interrupted"]:
            if self._run_folds(tuning, folds, [*completed, tuning]):
                tuning.ended = "completed"
                completed.append(tuning)

    def _eliminate(self, running: Sequence[FineTuning]) -> None:
        """Drop the worse half after the first folds; each length by itself, since short runs look good early."""
        order = {tuning.candidate.key: number for number, tuning in enumerate(self._tunings)}
        for epochs in {tuning.recipe.epochs for tuning in running}:
            ranked = sorted(
                (tuning for tuning in running if tuning.recipe.epochs == epochs),
                key=lambda tuning: (tuning.loss(), order[tuning.candidate.key]),
            )
            self._drop(ranked[int(np.ceil(SURVIVORS * len(ranked))) :])

    def _drop(self, tunings: Sequence[FineTuning]) -> None:
        for tuning in tunings:
            tuning.ended = "eliminated"
            self._show(tuning, "eliminated: others are ahead")

    def _repeat(self, tunings: Sequence[FineTuning], repeat: int) -> None:
        """Run fine-tunings with another seed, as far as the time allows complete runs."""
        for tuning in tunings:
            again = tuning.repeated(repeat)
            if self._run_folds(again, sorted(tuning.folds), tunings):
                tuning.repeats.append(again.folds)
            elif again.ended != "diverged":
                return

    def _run_folds(self, tuning: FineTuning, folds: Sequence[int], rivals: Sequence[FineTuning]) -> bool:
        """Run one on folds, where there is time for all of them; False where it lacks one then."""
        if tuning.ended == "diverged" or not self._fit([tuning], folds, rivals):
            return False
        return all(self._run_fold(tuning, fold, rivals) for fold in folds)

    def _run_fold(self, tuning: FineTuning, fold: int, rivals: Sequence[FineTuning]) -> bool:
        """Run one fold, unless it was run; False where the time does not allow it or the training diverged."""
        if fold in tuning.folds:
            return True
        state = f"fold {fold + 1} of {self._task.n_folds}"
        if not tuning.take_from_disk(fold):
            if not self._fit([tuning], [fold], rivals):
                return False
            self._show(tuning, state)
            codes = tuning.prepare(self._codes_of)
            if not self._trained(tuning, fold, codes, state, rivals):
                return False
        self._clock.save()
        self._show(tuning, f"{state} done")
        return True

    def _trained(
        self, tuning: FineTuning, fold: int, codes: LayerCodes, state: str, rivals: Sequence[FineTuning]
    ) -> bool:
        """Train on one fold; False where it cannot end in time, or diverges."""
        from graftwork.finetune.loop import OutOfTimeError

        def enough_time(taken: float, to_come: float) -> bool:
            return to_come + self._refit_folds * (taken + to_come) <= self._clock.left()

        progress = _FoldProgress(self, tuning, state)
        for _ in range(min(ATTEMPTS, TURNS * ATTEMPTS - tuning.slow_starts)):
            try:
                tuning.run(fold, codes, listener=progress, enough_time=enough_time)
            except OutOfTimeError:
                tuning.slow_starts += 1
                if not self._fit([tuning], [fold], rivals):
                    break
            except TrainingError as error:
                progress.say(f"{tuning.candidate.label}: dropped, {error}")
                tuning.ended = "diverged"
                return False
            else:
                return True
        progress.say(f"{tuning.candidate.label}: interrupted, the time limit does not allow all of it")
        return False

    def _fit(self, tunings: Sequence[FineTuning], folds: Sequence[int], rivals: Sequence[FineTuning]) -> bool:
        """Whether the time allows what is left of folds, what comes before them, and the slowest refit.

        Folds that are on disk need no time, and no refit is asked for where all of them are.

        Parameters
        ----------
        rivals
            Of which one will be fitted again, too, where it has run a fold.
        """
        lacking = [(tuning, fold) for tuning in tunings for fold in folds if not tuning.has_run(fold)]
        if not lacking:
            return True
        needed = sum(tuning.seconds_left(fold) for tuning, fold in lacking)
        before = sum(tuning.before_seconds for tuning in tunings)
        slowest = max(
            [*(tuning.fold_seconds for tuning in tunings), *(rival.slowest_seconds for rival in rivals if rival.folds)]
        )
        return before + needed + self._refit_folds * slowest <= self._clock.left()

    def _show(self, tuning: FineTuning, state: str) -> None:
        tuning.state = state
        self._context.listener.candidates([each.standing() for each in self._tunings])


class _FoldProgress(Listener):
    """Shows the epochs of a fold as the state of a fine-tuning, and saves the time that has passed."""

    def __init__(self, tournament: Tournament, tuning: FineTuning, state: str) -> None:
        self._tournament, self._tuning, self._state = tournament, tuning, state

    def progress(self, done: int, total: int) -> None:
        self._tournament._clock.save()
        self._tournament._show(self._tuning, f"{self._state}, epoch {done} of {total}")

    def say(self, text: str) -> None:
        self._tournament._context.listener.say(text)
