"""Is an image of the kind the model was trained on? A conformal test on the distance to the nearest codes.

The distance of a new image to its k-th nearest training code (L2-normalised, of the frozen body) is compared
with the same distance of every training image to the images outside its fold. If the new image is of the same
kind, its rank among them is uniform, so flagging the most distant ``rate`` of ranks flags that share of one's own
kind (conformal anomaly detection, Laxhammar and Falkman 2010; Sun et al. 2022 for the distance).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Floats
from graftwork.linear.threads import one_blas_thread

NEIGHBOURS = 5
RATE = 0.01
"""Share of one's own kind that is flagged by default."""
MOST_REFERENCES = 10_000


@dataclasses.dataclass(frozen=True, eq=False)
class Novelty:
    """What a new image is compared with."""

    references: NDArray[np.float16]
    """(m, d) codes of length 1."""
    distances: NDArray[np.float32]
    """(m,) sorted distances of the references to their k-th neighbour outside their own fold."""
    neighbours: int = NEIGHBOURS

    def p_values(self, codes: Floats) -> NDArray[np.float64]:
        """(n,) share of the training images that are at least as far out as each code (n, d); small is strange."""
        with one_blas_thread():  # a product with a few images is over before a second thread is awake
            distance = _distance_to_nearest(_unit(codes), self._references, self.neighbours)
        beyond = len(self.distances) - np.searchsorted(self.distances, distance, side="left")
        return np.asarray((beyond + 1) / (len(self.distances) + 1))

    @functools.cached_property
    def _references(self) -> NDArray[np.float32]:
        """In single precision, which takes longer to make than to compare one image with."""
        return self.references.astype(np.float32)

    def nearest(self, code: Floats, among: NDArray[np.integer], k: int) -> list[tuple[int, float]]:
        """Return the references nearest to a code (d,), the nearest first, with the cosine of each.

        Parameters
        ----------
        among
            Rows of the references that count.
        """
        with one_blas_thread():
            cosine = (self._references @ _unit(code[None])[0])[among]
        best = np.argsort(-cosine, kind="stable")[:k]
        return [(int(among[i]), float(cosine[i])) for i in best]

    def can_flag(self, rate: float = RATE) -> bool:
        """Whether there are enough references for any image to be among the most distant ``rate``."""
        return 1 / (len(self.distances) + 1) <= rate


def fit_novelty(codes: Floats, folds: NDArray[np.integer], *, seed: int, neighbours: int = NEIGHBOURS) -> Novelty:
    """Measure the distances among training codes (n, d), each image against those outside its fold."""
    chosen = reference_rows(len(codes), seed)
    codes, folds = codes[chosen], folds[chosen]
    # rounded to half precision first: these are the codes that new images will be compared with
    references = _unit(codes).astype(np.float16)
    unit = references.astype(np.float32)
    distance = np.full(len(unit), np.inf, np.float32)
    for fold in np.unique(folds):
        inside = folds == fold
        if not inside.all():
            distance[inside] = _distance_to_nearest(unit[inside], unit[~inside], neighbours)
    return Novelty(references, np.sort(distance), neighbours)


def reference_rows(n: int, seed: int) -> NDArray[np.intp]:
    """Return which of ``n`` training images are references: all, or as many as fit, drawn at random."""
    if n <= MOST_REFERENCES:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, MOST_REFERENCES, replace=False))


def _unit(codes: Floats) -> NDArray[np.float32]:
    values = codes.astype(np.float32)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))


def _distance_to_nearest(codes: NDArray[np.float32], references: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """(n,) Euclidean distance of unit codes to their k-th nearest reference (or the last, where there are fewer)."""
    out = np.empty(len(codes), np.float32)
    k = min(k, len(references))
    for begin in range(0, len(codes), 1024):
        cosine = codes[begin : begin + 1024] @ references.T
        near = np.partition(cosine, -k, axis=1)[:, -k]
        out[begin : begin + 1024] = np.sqrt(np.maximum(2 - 2 * near, 0))
    return out
