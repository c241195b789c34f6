from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from graftwork.core.facts import Metric
from graftwork.core.metrics import calibration, confusion, mean_loss, softmax, weighted_loss


def rows(seed: int, n: int = 60, k: int = 4):
    rng = np.random.default_rng(seed)
    return rng.integers(0, k, n), rng.dirichlet(np.ones(k), n)


@given(st.integers(0, 50))
def test_losses_are_those_of_scikit_learn(seed):
    y, p = rows(seed)
    predicted = p.argmax(axis=1)
    assert mean_loss("accuracy", y, p) == pytest.approx(1 - reference.accuracy_score(y, predicted))
    assert mean_loss("balanced-accuracy", y, p) == pytest.approx(1 - reference.balanced_accuracy_score(y, predicted))
    assert mean_loss("log-loss", y, p) == pytest.approx(reference.log_loss(y, p, labels=range(4)))
    macro = reference.f1_score(y, predicted, average="macro", labels=np.unique(y), zero_division=0)
    assert mean_loss("macro-f1", y, p) == pytest.approx(1 - macro)


@pytest.mark.parametrize("metric", get_args(Metric))
def test_a_weight_of_two_is_the_image_twice(metric):
    y, p = rows(1)
    weights = np.ones(len(y))
    weights[:10] = 2
    twice = weighted_loss(metric, np.r_[y, y[:10]], np.r_[p, p[:10]], np.ones(len(y) + 10))
    assert weighted_loss(metric, y, p, weights) == pytest.approx(twice)


def test_softmax_of_large_margins_stays_finite_and_sums_to_one():
    p = softmax(np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]]))
    assert np.isfinite(p).all()
    assert p.sum(axis=1) == pytest.approx([1, 1])


def test_confusion_has_true_classes_as_rows():
    assert confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist() == [[1, 1], [0, 1]]


def test_sure_and_always_wrong_is_an_error_of_one():
    y = np.zeros(10, int)
    wrong = np.tile([0.0, 1.0], (10, 1))
    assert calibration(y, wrong).expected_error == pytest.approx(1)
    assert calibration(y, wrong[:, ::-1]).expected_error == pytest.approx(0)
