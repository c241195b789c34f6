"""Laws 5 and 6, and what every split must hold."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graftwork.core.splits import deal, joined_groups, make_split


@st.composite
def labelled_groups(draw):
    n = draw(st.integers(12, 120))
    k = draw(st.integers(2, 4))
    labels = np.array(draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    n_groups = draw(st.integers(6, n))
    groups = np.array(draw(st.lists(st.integers(0, n_groups - 1), min_size=n, max_size=n)))
    return labels, groups, draw(st.integers(0, 5))


@given(labelled_groups())
def test_every_image_stands_in_exactly_one_part_and_groups_stay_together(case):
    labels, groups, seed = case
    split = make_split(labels, groups, seed=seed)
    together = np.concatenate([split.develop, split.test, split.left_out])
    assert sorted(together) == list(range(len(labels)))
    assert not set(groups[split.develop]) & set(groups[split.test])
    for fold in range(5):
        inside = groups[split.develop][split.folds == fold]
        assert not set(inside) & set(groups[split.develop][split.folds != fold])


@given(labelled_groups())
def test_same_seed_same_split_whatever_the_groups_are_called(case):
    labels, groups, seed = case
    once = make_split(labels, groups, seed=seed)
    assert once.digest == make_split(labels, groups, seed=seed).digest


@given(labelled_groups())
def test_a_given_test_part_is_never_changed_and_its_groups_leave_develop(case):
    labels, groups, seed = case
    given_test = np.random.default_rng(seed).random(len(labels)) < 0.3
    split = make_split(labels, groups, seed=seed, given_test=given_test)
    assert list(split.test) == list(np.flatnonzero(given_test))
    assert not set(groups[split.develop]) & set(groups[split.test])
    assert all(groups[i] in groups[split.test] for i in split.left_out)


@given(labelled_groups(), st.sampled_from([0.1, 0.2, 0.5]))
def test_every_class_has_images_to_develop_on_where_the_test_part_is_drawn(case, fraction):
    labels, groups, seed = case
    split = make_split(labels, groups, seed=seed, test_fraction=fraction)
    assert set(labels[split.develop]) == set(labels)


@given(labelled_groups(), labelled_groups())
def test_new_images_of_a_class_do_not_all_go_to_the_test_part(old, new):
    labels, groups = (np.concatenate([a, b + len(a)]) for a, b in zip(old[:2], new[:2], strict=True))
    side = np.full(len(labels), -1)
    split = make_split(*old[:2], seed=old[2])
    side[split.develop], side[split.test] = 0, 1
    later = make_split(labels, groups, seed=new[2], test_fraction=0.5, earlier_side=side)
    assert set(labels[later.develop]) == set(labels)


@given(labelled_groups(), st.integers(1, 30))
def test_more_images_never_move_an_old_one_to_the_other_side(case, more):
    labels, groups, seed = case
    old = make_split(labels, groups, seed=seed)
    rng = np.random.default_rng(seed)
    labels2 = np.concatenate([labels, rng.integers(0, labels.max() + 1, more)])
    groups2 = np.concatenate([groups, rng.integers(0, groups.max() + 10, more)])
    side = np.full(len(labels2), -1)
    side[old.develop], side[old.test] = 0, 1
    new = make_split(labels2, groups2, seed=seed + 1, earlier_side=side)
    assert set(old.test) <= set(new.test)
    assert set(old.develop) <= set(new.develop)


@given(labelled_groups(), st.integers(0, 99))
def test_where_groups_have_changed_none_is_on_both_sides_and_no_old_image_changes_sides(case, merged):
    labels, groups, seed = case
    old = make_split(labels, groups, seed=seed)
    side = np.full(len(labels), -1)
    side[old.develop], side[old.test] = 0, 1
    wider = np.random.default_rng(merged).integers(0, 1 + groups.max() // 2, groups.max() + 1)[groups]
    new = make_split(labels, wider, seed=seed + 1, earlier_side=side)
    assert set(new.test) == set(old.test)
    assert set(new.develop) | set(new.left_out) == set(old.develop)
    assert not set(wider[new.develop]) & set(wider[new.test])
    assert set(wider[new.left_out]) <= set(wider[new.test])


@given(st.integers(2, 6), st.integers(5, 60), st.integers(0, 9))
def test_single_images_are_dealt_evenly_in_every_class(k, per_class, seed):
    labels = np.repeat(np.arange(k), per_class)
    part = deal(labels, np.arange(len(labels)), (1.0,) * 5, np.random.default_rng(seed))
    for c in range(k):
        count = np.bincount(part[labels == c], minlength=5)
        assert count.max() - count.min() <= 1
    total = np.bincount(part, minlength=5)
    assert total.max() - total.min() <= k


def test_a_fifth_is_tested_class_by_class():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    split = make_split(labels, np.arange(160), seed=3)
    assert list(np.bincount(labels[split.test])) == [20, 10, 2]


def test_groups_of_unequal_size_still_fill_folds_within_a_group():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), rng.integers(1, 20, 60))
    labels = rng.integers(0, 2, 60)[groups]
    part = deal(labels, groups, (1.0,) * 5, rng)
    size = np.bincount(part)
    assert size.max() - size.min() <= 20


def test_joined_groups_follow_chains_through_both_partitions():
    one = np.array([0, 0, 1, 2, 3, 4])
    two = np.array([9, 8, 8, 7, 6, 5])
    joined = joined_groups(6, one, two)
    assert joined[0] == joined[1] == joined[2]
    assert len(set(joined)) == 4
