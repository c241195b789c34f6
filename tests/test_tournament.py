"""Successive halving among fine-tunings whose folds are made up, so that each result is known in advance."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from graftwork import tournament
from graftwork.clock import Clock
from graftwork.core.plans import Candidate, Recipe
from graftwork.core.trials import Standing, Task, Trial
from graftwork.errors import TrainingError
from graftwork.finetune.context import FineTuneContext
from graftwork.finetune.loop import OutOfTimeError
from graftwork.listener import Listener
from graftwork.tournament import Tournament

FOLDS = 3
Y = np.arange(60) % 2
TASK = Task(Y, np.arange(60), np.arange(60) // 2 % FOLDS, ("a", "b"))


class KilledError(BaseException):
    """The process ends here."""


class FakeFolds:
    """Takes the place of ``tune_fold``: each candidate, named by its frozen layer, misses so many images per fold.

    ``before`` is called with the name and the fold (from 0) before each, and may raise or sleep; ``begun`` epochs were
    done by a run that was killed.
    """

    def __init__(self, misses: dict[str, int]) -> None:
        self.misses = misses
        self.calls: list[tuple[str, int]] = []
        self.seeds: list[int] = []
        self.before: Callable[[str, int], None] = lambda name, fold: None
        self.begun = 0

    def __call__(self, recipe: Recipe, C, codes, task, validation, *, alphas, context, enough_time, views=1, **rest):  # type: ignore[no-untyped-def]
        name, fold = str(recipe.freeze_to), int(task.folds[validation[0]])
        self.calls.append((name, fold))
        self.seeds.append(context.seed)
        self.before(name, fold)
        if not enough_time(0.0):
            raise OutOfTimeError
        y = task.y[validation].copy()
        missed = self.misses[name] + context.seed
        y[:missed] = 1 - y[:missed]
        margins = np.where(np.eye(2)[y] > 0, 2.0, -2.0).astype(np.float32)
        curve = tuple((1 / epoch, 2 / epoch) for epoch in range(1, recipe.epochs + 1))
        for epoch in range(self.begun, recipe.epochs):  # those done before are not shown again
            context.listener.progress(epoch + 1, recipe.epochs)
        return [SimpleNamespace(margins={1: margins, views: margins}, curve=curve) for _ in alphas]


class Heard(Listener):
    """Remembers each line, and each state of a candidate."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.states: list[str] = []

    def candidates(self, standings: Sequence[Standing]) -> None:
        self.states += [standing.state for standing in standings]

    def say(self, text: str) -> None:
        self.lines.append(text)


def candidate(name: str, *, epochs: int = 4, start: str = "pretrained") -> Candidate:
    return Candidate("net", ("last",), Recipe(name, epochs, start=start))  # type: ignore[arg-type]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeFolds:
    folds = FakeFolds({"worst": 9, "best": 1, "third": 6, "second": 3})
    monkeypatch.setattr("graftwork.finetune.fold.tune_fold", folds)
    monkeypatch.setattr("graftwork.finetune.fold.cached_inputs", lambda *_: (None, None))
    return folds


@pytest.fixture
def four(fake: FakeFolds) -> list[Candidate]:
    return [candidate(name) for name in fake.misses]


def opened(
    folder: Path,
    *,
    limit_seconds: float = math.inf,
    listener: Listener | None = None,
    n_refits: int = 0,
    exhaustive: bool = False,
) -> Tournament:
    """A tournament, or one that goes on, in a folder."""
    codes = SimpleNamespace(extraction=None)
    context = FineTuneContext(
        images=(),  # type: ignore[arg-type]
        extract=lambda *given: pytest.fail("nothing is cached"),
        folder=folder,
        store_mb=0,
        seed=0,
        n_refits=n_refits,
        listener=listener or Heard(),
    )
    clock = Clock(limit_seconds, folder / "clock.json")
    clock.reserve_seconds = 0
    return Tournament(
        lambda each: codes,  # type: ignore[arg-type, return-value]
        TASK,
        start=lambda candidate: 1.0,
        context=context,
        clock=clock,
        exhaustive=exhaustive,
    )


def ended(trials: list[Trial]) -> dict[str, str]:
    return {trial.candidate.layer: trial.ended for trial in trials}


