"""The learning curve is fitted on whole groups of some images, and judged on the folds that the trial was judged on."""

from __future__ import annotations

import numpy as np

from graftwork.advice.learning_curve import learning_curve
from graftwork.core.plans import Candidate, Linear
from graftwork.core.splits import deal
from graftwork.core.trials import Task, Trial
from graftwork.linear.cross_validate import cross_validate


def drawn(n: int, *, d: int = 40, seed: int = 0, per_group: int = 1) -> tuple[np.ndarray, Task]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    codes = rng.normal(size=(n, d)) + 0.35 * (2 * y[:, None] - 1)
    groups = np.arange(n) // per_group
    folds = deal(y, groups, (1.0,) * 4, rng)
    return codes.astype(np.float32), Task(y, groups, folds, ("a", "b"))


def trial_on(codes: np.ndarray, task: Task) -> Trial:
    result = cross_validate(codes, task.y, task.folds, n_classes=2, loss="softmax", metric="accuracy")
    return Trial(Candidate("net", ("last",), Linear()), result.probabilities, 0.0, {"C": result.C, "temperature": 1.0})


def test_more_images_classify_better_and_the_last_point_is_the_trial() -> None:
    codes, task = drawn(400)
    trial = trial_on(codes, task)
    curve = learning_curve(codes, task, trial)
    assert [n for n, _ in curve.points] == [38, 75, 150, 300]
    scores = [score for _, score in curve.points]
    assert scores[0] < scores[-1]
    assert scores[-1] == float((trial.probabilities.argmax(axis=1) == task.y).mean())
    assert curve.doubled is not None
    assert learning_curve(codes, task, trial) == curve


def test_few_images_leave_the_small_shares_out() -> None:
    codes, task = drawn(20)
    assert [n for n, _ in learning_curve(codes, task, trial_on(codes, task)).points] == [8, 15]


def test_images_of_a_group_are_drawn_together(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from graftwork.advice import learning_curve as module

    codes, task = drawn(80, per_group=2)
    fitted = []
    refit = module.refit
    position = {row.tobytes(): i for i, row in enumerate(codes)}

    def noting(x: np.ndarray, *given: object, **options: object) -> object:
        fitted.append({position[row.tobytes()] for row in x})
        return refit(x, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "refit", noting)
    learning_curve(codes, task, trial_on(codes, task))
    assert fitted
    for rows in fitted:
        assert {i ^ 1 for i in rows} == rows  # both images of a group, or none
