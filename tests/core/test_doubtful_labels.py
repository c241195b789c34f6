import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from graftwork.core.intervals import clopper_pearson
from graftwork.core.metrics import calibration, calibration_by_chance, doubtful_labels
from graftwork.core.stats import recall_and_precision


@pytest.fixture(scope="module")
def flipped():
    """Six hundred real digits, thirty of them given another label, and out-of-fold rows fitted on those labels."""
    x, truth = load_digits(return_X_y=True)
    x, truth = x[:600], truth[:600]
    rng = np.random.default_rng(0)
    changed = rng.choice(600, 30, replace=False)
    given = truth.copy()
    given[changed] = (truth[changed] + rng.integers(1, 10, 30)) % 10
    model = LogisticRegression(C=1e-3, max_iter=500)
    rows = cross_val_predict(model, x, given, cv=5, method="predict_proba").astype(np.float32)
    return truth, given, changed, rows


def test_planted_wrong_labels_are_found_with_the_true_one_suggested(flipped):
    truth, given, changed, rows = flipped
    doubtful = doubtful_labels(given, rows)
    detected = np.isin(changed, doubtful.rows)
    real = np.isin(doubtful.rows, changed)
    assert detected.mean() >= 0.6
    assert real.mean() >= 0.8  # of all rows that are only classified as another class, a third is
    assert (doubtful.suggested == truth[doubtful.rows])[real].mean() >= 0.9


def test_doubtful_labels_come_most_doubtful_first_and_never_suggest_the_given_one(flipped):
    _, given, _, rows = flipped
    doubtful = doubtful_labels(given, rows)
    margin = rows[doubtful.rows, given[doubtful.rows]] - rows[doubtful.rows, doubtful.suggested]
    assert (np.diff(margin) >= 0).all()
    assert (margin < 0).all()
    assert (doubtful.suggested != given[doubtful.rows]).all()


def test_a_class_that_is_never_sure_is_not_doubted_for_that():
    y = np.array([0, 0, 0, 1, 1, 1])
    first = np.array([0.99, 0.98, 0.55, 0.52, 0.51, 0.53])  # class 1 is usually at 0.48, class 0 at 0.84
    rows = np.column_stack([first, 1 - first])
    assert doubtful_labels(y, rows).rows.size == 0
    assert (rows.argmax(axis=1) != y).sum() == 3  # although three of them are read as the other class


def test_labels_that_the_rows_agree_with_are_not_doubted():
    y = np.array([0, 1, 2])
    assert doubtful_labels(y, np.eye(3)).rows.size == 0


def test_recall_and_precision_count_rows_and_columns():
    y, predicted = np.repeat([0, 0, 1, 1], [8, 2, 1, 9]), np.repeat([0, 1, 0, 1], [8, 2, 1, 9])
    recall, precision = recall_and_precision(y, predicted, np.arange(20), 3)
    assert [(s.hits, s.of) for s in recall] == [(8, 10), (9, 10), (0, 0)]
    assert [(s.hits, s.of) for s in precision] == [(8, 9), (9, 11), (0, 0)]
    assert (recall[0].low, recall[0].high) == clopper_pearson(8, 10)
    assert recall[0].value == 0.8
    assert recall[2].value is None


def test_the_calibration_error_of_chance_is_what_a_calibrated_model_reads():
    rng = np.random.default_rng(1)
    top = rng.uniform(0.5, 1, 150)
    rows = np.column_stack([top, 1 - top])
    read = [calibration((rng.random(150) > top).astype(int), rows).expected_error for _ in range(300)]
    by_chance = calibration_by_chance(rows, seed=0)
    assert by_chance == pytest.approx(np.mean(read), rel=0.1)
    assert by_chance > 0.02
    assert by_chance == calibration_by_chance(rows, seed=0)
