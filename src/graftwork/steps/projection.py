"""Codes in two dimensions, to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Ints
from graftwork.core.record import Projection

MAX_IMAGES = 1000
"""A page with more dots is slow to draw and no easier to understand."""


def project_codes(codes: NDArray[np.floating], rows: Ints, *, seed: int) -> Projection | None:
    """Project codes (n, d) to the plane: t-SNE of 50 principal components, or the first two where images are few.

    Parameters
    ----------
    rows
        (n,) rows of the images in the run's table; a random thousand of them are drawn where there are more.

    Returns
    -------
    None where there are fewer than three images, or fewer than two dimensions that vary.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(codes) < 3:
        return None
    if len(codes) > MAX_IMAGES:
        drawn = np.sort(np.random.default_rng(seed).choice(len(codes), MAX_IMAGES, replace=False))
        codes, rows = codes[drawn], rows[drawn]
    values = codes.astype(np.float32)
    values = values[:, values.std(axis=0) > 0]
    if values.shape[1] < 2:
        return None
    with threadpool_limits(1):  # BLAS waits actively for its threads: two are far slower than one on a busy machine
        parts = min(50, *values.shape)
        plane = PCA(parts, random_state=seed).fit_transform(values)
        if len(plane) < 30:
            return Projection("PCA", rows, plane[:, :2].astype(np.float32))
        # PCA orders the axes, so the first two are a good start; perplexity must stay below the number of images
        start = (plane[:, :2] / plane[:, 0].std() * 1e-4).astype(np.float32)
        tsne = TSNE(perplexity=min(30, len(plane) / 4), init=start, random_state=seed, max_iter=500)
        return Projection("t-SNE", rows, tsne.fit_transform(plane).astype(np.float32))