def accuracy(trial: Trial) -> float:
    return float((trial.probabilities[trial.run].argmax(axis=1) == Y[trial.run]).mean())


def plain(trials: list[Trial]) -> list[dict[str, object]]:
    """All that a trial says, apart from how long it took."""
    rows = [dataclasses.asdict(trial) for trial in trials]
    return [{**row, "fit_seconds": None, "probabilities": row["probabilities"].tobytes()} for row in rows]


def test_the_worse_half_is_eliminated_after_the_first_fold(tmp_path: Path, fake: FakeFolds, four) -> None:
    trials = opened(tmp_path).run(four)
    assert ended(trials) == {
        "best": "completed", "second": "completed", "third": "eliminated", "worst": "eliminated"
    }  # fmt: skip
    assert Counter(name for name, _ in fake.calls) == {"best": FOLDS, "second": FOLDS, "third": 1, "worst": 1}
    for trial in trials:
        np.testing.assert_array_equal(trial.run, (TASK.folds == 0) | (trial.ended == "completed"))
        assert accuracy(trial) == pytest.approx(1 - fake.misses[trial.candidate.layer] / 20)


def test_of_an_odd_number_the_one_in_the_middle_goes_on(tmp_path: Path, four) -> None:
    assert Counter(ended(opened(tmp_path).run(four[:3])).values()) == {"completed": 2, "eliminated": 1}


def test_one_alone_is_never_eliminated(tmp_path: Path, four) -> None:
    assert ended(opened(tmp_path).run(four[:1])) == {"worst": "completed"}


def test_of_equals_the_one_named_first_goes_on(tmp_path: Path, fake: FakeFolds, four) -> None:
    fake.misses = dict.fromkeys(fake.misses, 2)
    names = [each.layer for each in four]
    assert ended(opened(tmp_path).run(four)) == dict(zip(names, ["completed"] * 2 + ["eliminated"] * 2, strict=True))


def test_exhaustive_runs_every_candidate_on_every_fold(tmp_path: Path, four) -> None:
    trials = opened(tmp_path, exhaustive=True).run(four)
    assert set(ended(trials).values()) == {"completed"}
    assert all(trial.run.all() for trial in trials)


def test_candidates_are_eliminated_only_by_those_with_as_many_epochs(tmp_path: Path, fake: FakeFolds) -> None:
    short = [candidate(name) for name in ("best", "second")]
    long = [candidate(name, epochs=16, start="random") for name in ("third", "worst")]
    trials = opened(tmp_path).run([*short, *long])
    assert {t.candidate.plan.freeze_to: t.ended for t in trials} == {
        "best": "completed", "second": "eliminated", "third": "completed", "worst": "eliminated"
    }  # fmt: skip


def test_each_fine_tuning_has_a_trial_per_alpha_and_one_from_scratch_has_one(tmp_path: Path, four) -> None:
    trials = opened(tmp_path).run([candidate("best"), candidate("second", epochs=9, start="random")])
    assert [(t.candidate.plan.freeze_to, t.candidate.plan.alpha) for t in trials] == [
        ("best", 1.0), ("best", 0.5), ("second", 1.0)
    ]  # fmt: skip
    assert trials[0].details["epochs"] == len(trials[0].curve) == 4


@pytest.mark.parametrize("calls_before", range(8))
def test_a_killed_tournament_goes_on_to_the_same_trials_without_a_fold_run_twice(
    tmp_path: Path, fake: FakeFolds, four, calls_before: int
) -> None:
    expected = plain(opened(tmp_path / "at once").run(four))
    fake.calls.clear()

    def kill(name: str, fold: int) -> None:
        if len(fake.calls) == calls_before + 1:
            raise KilledError

    fake.before = kill
    with pytest.raises(KilledError):
        opened(tmp_path / "killed").run(four)
    completed = fake.calls[:-1]
    fake.calls.clear()
    fake.before = lambda name, fold: None
    assert plain(opened(tmp_path / "killed").run(four)) == expected
    assert not set(completed) & set(fake.calls)
    assert len(completed) + len(fake.calls) == 4 + 2 * (FOLDS - 1)


