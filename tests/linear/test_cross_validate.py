from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from sklearn.datasets import load_digits

from graftwork.core.facts import Metric
from graftwork.core.metrics import mean_loss, softmax
from graftwork.core.splits import deal
from graftwork.errors import DataError
from graftwork.linear import cross_validate as module
from graftwork.linear.cross_validate import cross_validate, refit
from graftwork.linear.solver import fit_linear


def folds_of(y, seed=0, n_folds=5):
    return deal(y, np.arange(len(y)), (1.0,) * n_folds, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x.astype(np.float32), y, folds_of(y)


def converged_margins(x, y, folds, C, loss):
    """Out-of-fold margins by the exact solver, fold by fold, on codes standardised over all images."""
    scale = np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    codes = ((x - x.mean(axis=0)) / scale).astype(np.float64)
    margins = np.empty((len(y), y.max() + 1))
    for fold in np.unique(folds):
        out = folds == fold
        weight, bias = fit_linear(codes[~out], y[~out], n_classes=y.max() + 1, loss=loss, C=C, tolerance=1e-6)
        margins[out] = codes[out] @ weight.T + bias
    return margins


@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_the_chosen_c_is_as_good_as_the_best_of_the_grid(digits, loss):
    x, y, folds = digits
    result = cross_validate(x, y, folds, n_classes=10, loss=loss, metric="accuracy")
    accuracy = {
        C: (converged_margins(x, y, folds, C, loss).argmax(axis=1) == y).mean()
        for C in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, result.C)
    }
    assert accuracy[result.C] >= max(accuracy.values()) - 4.5 / len(y)  # the best of seven is some images too good
    assert len(result.tried) < 12


@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_the_rows_are_those_of_the_converged_classifiers_of_the_other_folds(digits, loss):
    x, y, folds = digits
    result = cross_validate(x, y, folds, n_classes=10, loss=loss, metric="accuracy", Cs=(0.01,))
    expected = converged_margins(x, y, folds, 0.01, loss)
    assert result.C == 0.01
    assert result.margins.dtype == result.probabilities.dtype == np.float32
    assert (result.margins.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.995
    assert np.abs(result.margins - expected).mean() < 0.02 * np.abs(expected).mean()
    np.testing.assert_array_equal(result.probabilities, softmax(result.margins, result.temperature))


@pytest.mark.parametrize("metric", get_args(Metric))
def test_the_metric_rules_the_choice(digits, metric):
    x, y, folds = digits
    rare = (y < 5) | (np.arange(len(y)) % 7 == 0)
    x, y, folds = x[rare], y[rare], folds[rare]
    result = cross_validate(x, y, folds, n_classes=10, loss="softmax", metric=metric)
    assert min(result.tried, key=result.tried.__getitem__) == pytest.approx(result.C) or (
        result.tried[result.C] == min(result.tried.values())
    )
    assert mean_loss(metric, y, result.probabilities) == pytest.approx(result.tried[result.C], abs=0.01)


def test_images_of_a_fold_do_not_touch_their_own_rows(digits):
    """The labels of one fold are shuffled: its rows stay as they were, at the same C."""
    x, y, folds = digits
    arguments = {"n_classes": 10, "loss": "softmax", "metric": "accuracy", "Cs": (0.01,)}
    true = cross_validate(x, y, folds, **arguments)
    inside = np.flatnonzero(folds == 2)
    wrong = y.copy()
    wrong[inside] = np.random.default_rng(0).permutation(wrong[inside])
    shuffled = cross_validate(x, wrong, folds, **arguments)
    np.testing.assert_allclose(shuffled.margins[inside], true.margins[inside], atol=0.15)
    assert np.abs(shuffled.margins - true.margins)[folds != 2].max() > 1


def test_the_same_twice_to_the_bit(digits):
    x, y, folds = digits
    once, again = (cross_validate(x, y, folds, n_classes=10, loss="softmax", metric="accuracy") for _ in range(2))
    assert once.C == again.C
    assert once.tried == again.tried
    assert once.probabilities.tobytes() == again.probabilities.tobytes()


@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_a_class_absent_from_a_fold_has_valid_probabilities(loss):
    rng = np.random.default_rng(0)
    y = np.concatenate([np.repeat([0, 1], 30), [2, 3]])  # 2 and 3 have one image each
    x = rng.standard_normal((len(y), 80)) + 2 * np.eye(4, 80)[y]
    result = cross_validate(x, y, folds_of(y), n_classes=5, loss=loss, metric="log-loss")
    assert result.probabilities.shape == (len(y), 5)
    assert np.isfinite(result.margins).all()
    assert (result.probabilities > 0).all()
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)
    assert result.probabilities[y > 1, y[y > 1]].max() < 0.5  # never seen, never believed


