"""Law 11: the solver reaches the optimum of scikit-learn's objective, intercepts free, whatever the data and C."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from graftwork.linear.solver import fit_linear


def objective(weight, bias, case, C):
    """Scikit-learn's objectives, written out."""
    margins = case["x"] @ weight.T + bias
    images = np.arange(len(margins))
    penalty = 0.5 * (weight**2).sum()
    if case["loss"] == "softmax":
        losses = logsumexp(margins, axis=1) - margins[images, case["y"]]
    else:
        sign = -np.ones_like(margins)
        sign[images, case["y"]] = 1
        losses = (np.maximum(0, 1 - sign * margins) ** 2).sum(axis=1)
    return C * (case["weight"] * losses).sum() + penalty


def scikit_learns(case, C):
    """Weights of scikit-learn's solvers, each as far as it gets."""
    x, y, weight = (case[name] for name in ("x", "y", "weight"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        if case["loss"] == "svm":
            scales = (1, 100, 10_000)  # the intercept is penalised less and less
            models = [LinearSVC(C=C, dual=False, tol=1e-10, max_iter=3000, intercept_scaling=by) for by in scales]
        elif case["k"] == 2:  # one vector for two classes: twice our C, see the solver's first lines
            models = [LogisticRegression(C=2 * C, solver="newton-cholesky", tol=1e-10, max_iter=200)]
        else:
            kinds = ("newton-cholesky", "lbfgs")
            models = [LogisticRegression(C=C, solver=kind, tol=1e-10, max_iter=1000) for kind in kinds]
        for model in models:
            model.fit(x, y, sample_weight=weight)
            w, b = model.coef_, model.intercept_
            if case["k"] == 2:
                share = 0.5 if case["loss"] == "softmax" else 1.0
                w, b = np.concatenate([-w, w]) * share, np.concatenate([-b, b]) * share
            yield w, b


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    k, d = draw(st.integers(2, 5)), draw(st.integers(1, 50))
    y = np.concatenate([np.arange(k), rng.integers(0, k, draw(st.integers(0, 100)))])
    scale = 10.0 ** rng.uniform(-1, 1, d) if draw(st.booleans()) else 1.0
    x = (rng.standard_normal((len(y), d)) + draw(st.sampled_from([0, 3]))) * scale
    x += np.eye(k, d)[y] * draw(st.sampled_from([0, 1, 10]))
    weight = rng.uniform(0.1, 3, len(y)) if draw(st.booleans()) else np.ones(len(y))
    return {"x": x, "y": y, "k": k, "weight": weight, "loss": draw(st.sampled_from(["softmax", "svm"]))}


@settings(max_examples=60)
@given(problems(), st.floats(-6, 5).map(lambda power: 10.0**power))
def test_the_optimum_is_reached(case, C):
    """One-sided: the objective is convex, and where ours is the lower one scikit-learn had not converged."""
    weight, bias = fit_linear(
        case["x"], case["y"], n_classes=case["k"], loss=case["loss"], C=C, sample_weight=case["weight"]
    )
    reference = min(objective(w, b, case, C) for w, b in scikit_learns(case, C))
    nothing = objective(np.zeros_like(weight), np.zeros_like(bias), case, C)
    assert objective(weight, bias, case, C) - reference <= 1e-5 * max(reference, 1e-3 * nothing)


def within_the_law(one, other, case, C):
    """Whether two solutions of one problem have objectives as close as two that the solver may return.

    Their margins need not be as close: an objective that is off by g leaves room for weights that are off by
    sqrt(2 g) where the penalty is all that holds them, as that of an SVM on a few images that a large C separates.
    """
    first, second = objective(*one, case, C), objective(*other, case, C)
    nothing = objective(np.zeros_like(one[0]), np.zeros_like(one[1]), case, C)
    return abs(first - second) <= 1e-5 * max(min(first, second), 1e-3 * nothing)


@settings(max_examples=40)
@given(problems(), st.integers(-3, 3))
def test_constant_columns_change_nothing_and_weigh_nothing(case, power):
    constant = np.full((len(case["x"]), 1), 3.7)
    wide = np.concatenate([case["x"][:, :1], constant, case["x"][:, 1:]], axis=1)
    arguments = {"n_classes": case["k"], "loss": case["loss"], "C": 10.0**power, "sample_weight": case["weight"]}
    with_it, bias = fit_linear(wide, case["y"], **arguments)
    assert (with_it[:, 1] == 0).all()
    without = fit_linear(case["x"], case["y"], **arguments)
    assert within_the_law((np.delete(with_it, 1, axis=1), bias), without, case, 10.0**power)


@settings(max_examples=40)
@given(problems(), st.integers(-3, 3))
def test_a_weight_counts_like_so_many_copies(case, power):
    copies = np.random.default_rng(0).integers(1, 4, len(case["y"]))
    weighted_case = {**case, "weight": copies.astype(float)}
    arguments = {"n_classes": case["k"], "loss": case["loss"], "C": 10.0**power}
    weighted = fit_linear(case["x"], case["y"], sample_weight=copies.astype(float), **arguments)
    copied = fit_linear(np.repeat(case["x"], copies, axis=0), np.repeat(case["y"], copies), **arguments)
    assert within_the_law(weighted, copied, weighted_case, 10.0**power)
