from __future__ import annotations

import numpy as np
import pytest

from graftwork.core.choose import choose, compare
from graftwork.core.plans import Candidate, Linear
from graftwork.core.trials import Task, Trial


def rows_that_hit(hit: np.ndarray, y: np.ndarray, k: int = 2) -> np.ndarray:
    """Probability rows that are right where ``hit`` says so, and confident."""
    predicted = np.where(hit, y, (y + 1) % k)
    return (np.eye(k)[predicted] * 0.9 + 0.05).astype(np.float32)


def trial(name: str, probabilities: np.ndarray) -> Trial:
    return Trial(Candidate("b", (name,), Linear()), probabilities, 1.0, {"C": 1.0})


def judge(hits: list[np.ndarray], y: np.ndarray, costs: list[float], seed: int = 0, groups=None):
    trials = [trial(str(i), rows_that_hit(hit, y)) for i, hit in enumerate(hits)]
    return choose(trials, costs, task_of(y, seed=seed, groups=groups))


def task_of(y: np.ndarray, *, metric: str = "accuracy", seed: int = 0, groups=None) -> Task:
    groups = np.arange(len(y)) if groups is None else groups
    return Task(y, groups, np.arange(len(y)) % 5, ("a", "b"), metric, seed=seed)


def two_with_gain(rng: np.random.Generator, n: int, gain: float, discordance: float) -> list[np.ndarray]:
    """Hits of a cheap and a dear candidate that differ on ``discordance`` of the images, by ``gain`` on average."""
    kind = rng.random(n)
    only_dear = kind < (discordance + gain) / 2
    only_cheap = (kind >= (discordance + gain) / 2) & (kind < discordance)
    both = rng.random(n) < 0.8
    return [np.where(only_dear, False, np.where(only_cheap, True, both)), np.where(only_cheap, False, only_dear | both)]


def test_of_equally_cheap_candidates_the_better_wins_however_little():
    y = np.arange(400) % 2
    hit = np.arange(400) % 10 > 0
    better = hit.copy()
    better[0] = True
    assert judge([hit, better], y, [1, 1]).chosen == 1


def test_of_equal_candidates_the_one_with_the_lowest_log_loss_wins():
    y = np.arange(40) % 2
    hit = np.arange(40) % 10 > 0
    better = hit.copy()
    better[0] = True
    confident = rows_that_hit(hit, y)
    hesitant = np.where(rows_that_hit(better, y) > 0.5, 0.6, 0.4).astype(np.float32)
    trials = [trial("first", hesitant), trial("second", confident)]
    verdict = choose(trials, [1, 1], task_of(y))
    assert (verdict.best, verdict.chosen, verdict.words) == (0, 1, "likeliest of equals")
    assert "first, softmax scores 2.5 points better, which may be chance" in verdict.because
    dear = choose(trials, [1, 2], task_of(y))
    assert dear.chosen == 0  # only among the cheapest


def test_where_classes_weigh_the_same_so_do_their_probabilities():
    y = np.array([0] * 90 + [1] * 10)
    for_many = np.where(y == 0, 0.1, 0.35)
    for_few = np.where(y == 0, 0.4, 0.65)
    rows = [np.stack([1 - p, p], axis=1).astype(np.float32) for p in (for_many, for_few)]
    rows[0][90:] = rows[0][90:, ::-1]  # both classify all of them correctly
    rows[0][90:95] = [0.45, 0.55]
    rows[1][90:] = [0.1, 0.9]
    trials = [trial("many", rows[0]), trial("few", rows[1])]
    chosen = {
        metric: choose(trials, [1, 1], task_of(y, metric=metric)).chosen
        for metric in ("accuracy", "balanced-accuracy", "macro-f1")
    }
    assert chosen == {"accuracy": 0, "balanced-accuracy": 1, "macro-f1": 1}


def test_a_cheaper_candidate_within_the_tolerance_is_chosen():
    y = np.arange(1000) % 2
    hit = np.arange(1000) % 10 > 0
    dear = hit.copy()
    dear[:10:10] = True  # one image of a thousand
    verdict = judge([hit, dear], y, [1, 2])
    assert (verdict.best, verdict.chosen, verdict.words) == (1, 0, "not worth it")


def test_a_clear_gain_pays():
    y = np.arange(500) % 2
    rng = np.random.default_rng(0)
    verdict = judge(two_with_gain(rng, 500, 0.09, 0.1), y, [1, 2])
    assert (verdict.chosen, verdict.words) == (1, "pays")
    assert verdict.rows[0].beaten


def test_a_gain_that_may_be_chance_says_how_many_images_would_settle_it():
    y = np.arange(200) % 2
    hit = np.arange(200) % 10 > 0
    dear = hit.copy()
    dear[np.arange(0, 40, 10)] = True
    dear[1] = False
    verdict = judge([hit, dear], y, [1, 2])
    assert verdict.words == "cannot tell"
    assert verdict.images_to_settle is not None
    assert verdict.images_to_settle > 200


def test_power_a_gain_of_three_points_is_taken():
    rng = np.random.default_rng(5)
    y = np.arange(500) % 2
    taken = [judge(two_with_gain(rng, 500, 0.03, 0.1), y, [1, 2], seed).chosen == 1 for seed in range(60)]
    assert np.mean(taken) >= 0.8


