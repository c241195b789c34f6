"""Law 10: intervals hold what they say. ``benchmarks/intervals.py`` measures many more situations than these."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from graftwork.core.intervals import LEAST_GROUPS, clopper_pearson, score_interval, share_interval
from graftwork.core.metrics import mean_loss, score_from_loss
from graftwork.core.stats import bootstrap_weights

SHARES = ("accuracy", "balanced-accuracy", "macro-f1")
METRICS = (*SHARES, "log-loss")


def rows_of(predicted, k):
    """Probability rows that predict these classes, each with 0.9."""
    rows = np.full((len(predicted), k), 0.1 / (k - 1))
    rows[np.arange(len(predicted)), predicted] = 0.9
    return rows


@pytest.mark.parametrize("n", [1, 5, 30, 200])
def test_exact_interval_covers_every_share(n):
    hits = np.arange(n + 1)
    bounds = np.array([clopper_pearson(int(h), n) for h in hits])
    for p in np.linspace(0, 1, 101):
        inside = (bounds[:, 0] <= p) & (p <= bounds[:, 1])
        assert binom.pmf(hits[inside], n, p).sum() >= 0.95


def test_exact_interval_of_a_known_case():
    # 81 of 100: the interval printed in every textbook's table
    assert clopper_pearson(81, 100) == pytest.approx((0.7193020, 0.8815568), abs=1e-6)


def test_groups_are_drawn_whole_and_classes_keep_their_size():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 3)
    y = np.repeat([0, 1], 30)
    weights = bootstrap_weights(y, groups, 50, rng)
    assert (weights.reshape(50, 20, 3) == weights.reshape(50, 20, 3)[:, :, :1]).all()
    assert (weights[:, :30].sum(axis=1) == 30).all()


@pytest.mark.parametrize("metric", SHARES)
@pytest.mark.parametrize(("wrong", "exact"), [(False, (0.7353515, 1.0)), (True, (0.0, 0.2646485))])
def test_at_the_edge_every_share_has_the_exact_interval_of_its_images(metric, wrong, exact):
    y = np.arange(12) % 3
    interval = score_interval(metric, y, rows_of((y + wrong) % 3, 3), np.arange(12))
    assert (interval.low, interval.high) == pytest.approx(exact, abs=1e-6)


def test_one_pair_of_near_duplicates_hardly_changes_an_exact_interval():
    y = np.arange(200) % 3
    pair = np.arange(200)
    pair[1] = 0
    for wrong in ((), (0,), (5, 9), range(0, 60, 2)):
        predicted = y.copy()
        predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 3
        alone = share_interval(predicted == y, np.arange(200))
        paired = share_interval(predicted == y, pair)
        assert (paired.low, paired.high) == pytest.approx((alone.low, alone.high), abs=0.005)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("groups", "why"),
    [
        (np.zeros(30, int), "1 group is too few"),
        (np.repeat([0, 1], 15), "2 groups are too few"),
        (np.arange(30) % 3, "every class has one group"),
    ],
)
def test_groups_that_say_nothing_of_others_give_no_interval_but_a_reason(metric, groups, why):
    y = np.arange(30) % 3
    interval = score_interval(metric, y, rows_of(np.roll(y, 9), 3), groups)
    assert (interval.low, interval.high, interval.method) == (None, None, why)


def test_a_class_of_two_images_widens_what_averages_over_classes():
    y = np.repeat([0, 1], [30, 2])
    predicted = y.copy()
    predicted[:3] = 1
    per_image = score_interval("accuracy", y, rows_of(predicted, 2), np.arange(32))
    per_class = score_interval("balanced-accuracy", y, rows_of(predicted, 2), np.arange(32))
    assert per_class.high - per_class.low > 1.5 * (per_image.high - per_image.low)
    # both images of the small class were right, and the true recall may well be a half
    assert per_class.low < 0.5 * (0.9 + 0.5)


def test_a_class_with_one_group_only_widens_the_interval_of_the_mean_over_classes():
    y = np.repeat([0, 1], [40, 10])
    spread, lone = np.arange(50), np.r_[np.arange(40), np.full(10, 40)]
    rows = rows_of(y, 2)
    assert (
        score_interval("balanced-accuracy", y, rows, lone).low
        < score_interval("balanced-accuracy", y, rows, spread).low - 0.1
    )


@given(
    st.sampled_from(METRICS),
    st.integers(2, 5),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 9)), min_size=2, max_size=60),
)
def test_no_interval_has_width_zero_and_each_holds_its_score(metric, k, images):
    true, predicted, groups = np.array(images).T
    true, predicted = true % k, predicted % k
    rows = rows_of(predicted, k)
    interval = score_interval(metric, true, rows, groups)
    if interval.low is None:
        assert interval.high is None
        assert interval.method
        return
    value = score_from_loss(metric, mean_loss(metric, true, rows))
    assert interval.low <= value + 1e-9
    assert value - 1e-9 <= interval.high
    assert interval.high - interval.low > 0.01


@given(st.integers(3, 40), st.integers(2, 6), st.data())
def test_images_in_groups_never_say_more_than_as_many_independent_ones(n_groups, size, data):
    hits = np.array(data.draw(st.lists(st.booleans(), min_size=n_groups * size, max_size=n_groups * size)))
    alone = share_interval(hits, np.arange(len(hits)))
    grouped = share_interval(hits, np.repeat(np.arange(n_groups), size))
    assert grouped.low <= alone.low + 1e-9
    assert alone.high <= grouped.high + 1e-9


def test_a_share_of_no_image_can_be_anything():
    interval = share_interval(np.zeros(0, bool), np.zeros(0, int))
    assert (interval.low, interval.high) == (0, 1)


@pytest.mark.parametrize("metric", SHARES)
@pytest.mark.parametrize(("n_groups", "correlation"), [(LEAST_GROUPS, 0.5), (8, 0.0), (8, 0.3), (8, 1.0), (30, 0.3)])
def test_intervals_of_groups_hold_the_true_score_as_often_as_they_say(metric, n_groups, correlation):
    rng = np.random.default_rng(1)
    size, trials, accuracy = 10, 300, 0.9
    groups = np.repeat(np.arange(n_groups), size)
    y = np.repeat(np.arange(n_groups) % 2, size)
    count = np.bincount(y)
    hits = accuracy * count
    f1 = 2 * hits / (count + hits + (1 - accuracy) * count[::-1])
    truth = f1.mean() if metric == "macro-f1" else accuracy
    inside = 0
    for _ in range(trials):
        if correlation == 0:
            chance = np.full(n_groups, accuracy)
        elif correlation == 1:
            chance = (rng.random(n_groups) < accuracy).astype(float)
        else:
            strength = 1 / correlation - 1
            chance = rng.beta(accuracy * strength, (1 - accuracy) * strength, n_groups)
        hit = rng.random(len(y)) < chance[groups]
        interval = score_interval(metric, y, rows_of(np.where(hit, y, 1 - y), 2), groups)
        inside += interval.low <= truth <= interval.high
    assert inside / trials >= 0.93
