"""Which images develop a model, which test it, and in which fold each develop image stands."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graftwork.core.arrays import Ints, Mask


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """A division of n images; every image stands in exactly one of develop, test and left_out."""

    develop: Ints
    """Indices of the images that choices and weights may depend on."""
    test: Ints
    """Indices of the images that are opened once, at the end."""
    left_out: Ints
    """Indices of develop images that have a copy or a member of their group in a given test part."""
    folds: Ints
    """(len(develop),) fold of each develop image."""
    groups: Ints
    """(n,) images of one number stand on one side."""
    seed: int

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the division."""
        parts = (self.develop, self.test, self.folds, self.groups[self.develop])
        return hashlib.sha256(b"|".join(np.asarray(p, np.int64).tobytes() for p in parts)).hexdigest()[:16]


def numbered(groups: NDArray[Any]) -> Ints:
    """(n,) group numbers in order of first appearance, so that equal partitions are equal arrays."""
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[number.ravel()])


def joined_groups(n: int, *partitions: Ints) -> Ints:
    """Return the finest grouping of n images in which images that share a group in any partition share one."""
    if not partitions:
        return np.arange(n)
    rows, columns = [], []
    for offset, partition in enumerate(partitions):
        number = numbered(partition)
        rows.append(np.arange(n))
        columns.append(n * (offset + 1) + number)
    size = n * (len(partitions) + 1)
    where = (np.concatenate(rows), np.concatenate(columns))
    graph = coo_array((np.ones(len(where[0]), np.int8), where), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    return np.unique(component[:n], return_inverse=True)[1]


def deal(labels: Ints, groups: Ints, shares: tuple[float, ...], rng: np.random.Generator) -> Ints:
    """Deal images into parts of the given shares, class by class, whole groups at a time.

    Groups of several images go first, large ones before small ones, each to the part that is furthest
    from its share of the group's classes; single images then fill each class up to its share.

    Returns
    -------
    (n,) part of each image.
    """
    share = np.asarray(shares, np.float64) / sum(shares)
    _, label = np.unique(labels, return_inverse=True)
    _, member = np.unique(groups, return_inverse=True)
    k = int(label.max()) + 1
    class_size = np.bincount(label, minlength=k)
    filled = np.zeros((len(share), k))
    part = np.full(len(label), -1)
    size = np.bincount(member)
    order = np.argsort(member, kind="stable")
    begin = np.concatenate([[0], np.cumsum(size)])
    shuffled = rng.permutation(len(size))
    for g in shuffled[np.argsort(-size[shuffled], kind="stable")]:
        if size[g] == 1:
            break
        inside = order[begin[g] : begin[g + 1]]
        votes = np.bincount(label[inside], minlength=k)
        # filling a part beyond its share costs more the fuller it is: a quadratic, halfway through the step
        cost = ((filled + votes / 2) * votes / class_size).sum(axis=1) / share
        chosen = int(np.argmin(cost))
        part[inside] = chosen
        filled[chosen] += votes
    alone = np.flatnonzero(part < 0)
    for c in rng.permutation(k):
        mine = rng.permutation(alone[label[alone] == c])
        if not len(mine):
            continue
        steps = filled[:, c, None] + np.arange(len(mine)) + 0.5
        level = (steps / share[:, None]).ravel()
        # of parts that are equally far behind in this class the emptier one comes first
        emptiness = np.repeat(filled.sum(axis=1) / share, len(mine))
        first = np.lexsort((emptiness, np.round(level, 9)))[: len(mine)]
        part[mine] = first // len(mine)
        filled[:, c] += np.bincount(first // len(mine), minlength=len(share))
    return part


def _drawn(labels: Ints, groups: Ints, fraction: float, free: Mask, taken: Mask, rng: np.random.Generator) -> Mask:
    """(n,) a share of the free images to test on; a class of which none is left gets its smallest group back.

    Parameters
    ----------
    taken
        (n,) marks images that test already.
    """
    test = np.zeros(len(labels), bool)
    if fraction == 0 or not free.any():
        return test
    test[free] = deal(labels[free], groups[free], (1 - fraction, fraction), rng) == 1
    for label in np.unique(labels[test]):
        mine = labels == label
        if (test | taken)[mine].all():
            own, size = np.unique(groups[np.isin(groups, groups[test & mine])], return_counts=True)
            test &= groups != own[size.argmin()]
    return test


def make_split(
    labels: Ints,
    groups: Ints,
    *,
    seed: int,
    test_fraction: float = 0.2,
    n_folds: int = 5,
    given_test: NDArray[np.bool_] | None = None,
    earlier_side: Ints | None = None,
) -> Split:
    """Divide images into develop and test, and develop into folds.

    Parameters
    ----------
    labels, groups
        (n,) class and group numbers.
    test_fraction
        Share of the images to test on; 0 leaves the test part empty.
    given_test
        (n,) marks a test part that came with the data; it is never changed, and develop images that share a
        group with it are left out.
    earlier_side
        (n,) 0 where an earlier run developed on the image, 1 where it tested on it, -1 where it is new; every
        image keeps its side, and a new one goes where its group is (to the test part if it is on both). Where groups
        have changed, images that were developed on and share one with a test image are left out.

    Returns
    -------
    The division. Where a test part is drawn, no class has all of its images in it: a model would not know the class.
    """
    rng = np.random.default_rng(seed)
    n = len(labels)
    left_out = np.zeros(n, bool)
    if given_test is not None:
        test = np.asarray(given_test, bool)
        left_out = ~test & np.isin(groups, groups[test])
    elif earlier_side is not None:
        old_test, old_develop = groups[earlier_side == 1], groups[earlier_side == 0]
        new = earlier_side < 0
        test = (earlier_side == 1) | (new & np.isin(groups, old_test))
        free = new & ~np.isin(groups, old_test) & ~np.isin(groups, old_develop)
        test |= _drawn(labels, groups, test_fraction, free, test, rng)
        left_out = ~test & np.isin(groups, groups[test])
    else:
        test = _drawn(labels, groups, test_fraction, np.ones(n, bool), np.zeros(n, bool), rng)
    develop = np.flatnonzero(~test & ~left_out)
    folds = deal(labels[develop], groups[develop], (1.0,) * n_folds, rng) if len(develop) else np.zeros(0, int)
    return Split(develop, np.flatnonzero(test), np.flatnonzero(left_out), folds, np.asarray(groups), seed)
