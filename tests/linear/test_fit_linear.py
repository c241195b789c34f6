from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from graftwork.errors import DataError, UsageError
from graftwork.linear.solver import fit_linear


def cloud(seed=0, n=90, d=12, k=3):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return rng.standard_normal((n, d)) + 1.5 * np.eye(k, d)[y], y


def test_softmax_weights_are_those_of_scikit_learn():
    x, y = cloud()
    weight, bias = fit_linear(x, y, n_classes=3, loss="softmax", C=0.3, tolerance=1e-12)
    reference = LogisticRegression(C=0.3, tol=1e-10, max_iter=5000).fit(x, y)
    np.testing.assert_allclose(weight, reference.coef_, atol=1e-5)
    np.testing.assert_allclose(bias - bias.mean(), reference.intercept_ - reference.intercept_.mean(), atol=1e-5)


def test_svm_weights_are_those_of_scikit_learn_with_a_free_intercept():
    x, y = cloud()
    weight, bias = fit_linear(x + 2, y, n_classes=3, loss="svm", C=0.3, tolerance=1e-12)
    reference = LinearSVC(C=0.3, dual=False, tol=1e-12, max_iter=10_000, intercept_scaling=1e3).fit(x + 2, y)
    np.testing.assert_allclose(weight, reference.coef_, atol=1e-5)
    np.testing.assert_allclose(bias, reference.intercept_, atol=1e-5)


def test_two_classes_are_scikit_learns_single_vector_at_twice_the_c():
    x, y = cloud(k=2)
    weight, bias = fit_linear(x, y, n_classes=2, loss="softmax", C=0.3, tolerance=1e-12)
    reference = LogisticRegression(C=0.6, tol=1e-10, max_iter=5000).fit(x, y)
    np.testing.assert_allclose(weight[1] - weight[0], reference.coef_[0], atol=1e-5)
    np.testing.assert_allclose(bias[1] - bias[0], reference.intercept_[0], atol=1e-5)
    np.testing.assert_allclose(weight.sum(axis=0), 0, atol=1e-10)


@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_more_features_than_images_is_exact(loss):
    x, y = cloud(n=25, d=300)
    weight, _ = fit_linear(x, y, n_classes=3, loss=loss, C=1.0, tolerance=1e-12)
    reference = LogisticRegression(tol=1e-10, max_iter=5000)
    if loss == "svm":
        reference = LinearSVC(dual=False, tol=1e-12, max_iter=10_000, intercept_scaling=1e3)
    reference.fit(x, y)
    np.testing.assert_allclose(weight, reference.coef_, atol=1e-5)
    # no weight outside the span of the images
    inside = x.T @ np.linalg.lstsq(x.T, weight.T, rcond=None)[0]
    np.testing.assert_allclose(weight.T, inside, atol=1e-10)


@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_one_image_of_each_class(loss):
    x = np.random.default_rng(0).standard_normal((5, 40))
    weight, bias = fit_linear(x, np.arange(5), n_classes=5, loss=loss, C=10.0)
    assert ((x @ weight.T + bias).argmax(axis=1) == np.arange(5)).all()


@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_a_class_without_images_is_never_chosen_and_stays_finite(loss):
    x, y = cloud()
    weight, bias = fit_linear(x, np.where(y == 1, 3, y), n_classes=5, loss=loss, C=1.0)
    margins = x @ weight.T + bias
    assert np.isfinite(margins).all()
    assert set(margins.argmax(axis=1)) == {0, 2, 3}
    if loss == "softmax":  # as if the class were not there at all
        shares = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
        assert 0 < shares[:, [1, 4]].max() < 2 / len(y)
        alone, _ = fit_linear(x, y, n_classes=3, loss=loss, C=1.0)
        np.testing.assert_allclose(weight[[0, 3, 2]], alone, atol=1e-4)
        assert (weight[[1, 4]] == 0).all()


@pytest.mark.parametrize("normalise", ["standard", "l2", None])
@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_a_class_without_images_never_wins_where_codes_are_far_from_zero(loss, normalise):
    x, y = cloud(n=40)
    weight, bias = fit_linear(x + 30, y + 1, n_classes=4, loss=loss, C=0.01, normalise=normalise)
    codes = x + 30 if normalise != "l2" else (x + 30) / np.linalg.norm(x + 30, axis=1, keepdims=True)
    assert (codes @ weight.T + bias).argmax(axis=1).min() == 1