NAN = float("nan")


EXPECTED = [
    (None, 1, ""),
    ([0.900, 0.905], 0, "no more than 0.5 points are expected to be gained over cheap, softmax"),
    ([0.900, 0.930], 1, ""),
    ([0.920, 0.900], 0, "no more than 0.0 points are expected to be gained over cheap, softmax"),
    ([NAN, 0.9], 1, ""),
    ([0.9, NAN], 1, ""),
]


@pytest.mark.parametrize(("expected", "chosen", "said"), EXPECTED)
def test_a_few_images_ahead_are_no_reason_to_pay_where_like_data_gained_nothing(expected, chosen, said):
    y = np.arange(60) % 2
    cheap = np.arange(60) % 10 > 0
    dear = cheap.copy()
    dear[0] = True  # 1.7 points
    trials = [trial("cheap", rows_that_hit(cheap, y)), trial("dear", rows_that_hit(dear, y))]
    verdict = choose(trials, [1, 2], task_of(y), expected=expected)
    assert (verdict.best, verdict.chosen) == (1, chosen)
    assert said in verdict.because
    assert ("like data" in verdict.because) == bool(said)


@pytest.mark.parametrize("ahead", [0, 1])
def test_what_is_expected_of_one_more_than_of_what_is_cheaper_is_taken_at_its_cost(ahead):
    y = np.arange(60) % 2
    dear = np.arange(60) % 10 > 0
    cheap = dear.copy()
    cheap[:ahead] = True
    trials = [trial("cheap", rows_that_hit(cheap, y)), trial("dear", rows_that_hit(dear, y))]
    verdict = choose(trials, [1, 2], task_of(y), expected=[0.9, 0.93])
    assert (verdict.best, verdict.chosen, verdict.words) == (0, 1, "cannot tell")
    assert verdict.because.endswith(
        "; 3.0 points more are expected of dear, softmax than of anything cheaper, given what like data gained"
    )


@pytest.mark.parametrize("expected", [[0.9, 0.9], [0.95, 0.9]])
def test_what_is_expected_does_not_save_one_that_is_beaten(expected):
    y = np.arange(500) % 2
    cheap, dear = two_with_gain(np.random.default_rng(0), 500, 0.09, 0.1)
    trials = [trial("cheap", rows_that_hit(cheap, y)), trial("dear", rows_that_hit(dear, y))]
    assert choose(trials, [1, 2], task_of(y), expected=expected).chosen == 1


def test_what_is_expected_of_one_that_was_judged_on_few_images_does_not_make_up_for_what_was_measured():
    y = np.arange(300) % 2
    known = np.arange(300) % 10 > 0
    few = known.copy()
    few[[1, 11]] = False  # two of sixty
    trials = [trial("few", rows_that_hit(few, y)), trial("known", rows_that_hit(known, y))]
    trials[0].probabilities[np.arange(300) % 5 > 1] = np.nan
    verdict = choose(trials, [1, 2], task_of(y), expected=[0.95, 0.9])
    assert (verdict.chosen, verdict.rows[0].expected_deficit, verdict.rows[1].expected_deficit) == (1, None, 0.0)
    assert choose(trials[::-1], [1, 2], task_of(y), expected=[0.9, 0.95]).chosen == 0


def test_the_one_of_which_most_is_expected_is_the_measure_where_another_is_ahead_on_few_images():
    y = np.arange(60) % 2
    lucky = np.arange(60) % 10 > 0
    plain, averaged = lucky.copy(), lucky.copy()
    plain[[1, 2, 3]], averaged[[1, 2]] = False, False
    names = ("plain", "averaged", "lucky")
    trials = [trial(name, rows_that_hit(hit, y)) for name, hit in zip(names, (plain, averaged, lucky), strict=True)]
    # the tuned one that is ahead is expected to be as good as the plain one, which is not as good as its average
    assert choose(trials, [1, 8, 9], task_of(y), expected=[0.824, 0.841, 0.824]).chosen == 1


@pytest.mark.parametrize("group_size", [1, 5])
def test_exchangeable_candidates_seldom_pay(group_size):
    rng = np.random.default_rng(7)
    n = 300
    y = np.arange(n) % 2
    groups = np.arange(n) // group_size
    pays = 0
    for seed in range(100):
        # three candidates of equal skill; images of a group are right or wrong together
        hits = [np.repeat(rng.random(n // group_size) < 0.8, group_size) for _ in range(3)]
        pays += judge(hits, y, [1, 2, 3], seed, groups).words == "pays"
    assert pays <= 8  # 5 % of 100, and what chance adds at 95 %


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy", "macro-f1"])
def test_two_that_predict_the_same_are_not_known_to_be_equal(metric):
    y = np.arange(12) % 3
    rows = np.eye(3)[y]
    table = compare(metric, y, [("one", rows), ("other", rows)], np.arange(12), 0, seed=0)
    assert table[0].deficit_high == 0
    assert table[1].deficit == 0
    assert table[1].deficit_high == pytest.approx(1.96 / 12, abs=0.001)  # one image of twelve may tell them apart
    grouped = compare(metric, y, [("one", rows), ("other", rows)], np.arange(12) // 3, 0, seed=0)
    assert grouped[1].deficit_high > 1.5 * table[1].deficit_high
