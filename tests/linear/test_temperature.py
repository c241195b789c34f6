from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from graftwork.core.metrics import mean_loss, softmax
from graftwork.linear.temperature import fit_temperature


@pytest.mark.parametrize("true_temperature", [0.3, 0.5, 1.0, 3.0, 30.0])
def test_it_is_the_one_of_least_log_loss(true_temperature):
    rng = np.random.default_rng(0)
    margins = rng.standard_normal((4000, 5)).astype(np.float32) * 3
    y = (np.log(softmax(margins, true_temperature) + 1e-30) + rng.gumbel(size=margins.shape)).argmax(axis=1)
    temperature = fit_temperature(margins, y)
    least = minimize_scalar(lambda u: mean_loss("log-loss", y, softmax(margins, np.exp(u))), bounds=(-9, 9)).fun
    assert mean_loss("log-loss", y, softmax(margins, temperature)) < least + 1e-3
    assert 0.5 < temperature / true_temperature < 2


def test_margins_that_are_never_wrong_do_not_make_certain():
    y = np.arange(50) % 2
    margins = np.eye(2)[y] * 4
    rows = softmax(margins, fit_temperature(margins, y))
    assert 0.95 < rows.max(axis=1).mean() < 0.9999


def test_margins_that_say_nothing_give_even_odds():
    rng = np.random.default_rng(0)
    margins = rng.standard_normal((3000, 3))
    rows = softmax(margins, fit_temperature(margins, rng.integers(0, 3, 3000)))
    assert rows.max() < 0.6


def test_one_image_and_equal_margins_are_no_error():
    assert np.isfinite(fit_temperature(np.array([[1.0, 2.0]]), np.array([0])))
    assert np.isfinite(fit_temperature(np.zeros((5, 3)), np.zeros(5, int)))