@pytest.mark.parametrize("C", [1e-6, 1e-4, 1e-2])
def test_an_svm_knows_which_class_has_most_images_however_small_c_is(C):
    # a penalised intercept cannot say so: at small C every class would win about as often
    x, y = cloud(n=63, k=2)
    y = (np.arange(63) < 3).astype(int)
    weight, bias = fit_linear(x, y, n_classes=2, loss="svm", C=C)
    assert ((x @ weight.T + bias).argmax(axis=1) == 0).mean() >= 60 / 63


@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_one_class_only_is_no_error(loss):
    x, _ = cloud()
    weight, bias = fit_linear(x, np.ones(len(x), int), n_classes=2, loss=loss, C=1.0)
    assert ((x @ weight.T + bias).argmax(axis=1) == 1).all()


def test_half_precision_read_from_disk_gives_what_the_same_values_give(tmp_path):
    x, y = cloud(n=700)
    np.save(tmp_path / "codes.npy", x.astype(np.float16))
    mapped = np.load(tmp_path / "codes.npy", mmap_mode="r")
    for normalise in ("standard", "l2", None):
        arguments = {"n_classes": 3, "loss": "softmax", "C": 0.1, "normalise": normalise}
        from_disk = fit_linear(mapped, y, **arguments)
        in_memory = fit_linear(x.astype(np.float16).astype(np.float64), y, **arguments)
        for a, b in zip(from_disk, in_memory, strict=True):
            np.testing.assert_array_equal(a, b)


def test_standardising_inside_is_standardising_before():
    x, y = cloud()
    x = x * np.geomspace(0.01, 100, 12) + 50
    weight, bias = fit_linear(x, y, n_classes=3, loss="svm", C=0.1, normalise="standard")
    codes = (x - x.mean(axis=0)) / x.std(axis=0)
    before, bias_before = fit_linear(codes, y, n_classes=3, loss="svm", C=0.1)
    np.testing.assert_allclose(weight, before / x.std(axis=0), rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(x @ weight.T + bias, codes @ before.T + bias_before, atol=1e-3)


def test_codes_of_length_one_inside_are_codes_of_length_one_before():
    x, y = cloud()
    x = x * np.arange(1, 91)[:, None]
    inside = fit_linear(x, y, n_classes=3, loss="svm", C=10.0, normalise="l2")
    before = fit_linear(x / np.linalg.norm(x, axis=1, keepdims=True), y, n_classes=3, loss="svm", C=10.0)
    for a, b in zip(inside, before, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_twice_to_the_bit(dtype):
    x, y = load_digits(return_X_y=True)
    once, again = (fit_linear(x, y, n_classes=10, loss="softmax", C=0.01, dtype=dtype) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("C", [1e-6, 1e-2, 10.0])
@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_single_precision_decides_like_double(C, loss):
    x, y = load_digits(return_X_y=True)
    arguments = {"n_classes": 10, "loss": loss, "C": C, "normalise": "standard"}
    single, bias = fit_linear(x, y, dtype=np.float32, tolerance=1e-5, **arguments)
    double, bias_double = fit_linear(x, y, tolerance=1e-7, **arguments)
    same = (x @ single.T + bias).argmax(axis=1) == (x @ double.T + bias_double).argmax(axis=1)
    assert same.mean() > 0.995


def test_what_cannot_be_used_is_said_in_a_line():
    x, y = cloud()
    broken = x.copy()
    broken[3, 4] = np.nan
    cases = [
        (UsageError, "C must be a positive number", {"C": 0.0}),
        (DataError, "found nan or infinity in column 4", {"x": broken}),
        (DataError, "labels must lie between 0 and 2, found 0 to 3", {"y": y + (y == 2)}),
        (DataError, r"found \(90, 12\) and \(89,\)", {"y": y[1:]}),
        (DataError, "sample weights must be", {"sample_weight": np.full(90, -1.0)}),
    ]
    for kind, message, change in cases:
        arguments = {"x": x, "y": y, "n_classes": 3, "loss": "softmax", "C": 1.0, **change}
        with pytest.raises(kind, match=message):
            fit_linear(arguments.pop("x"), arguments.pop("y"), **arguments)
