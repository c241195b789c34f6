"""Series: images taken one after the other (frames of a film, shots of one object) where no name gives groups.

Near-duplicates alone are not enough: of ten frames of a track the first and the last are different pictures. But each
is nearly the same picture as the next, so images are linked by *which images are nearest*, not by how near they are.
The grouping is for a second, pessimistic score, not for the split itself.
"""

from __future__ import annotations

import numpy as np

from graftwork.core.arrays import Floats, Ints
from graftwork.images.measurements import Measurements, layout, light
from graftwork.images.near_duplicates import NearDuplicates, components

LEAST_SHARE = 0.05
"""Series are searched where this share of the images or more has a near-duplicate."""
_NEIGHBOURS = 5
_SHARED = 2
_LOOSENESS = 0.99
"""Linked images are as near as this share of the near-duplicates: where these are exact, nothing else is linked."""


def find_series(measurements: Measurements, labels: Ints, near: NearDuplicates) -> Ints | None:
    """(n,) the series of each image, near-duplicates included; None where too few near-duplicates point to any.

    Two images of a class are linked when each is among the other's five nearest and they have two more of these in
    common (which breaks chains that hang on one link); an image without such a link joins its nearest one. All that
    only where they are about as near as near-duplicates are here. The distance compares layout (16 px) and light with
    equal weight.

    On traffic signs filmed in tracks of ten, 71 % of the pairs of a track are found, and of the pairs put together
    66 % are of one track (``benchmarks/near_duplicates.py``).
    """
    alike = np.unique(near.pairs)
    pairs = near.pairs[labels[near.pairs[:, 0]] == labels[near.pairs[:, 1]]]
    if len(alike) < LEAST_SHARE * len(measurements) or not len(pairs):
        return None
    describe = _Description(measurements, labels)
    apart = np.square(describe(pairs[:, 0]) - describe(pairs[:, 1])).sum(axis=1)
    reach = float(np.quantile(apart, _LOOSENESS))
    links = [near.pairs]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        links.append(members[_links(describe(members), reach)])
    return components(len(measurements), np.concatenate(links))


class _Description:
    """Layout and light side by side, each scaled to a mean squared distance of 1 within a class."""

    def __init__(self, measurements: Measurements, labels: Ints) -> None:
        self._pixels16, self._light = measurements.pixels16, light(measurements, labels)
        spread = np.zeros(2)
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            for kind, part in enumerate((layout(self._pixels16[members]), self._light[members])):
                spread[kind] += 2 * np.square(part - part.mean(axis=0)).sum()
        self._scale = np.sqrt(np.maximum(spread / len(labels), 1e-12)).astype(np.float32)

    def __call__(self, index: Ints) -> Floats:
        """(m, d) description of the images at ``index``."""
        parts = layout(self._pixels16[index]) / self._scale[0], self._light[index] / self._scale[1]
        return np.concatenate(parts, axis=1, dtype=np.float32)


def _links(described: Floats, reach: float) -> Ints:
    """(m, 2) positions linked by mutual and common neighbours."""
    n = len(described)
    k = min(_NEIGHBOURS, n - 1)
    if k < 1:
        return np.zeros((0, 2), np.int64)
    neighbours, distances = _nearest(described, k)
    one = np.repeat(np.arange(n), k)
    other = neighbours.ravel()
    mutual = (neighbours[other] == one[:, None]).any(axis=1)
    common = (neighbours[one][:, :, None] == neighbours[other][:, None, :]).any(axis=2).sum(axis=1)
    near = distances.ravel() <= reach
    linked = mutual & (common >= _SHARED) & near
    nearest = np.arange(n) * k + distances.argmin(axis=1)
    lonely = nearest[~linked.reshape(n, k).any(axis=1) & near[nearest]]
    chosen = np.concatenate([np.flatnonzero(linked & (one < other)), lonely])
    return np.stack([one[chosen], other[chosen]], axis=1)


def _nearest(described: Floats, k: int) -> tuple[Ints, Floats]:
    """(n, k) each row's nearest others, nearest first, and their squared distances."""
    from sklearn.neighbors import NearestNeighbors

    distances, neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(described).kneighbors()
    return neighbours, np.square(distances)