@pytest.mark.parametrize("file", ["fold.json", "margins.npz"])
def test_a_fold_whose_record_is_damaged_is_run_again(tmp_path: Path, fake: FakeFolds, four, file: str) -> None:
    expected = plain(opened(tmp_path).run(four))
    fake.calls.clear()
    path = min(tmp_path.rglob(f"fold-0/{file}"))
    path.write_bytes(path.read_bytes()[:-20])
    assert plain(opened(tmp_path).run(four)) == expected
    assert len(fake.calls) == 1


def diverge_in(fold_of: dict[str, int]) -> Callable[[str, int], None]:
    def diverge(name: str, fold: int) -> None:
        if fold_of.get(name) == fold:
            raise TrainingError("the loss must be finite, but was nan")

    return diverge


def test_a_candidate_that_diverges_in_the_first_fold_is_reported_and_has_no_trial(
    tmp_path: Path, fake: FakeFolds, four
) -> None:
    heard = Heard()
    fake.before = diverge_in({"best": 0})
    running = opened(tmp_path, listener=heard)
    trials = running.run(four)
    assert ended(trials) == {"second": "completed", "third": "completed", "worst": "eliminated"}
    assert [each.layer for each in running.diverged] == ["best"]
    assert heard.lines == ["tuned above best: dropped, the loss must be finite, but was nan"]


def test_a_candidate_that_diverges_later_stays_diverged_while_the_others_complete(
    tmp_path: Path, fake: FakeFolds, four
) -> None:
    fake.before = diverge_in({"best": 1})
    running = opened(tmp_path)
    trials = running.run(four)
    assert ended(trials) == {
        "best": "diverged", "second": "completed", "third": "eliminated", "worst": "eliminated"
    }  # fmt: skip
    assert [each.layer for each in running.diverged] == ["best"]
    assert ("best", 2) not in fake.calls
    assert all(trial.run.all() for trial in trials if trial.ended == "completed")


def test_where_the_time_ends_in_a_fold_all_completed_trials_have_run_on_the_same_folds(
    tmp_path: Path, fake: FakeFolds, four
) -> None:
    running = opened(tmp_path, limit_seconds=1000)

    def out_of_time(name: str, fold: int) -> None:
        if (name, fold) == ("second", 2):
            raise OutOfTimeError

    fake.before = out_of_time
    completed = [trial for trial in running.run(four) if trial.ended == "completed"]
    assert ("best", 2) in fake.calls  # it had run, and is left out for the sake of the comparison
    assert {trial.candidate.layer for trial in completed} == {"best", "second"}
    for trial in completed:
        np.testing.assert_array_equal(trial.run, TASK.folds < 2)


@pytest.mark.parametrize(
    ("left", "second", "third", "folds", "exhaustive"),
    [
        (100, "completed", "eliminated", 3, False),  # both of the better half fit
        (45, "eliminated", "eliminated", 3, False),  # the one that is ahead alone fits
        (45, "completed", "completed", 3, True),  # one after the other, as long as there is time
        (25, "completed", "eliminated", 1, False),  # nothing fits
    ],
)
def test_where_a_fold_of_all_does_not_fit_those_behind_are_eliminated(
    tmp_path: Path,
    fake: FakeFolds,
    four,
    left: float,
    second: str,
    third: str,
    folds: int,
    exhaustive: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = opened(tmp_path, limit_seconds=1000, exhaustive=exhaustive)
    monkeypatch.setattr(Clock, "left", lambda clock: left if len(fake.calls) > 2 else 1000.0)

    def takes(name: str, fold: int) -> None:
        for tuning, seconds in zip(running._tunings, (30.0, 40.0, 10.0), strict=True):
            tuning.slowest_seconds = seconds

    fake.before = takes
    trials = running.run([four[1], four[3], four[2]])
    assert ended(trials) == {"best": "completed", "second": second, "third": third}
    assert np.unique(TASK.folds[trials[0].run]).size == folds


def test_without_time_no_fold_is_run_and_no_candidate_has_a_trial(tmp_path: Path, fake: FakeFolds, four) -> None:
    assert opened(tmp_path, limit_seconds=0).run(four) == []
    assert not fake.calls


def test_after_ctrl_c_the_folds_that_were_run_are_not_run_again(tmp_path: Path, fake: FakeFolds, four) -> None:
    def interrupt(name: str, fold: int) -> None:
        if fold == 1:
            raise KeyboardInterrupt

    fake.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path).run(four)
    before, fake.before = len(fake.calls), lambda name, fold: None
    trials = opened(tmp_path).run(four)
    assert Counter(ended(trials).values()) == {"completed": 2, "eliminated": 2}
    assert all(fold > 0 for _, fold in fake.calls[before:])