def test_classes_of_one_image_each_have_a_classifier_and_no_choice():
    x = np.random.default_rng(0).standard_normal((6, 30))
    result = cross_validate(x, np.arange(6), np.arange(6) % 3, n_classes=6, loss="softmax", metric="accuracy")
    weight, bias = refit(x, np.arange(6), n_classes=6, loss="softmax", C=max(result.C, 1e-2))
    assert ((x @ weight.T + bias).argmax(axis=1) == np.arange(6)).all()


def test_folds_in_turns_and_a_search_on_some_of_them_choose_alike(digits, monkeypatch):
    x, y, folds = digits
    arguments = {"n_classes": 10, "loss": "softmax", "metric": "log-loss"}
    together = cross_validate(x, y, folds, **arguments)
    monkeypatch.setattr(module, "_JUDGED_IMAGES", 500)  # two of five folds
    monkeypatch.setattr(module, "_SIDE_BY_SIDE_VALUES", 1)  # one at a time
    apart = cross_validate(x, y, folds, **arguments)
    assert 0.3 < apart.C / together.C < 3.2
    assert abs(mean_loss("log-loss", y, apart.probabilities) - mean_loss("log-loss", y, together.probabilities)) < 0.01
    assert (apart.margins.argmax(axis=1) == together.margins.argmax(axis=1)).mean() > 0.98


def test_weights_rule_the_fit(digits):
    """A class that weighs a hundred times as much is missed less often."""
    x, y, folds = digits
    x = x + np.random.default_rng(0).normal(0, 12, x.shape).astype(np.float32)
    arguments = {"n_classes": 10, "loss": "softmax", "metric": "accuracy", "Cs": (1e-3,)}
    plain = cross_validate(x, y, folds, **arguments)
    weighted = cross_validate(x, y, folds, sample_weight=np.where(y == 8, 100.0, 1.0), **arguments)
    recall = [(result.probabilities.argmax(axis=1) == y)[y == 8].mean() for result in (plain, weighted)]
    assert recall[1] > recall[0] + 0.05


def test_the_path_stops_once_the_figures_have_fallen(digits):
    x, y, folds = digits
    x = x + np.random.default_rng(0).normal(0, 12, x.shape).astype(np.float32)
    result = cross_validate(x, y, folds, n_classes=10, loss="softmax", metric="accuracy", refine=False)
    assert max(result.tried) < 1e5
    assert max(result.tried) > result.C


@pytest.mark.parametrize("loss", ["softmax", "svm"])
@pytest.mark.parametrize("normalise", ["standard", "l2"])
def test_the_path_goes_on_where_so_small_a_c_learns_nothing_from_so_few_images(loss, normalise):
    y = np.arange(36) % 3
    codes = np.random.default_rng(0).normal(0, 0.2, (36, 24)) + 2 * np.eye(3, 24)[y]
    for n_folds in (2, 5):
        result = cross_validate(
            codes.astype(np.float32), y, folds_of(y, n_folds=n_folds), n_classes=3, loss=loss, metric="accuracy",
            normalise=normalise,
        )  # fmt: skip
        assert (result.probabilities.argmax(axis=1) == y).mean() > 0.9


@pytest.mark.parametrize("normalise", ["standard", "l2"])
def test_refit_folds_the_standardisation_in(digits, normalise):
    x, y, _ = digits
    weight, bias = refit(x, y, n_classes=10, loss="softmax", C=0.01, normalise=normalise)
    assert weight.shape == (10, 64)
    assert weight.dtype == bias.dtype == np.float32
    codes = x / np.linalg.norm(x, axis=1, keepdims=True) if normalise == "l2" else x
    exact, exact_bias = fit_linear(x, y, n_classes=10, loss="softmax", C=0.01, normalise=normalise)
    np.testing.assert_allclose(codes @ weight.T + bias, codes @ exact.T + exact_bias, atol=0.05)


def test_one_fold_is_said():
    with pytest.raises(DataError, match="at least two folds, found 1"):
        cross_validate(np.eye(4), np.arange(4) % 2, np.zeros(4), n_classes=2, loss="svm", metric="accuracy")


@pytest.mark.parametrize("n_classes", [2, 4, 8])
def test_a_small_c_of_an_svm_ends_no_search_before_it_has_begun(n_classes):
    """The intercepts alone are worth a step at any C; weights that came with it, far from solved, ended the search."""
    rng = np.random.default_rng(0)
    y = np.arange(160) % n_classes
    # a few directions of large variance that say nothing about the classes, as the codes of early layers have them
    codes = 16 * rng.gamma(1, 1, (160, 3)) @ rng.gamma(1, 1, (3, 30))
    codes += rng.normal(size=(160, 30)) + 1.2 * np.eye(n_classes, 30)[y]
    folds = deal(y, np.arange(160), (1.0,) * 5, rng)
    svm, softmax = (
        cross_validate(codes.astype(np.float32), y, folds, n_classes=n_classes, loss=loss, metric="accuracy")
        for loss in ("svm", "softmax")
    )
    assert svm.C > 1e-2
    right, expected = ((result.probabilities.argmax(axis=1) == y).mean() for result in (svm, softmax))
    assert right > expected - 0.08