def test_repeats_run_the_completed_with_other_seeds_and_give_a_loss_per_seed(
    tmp_path: Path, fake: FakeFolds, four
) -> None:
    trials = opened(tmp_path).run(four, repeats=3)
    assert Counter(fake.seeds) == {0: 4 + 2 * (FOLDS - 1), 1: 2 * FOLDS, 2: 2 * FOLDS}
    for trial in trials:
        seeds = range(3) if trial.ended == "completed" else ()
        expected = [(fake.misses[trial.candidate.layer] + seed) / 20 for seed in seeds]
        assert trial.seed_losses == pytest.approx(expected)
        assert accuracy(trial) == pytest.approx(1 - fake.misses[trial.candidate.layer] / 20)  # of the first seed


class Busy:
    """A machine that is too slow for a fold when it is begun for the first ``times``."""

    def __init__(self, fake: FakeFolds, times: int) -> None:
        self.left, self._fake = times, fake

    def __call__(self, recipe, C, codes, task, validation, *, enough_time, **rest):  # type: ignore[no-untyped-def]
        self.left -= 1
        slow = self.left >= 0
        return self._fake(
            recipe, C, codes, task, validation, enough_time=lambda seconds: enough_time(1e6 * slow), **rest
        )


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_fold_whose_first_steps_were_slow_by_chance_is_begun_again(
    tmp_path: Path, fake: FakeFolds, four, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftwork.finetune.fold.tune_fold", Busy(fake, times))
    trials = opened(tmp_path, limit_seconds=100).run(four[:2])
    assert ended(trials) == {"best": "completed", "worst": "eliminated"}


def test_folds_that_succeed_use_up_no_attempts(
    tmp_path: Path, fake: FakeFolds, four, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 2 * tournament.TURNS * tournament.ATTEMPTS
    monkeypatch.setitem(globals(), "TASK", dataclasses.replace(TASK, folds=np.arange(60) // 2 % many))
    monkeypatch.setattr(tournament, "folds_to_judge", lambda images, n_folds: 1)
    monkeypatch.setattr(fake, "misses", {"best": 1})
    (trial, *_) = opened(tmp_path, limit_seconds=100).run(four[1:2])
    assert trial.run.all()
    assert len(fake.calls) == many


def test_where_the_machine_stays_too_slow_a_fold_is_begun_a_few_times_and_no_more(
    tmp_path: Path, fake: FakeFolds, four, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftwork.finetune.fold.tune_fold", Busy(fake, 1000))
    assert opened(tmp_path, limit_seconds=100).run(four[:1]) == []
    assert len(fake.calls) == tournament.TURNS * tournament.ATTEMPTS


def test_what_seemed_to_have_no_time_is_asked_again_before_the_others_go_on(
    tmp_path: Path, fake: FakeFolds, four
) -> None:
    trials = opened(tmp_path, limit_seconds=100).run(four[3:], at_the_end=four[1:2])
    assert ended(trials) == {"best": "completed", "second": "eliminated"}
    assert fake.calls == [("second", 0), ("best", 0), ("best", 1), ("best", 2)]


def test_what_has_no_time_then_is_tried_at_the_end_on_the_folds_of_the_others(
    tmp_path: Path, fake: FakeFolds, four, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "left", lambda clock: 100.0 if len(fake.calls) >= FOLDS else 10.0)
    late = opened(tmp_path, limit_seconds=100)
    late._fold_seconds = {four[3].key: 30.0}
    assert ended(late.run(four[1:2], at_the_end=four[3:])) == {"best": "completed", "second": "completed"}
    assert fake.calls == [("best", 0), ("best", 1), ("best", 2), ("second", 0), ("second", 1), ("second", 2)]


def test_a_fold_that_is_forecast_to_take_longer_than_what_is_left_is_not_begun(
    tmp_path: Path, fake: FakeFolds, four
) -> None:
    late = opened(tmp_path, limit_seconds=100)
    late._fold_seconds = {four[3].key: 1000.0}
    assert ended(late.run(four[1:2], at_the_end=four[3:])) == {"best": "completed"}
    assert {name for name, _ in fake.calls} == {"best"}


def test_what_comes_before_the_first_fold_must_fit_too_and_is_done_once(tmp_path: Path, fake: FakeFolds, four) -> None:
    for calls in ([], [("best", 0), ("best", 1), ("best", 2)]):
        late = opened(tmp_path, limit_seconds=100)
        late._once_seconds = {four[1].key: 1000.0}
        late.run(four[1:2])
        assert fake.calls == calls
        late._context.place(four[1], 1.0).mkdir(parents=True, exist_ok=True)  # an earlier start has begun


def test_what_comes_before_the_first_fold_is_asked_for_no_second_time_by_further_folds_and_seeds(
    tmp_path: Path, fake: FakeFolds, four, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "left", lambda clock: 50.0 if fake.calls else 100.0)
    late = opened(tmp_path, limit_seconds=100)
    late._once_seconds = {four[1].key: 60.0}
    late.run(four[1:2], repeats=2)
    assert fake.calls == 2 * [("best", 0), ("best", 1), ("best", 2)]


def test_where_no_refit_fits_folds_are_run_in_the_seconds_put_aside_for_it(
    tmp_path: Path, fake: FakeFolds, four
) -> None:
    short = opened(tmp_path, limit_seconds=100, n_refits=1)
    short._fold_seconds = {four[1].key: 60.0, four[3].key: 1000.0}
    assert short.run(four[1:2], at_the_end=four[3:]) == []
    trials = short.without_refit()
    assert ended(trials) == {"best": "completed"}
    assert not [trial for trial in trials if "fold" in trial.details]  # it was faster than forecast: a refit fits


def test_the_seconds_of_the_refit_go_to_folds_that_were_not_run(tmp_path: Path, fake: FakeFolds, four) -> None:
    short = opened(tmp_path, limit_seconds=100, n_refits=1)

    def busy(name: str, fold: int) -> None:
        short._tunings[0].slowest_seconds = 60.0  # one more fold fits, and its refit does not

    fake.before = busy
    (trial, *_) = short.run(four[1:2])
    np.testing.assert_array_equal(trial.run, TASK.folds == 0)
    (trial, *_) = short.without_refit()
    assert trial.run.all()
    assert fake.calls == [("best", 0), ("best", 1), ("best", 2)]


def test_the_seconds_of_the_refit_go_to_what_was_not_tried_before_they_go_to_further_folds(
    tmp_path: Path, fake: FakeFolds, four
) -> None:
    short = opened(tmp_path, limit_seconds=100, n_refits=1)
    short._fold_seconds = {four[3].key: 30.0}

    def busy(name: str, fold: int) -> None:
        short._tunings[0].slowest_seconds = 60.0  # with its refit no other fold fits

    fake.before = busy
    assert set(ended(short.run(four[1:2], at_the_end=four[3:]))) == {"best"}
    assert set(ended(short.without_refit())) == {"best", "second"}
    assert fake.calls[:3] == [("best", 0), ("second", 0), ("best", 1)]


def test_of_a_fold_that_goes_on_the_rest_alone_must_fit(
    tmp_path: Path, fake: FakeFolds, four, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftwork.finetune.loop.epochs_done", lambda checkpoint, recipe: done)
    short = opened(tmp_path, limit_seconds=100)
    short._fold_seconds = {four[1].key: 150.0}
    done = 0
    assert short.run(four[1:2]) == []
    done = four[1].plan.epochs // 2
    assert ended(short.run(four[1:2])) == {"best": "completed"}


def test_a_fold_shows_its_epochs_and_one_that_goes_on_took_as_long_as_if_it_had_run_at_once(
    tmp_path: Path, fake: FakeFolds, four, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, saved = [0.0], []
    monkeypatch.setattr("graftwork.tuning_trials.time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(Clock, "save", lambda clock: saved.append(now[0]))

    def pass_seconds(seconds: float) -> None:
        now[0] += seconds

    heard = Heard()
    running = opened(tmp_path, listener=heard)
    codes_of = running._codes_of
    running._codes_of = lambda candidate: [pass_seconds(1.0), codes_of(candidate)][1]  # extracts
    fake.before = lambda name, fold: pass_seconds(10.0)
    fake.begun = 3
    monkeypatch.setattr("graftwork.finetune.loop.epochs_done", lambda checkpoint, recipe: fake.begun)
    trial, *_ = running.run(four[1:2])
    assert trial.fit_seconds == FOLDS * (1.0 + 4 * 10.0)  # ten seconds are those of one epoch of four
    assert len(saved) == FOLDS * 2  # after the epoch, and after the fold
    shown = dict.fromkeys(heard.states)
    assert list(shown)[:3] == ["fold 1 of 3", "fold 1 of 3, epoch 4 of 4", "fold 1 of 3 done"]


def test_folds_that_are_on_disk_need_no_time(tmp_path: Path, fake: FakeFolds, four) -> None:
    whole, calls = opened(tmp_path, n_refits=1).run(four), len(fake.calls)
    again = opened(tmp_path, n_refits=1, limit_seconds=1e-9).run(four)
    assert len(fake.calls) == calls
    assert ended(again) == ended(whole)
    assert [trial.run.tolist() for trial in again] == [trial.run.tolist() for trial in whole]


def test_a_refit_that_was_begun_goes_on_although_the_time_left_is_short_by_now(
    tmp_path: Path, fake: FakeFolds, four, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftwork.tuning_trials.refit_folds", lambda n_folds: 1e9)
    late = opened(tmp_path, n_refits=1, limit_seconds=100)
    late._refit_folds = 0.0
    late._context.refit_place(four[1], 1.0).mkdir(parents=True)
    assert not [trial for trial in late.run(four[1:2]) if "fold" in trial.details]


@pytest.mark.parametrize(("left", "folds"), [(130.0, 3), (70.0, 0)])
def test_what_is_tried_at_the_end_must_fit_as_a_whole_beside_the_refits_of_those_that_can_be_chosen(
    tmp_path: Path, fake: FakeFolds, four, left: float, folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    best, worst, at_the_end = four[1], four[0], four[3]
    running = opened(tmp_path, limit_seconds=1000, n_refits=1)
    running._fold_seconds = {at_the_end.key: 20.0}  # 60 for all folds, and 32.4 for a refit
    monkeypatch.setattr(Clock, "left", lambda clock: left if len(fake.calls) > 1 else 1000.0)

    def slow(name: str, fold: int) -> None:
        running._tunings[1].slowest_seconds = 100.0

    fake.before = slow
    trials = running.run([best, worst], at_the_end=[at_the_end])
    assert ended(trials)["worst"] == "eliminated"
    assert [name for name, _ in fake.calls].count("second") == folds


def test_a_seed_that_diverges_leaves_the_others_theirs(tmp_path: Path, fake: FakeFolds, four) -> None:
    def diverge(name: str, fold: int) -> None:
        if name == "best" and fake.seeds[-1] == 1:
            raise TrainingError("nan")

    fake.before = diverge
    seeds = {trial.candidate.layer: len(trial.seed_losses) for trial in opened(tmp_path).run(four, repeats=2)}
    assert (seeds["best"], seeds["second"]) == (0, 2)


def test_candidates_are_judged_on_as_many_folds_as_hold_images_enough(
    tmp_path: Path, fake: FakeFolds, four, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tournament, "folds_to_judge", lambda images, n_folds: 2)
    opened(tmp_path).run(four)
    assert Counter(name for name, _ in fake.calls) == {"best": FOLDS, "second": FOLDS, "third": 2, "worst": 2}


def test_without_time_for_its_refit_a_trial_names_the_fold_whose_model_is_used(
    tmp_path: Path, fake: FakeFolds, four, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftwork.tuning_trials.refit_folds", lambda n_folds: 1e9)
    short = opened(tmp_path, limit_seconds=100, n_refits=1)
    short._refit_folds = 0.0
    trials = short.run(four[1:2])
    assert {trial.details["fold"] for trial in trials} == {0.0}
