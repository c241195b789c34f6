"""Near-duplicates: one picture, encoded, resized or cropped differently.

Bit-sampling LSH of perceptual hashes (Indyk and Motwani 1998; Gionis et al. 1999) gives candidate pairs, in time that
grows with the number of images and not with its square. The correlation of their 64 px thumbnails, after alignment,
confirms them. The threshold depends on how similar images of *different* classes are in the same set.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graftwork.core.arrays import Floats, Ints
from graftwork.images.measurements import THUMB_PX, WINDOWS, Measurements

MAX_BITS = 10
"""Maximum number of the 64 bits in which hashes of a candidate pair differ; 99 % of crops by a tenth differ in 8."""
_TABLES = 24
_BUCKET = 64
"""Maximum number of images of one bucket that are paired with one: in frames of one scene these are still enough."""
_NEAREST = 8
"""Maximum number of candidate pairs per image that are compared by pixels."""
LEAST_LIKENESS = 0.85
_MOST_LIKENESS = 0.97
TINY_PX = 24
"""Smaller images are a few blobs: after alignment, any two of a class agree in local contrast. They are compared
without alignment, slightly blurred, by plain correlation, and must agree almost exactly."""
TINY_LIKENESS = 0.994
_COLOURED = 4.0
"""Standard deviation, in grey levels, from which differences of colour channels are more than what JPEG leaves."""
_LEAST_COLOUR = 0.0
"""Colours that correlate less are those of two things. Those of copies correlate by 0.7 or more on real sets, however
they were encoded, resized and cropped, and by 0.4 where somebody changed the colours."""
_REFINE_ABOVE = 0.6
"""A pair whose likeness at 32 px is lower is not aligned at 64 px."""


@dataclasses.dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Pairs of near-duplicates, and the threshold of their likeness."""

    pairs: Ints
    """(m, 2) indices, the smaller first."""
    likeness: Floats
    """(m,) correlation of the aligned thumbnails."""
    threshold: float
    n: int

    @property
    def groups(self) -> Ints:
        """(n,) number of each image's group of near-duplicates; most groups have one image."""
        return components(self.n, self.pairs)


def components(n: int, pairs: Ints) -> Ints:
    """(n,) component of each of n nodes in the graph of pairs."""
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def near_duplicates(measurements: Measurements, labels: Ints, seed: int = 0) -> NearDuplicates:
    """Find the near-duplicates among n images.

    Parameters
    ----------
    labels
        (n,) classes, -1 where unknown: used only for how similar images of different classes are in this set.
    """
    candidates = candidate_pairs(measurements.hashes, measurements.readable, seed)
    pairs, likeness, same_colours = _likeness(measurements, candidates)
    tiny = _tiny(measurements, pairs)
    threshold = likeness_threshold(likeness[~tiny], *labels[pairs[~tiny]].T)
    confirmed = same_colours & (likeness >= np.where(tiny, TINY_LIKENESS, threshold))
    return NearDuplicates(pairs[confirmed], likeness[confirmed], threshold, len(measurements))


def likeness_threshold(likeness: Floats, one: Ints, other: Ints) -> float:
    """The likeness above which a pair is one picture.

    Images of different classes are not near-duplicates (apart from a few wrong labels): so the threshold is halfway
    between the likeness that one in a hundred of their candidate pairs reaches and 1, within fixed bounds.
    """
    apart = likeness[(one != other) & (one >= 0) & (other >= 0)]
    if len(apart) < 20:
        return LEAST_LIKENESS
    return float(np.clip((1 + np.quantile(apart, 0.99)) / 2, LEAST_LIKENESS, _MOST_LIKENESS))


@dataclasses.dataclass(frozen=True, eq=False)
class CandidatePairs:
    """Pairs whose hashes agree: the whole of one image, a window of the other. Each pair occurs once."""

    whole: Ints
    part: Ints
    window: Ints
    bits: Ints


def candidate_pairs(hashes: NDArray[np.uint8], usable: NDArray[np.bool_], seed: int = 0) -> CandidatePairs:
    """Pairs of images of which one resembles the other or a window of it, by their hashes.

    The ``_NEAREST`` most similar pairs of each image are returned.
    """
    index = np.flatnonzero(usable)
    n = len(index)
    if n < 2:
        none = np.zeros(0, np.int64)
        return CandidatePairs(none, none, none, none)
    words = np.ascontiguousarray(hashes[index]).view(np.uint64)[..., 0]  # (n, windows)
    rng = np.random.default_rng(seed)
    key_bits = int(np.clip(np.log2(n) + 1, 8, 20))
    blocks = []
    for _ in range(_TABLES):
        # bit 0 is the mean brightness against the median frequency, the same for nearly every image
        chosen = rng.choice(np.arange(1, 64), key_bits, replace=False)
        blocks += list(_collisions(words, _keys(words, chosen)))
    whole, part, window, bits = (np.concatenate(column) for column in zip(*blocks, strict=True))
    pair = np.minimum(whole, part) * n + np.maximum(whole, part)
    order = np.lexsort((window, bits, pair))
    first = order[np.flatnonzero(np.diff(pair[order], prepend=-1))]
    whole, part, window, bits = whole[first], part[first], window[first], bits[first]
    near = _rank_within(whole, bits) | _rank_within(part, bits)
    return CandidatePairs(index[whole[near]], index[part[near]], window[near], bits[near])


def _keys(words: NDArray[np.uint64], chosen: Ints) -> NDArray[np.uint32]:
    keys = np.zeros(words.shape, np.uint32)
    for bit in chosen:
        keys = (keys << np.uint32(1)) | ((words >> np.uint64(bit)) & np.uint64(1)).astype(np.uint32)
    return keys


def _collisions(words: NDArray[np.uint64], keys: NDArray[np.uint32]) -> Iterator[tuple[Ints, Ints, Ints, Ints]]:
    """Pairs (whole, part, window, differing bits) of one table, in blocks of bounded size."""
    n, windows = words.shape
    order = np.argsort(keys[:, 0], kind="stable")
    # where the images of each key begin: looked up, not searched for
    begin = np.concatenate([[0], np.cumsum(np.bincount(keys[:, 0], minlength=int(keys.max()) + 1))])
    step = max(1, 200_000 // windows)
    for start in range(0, n, step):
        queries = keys[start : start + step].ravel()
        left, right = begin[queries], begin[queries + 1]
        met = np.minimum(right - left, _BUCKET)
        query = np.repeat(np.arange(len(queries)), met)
        turn = np.arange(len(query)) - np.repeat(np.cumsum(met) - met, met)
        # in a crowded bucket each image begins at another place, so that all are linked
        size = (right - left)[query]
        whole = order[left[query] + (turn + query * 7919) % size]
        part, window = start + query // windows, query % windows
        bits = np.bitwise_count(words[whole, 0] ^ words[part, window]).astype(np.int64)
        near = (bits <= MAX_BITS) & (whole != part)
        yield whole[near], part[near], window[near], bits[near]


def _rank_within(image: Ints, bits: Ints) -> NDArray[np.bool_]:
    """Whether a pair is among its image's ``_NEAREST``."""
    order = np.lexsort((bits, image))
    begin = np.searchsorted(image[order], image[order], "left")
    near = np.empty(len(image), np.bool_)
    near[order] = np.arange(len(image)) - begin < _NEAREST
    return near


def _tiny(measurements: Measurements, pairs: Ints) -> NDArray[np.bool_]:
    """(m,) pairs of which one image is too small for its local contrast to tell it from others."""
    longer = np.maximum(measurements.width, measurements.height)[pairs]
    return np.asarray(longer.min(axis=1) < TINY_PX, np.bool_)


def _likeness(measurements: Measurements, candidates: CandidatePairs) -> tuple[Ints, Floats, NDArray[np.bool_]]:
    """The pairs, the smaller index first, the likeness of their thumbnails, and whether their colours agree."""
    pairs = np.stack([candidates.whole, candidates.part], axis=1)
    likeness = np.zeros(len(pairs), np.float32)
    same_colours = np.ones(len(pairs), np.bool_)
    boxes = WINDOWS[candidates.window].reshape(-1, 4)
    tiny = _tiny(measurements, pairs)
    for chosen in (np.flatnonzero(tiny), np.flatnonzero(~tiny)):
        for start in range(0, len(chosen), 256):
            block = chosen[start : start + 256]
            whole, part = (_planes(measurements.thumbnails[pairs[block, side]]) for side in (0, 1))
            if tiny[block[0]]:
                likeness[block] = _correlation(_blurred(part, THUMB_PX / 16), _blurred(whole, THUMB_PX / 16))
            else:
                likeness[block], same_colours[block] = aligned_correlation(part, whole, boxes[block])
    return np.sort(pairs, axis=1), likeness, same_colours


def aligned_correlation(part: Floats, whole: Floats, boxes: NDArray[np.float64]) -> tuple[Floats, NDArray[np.bool_]]:
    """Correlation of local contrast once the box of ``part`` that shows what ``whole`` shows is found.

    Parameters
    ----------
    part, whole
        (m, 3, 64, 64) thumbnails.
    boxes
        (m, 4) where to begin: top, bottom, left, right of the box in ``part``, as fractions.

    Returns
    -------
    (m,) 1 for one picture, whatever its encoding. Local contrast is the thumbnail less its blur, so that neither a
    common background nor a common light makes images alike. And (m,) whether their colours agree as well.
    """
    half, half_whole = _halved(part), _halved(whole)
    grey, grey_whole = _grey(half), _grey(half_whole)
    box = boxes * (THUMB_PX // 2)
    # coarse to fine: blurred, a wrong start by several pixels still slides into place
    for blur, steps in ((2.0, 4), (0.7, 3)):
        box = _slide(_blurred(grey, blur), _blurred(grey_whole, blur), box, steps)
    likeness = _compared(half, half_whole, box)
    same_colours = np.zeros(len(likeness), np.bool_)
    close = likeness > _REFINE_ABOVE
    part, whole, box = part[close], whole[close], 2 * box[close]
    if len(part):
        box = _slide(_grey(part), _grey(whole), box, 2)
        likeness[close] = _compared(part, whole, box)
        same_colours[close] = _same_colours(part, whole, box)
    return likeness, same_colours


def _compared(part: Floats, whole: Floats, boxes: NDArray[np.float64]) -> Floats:
    """(m,) correlation of the local contrast of the boxes of (m, 3, s, s) images with others, edges aside."""
    inside = slice(2, -2)
    view = np.stack([_box(part[:, c], boxes) for c in range(3)], axis=1)
    same_colour = np.abs(part.mean(axis=(2, 3)) - whole.mean(axis=(2, 3))).max(axis=1) < 4
    a, b = _contrast(view)[..., inside, inside], _contrast(whole)[..., inside, inside]
    return _correlation(a, b, flat=same_colour)


def _same_colours(part: Floats, whole: Floats, boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(m,) whether the colours of the boxes of (m, 3, s, s) images are not clearly others: discs have one outline."""
    a = _colours(np.stack([_box(part[:, c], boxes) for c in range(3)], axis=1))
    b = _colours(whole)
    coloured = np.minimum(a.std(axis=(2, 3)).max(axis=1), b.std(axis=(2, 3)).max(axis=1)) >= _COLOURED
    return np.asarray(~coloured | (_correlation(a, b) >= _LEAST_COLOUR), np.bool_)


def _slide(part: Floats, whole: Floats, boxes: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Gauss-Newton steps on the four sides of the boxes, towards the least squared difference up to gain and offset."""
    size = part.shape[1]
    u = ((np.arange(size) + 0.5) / size).astype(np.float32)
    target = whole - whole.mean(axis=(1, 2), keepdims=True)
    power = np.maximum((target**2).sum(axis=(1, 2), keepdims=True), 1e-3)
    for _ in range(steps):
        view = _box(part, boxes)
        centred = view - view.mean(axis=(1, 2), keepdims=True)
        gain = (centred * target).sum(axis=(1, 2), keepdims=True) / power
        residual = (gain * target - centred).reshape(len(part), -1, 1)
        height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
        down = np.gradient(view, axis=1) * (size / height)[:, None, None].astype(np.float32)
        across = np.gradient(view, axis=2) * (size / width)[:, None, None].astype(np.float32)
        sides = [down * (1 - u)[:, None], down * u[:, None], across * (1 - u), across * u]
        slopes = np.stack(sides, axis=1).reshape(len(part), 4, -1)
        normal = slopes @ slopes.transpose(0, 2, 1)
        ridge = 1e-3 * np.trace(normal, axis1=1, axis2=2) / 4 + 1e-3
        step = np.linalg.solve(normal + np.eye(4) * ridge[:, None, None], slopes @ residual)[..., 0]
        boxes = np.clip(boxes + np.clip(step, -1.5, 1.5), -0.05 * size, 1.05 * size)
        # never less than three quarters of the image: a copy shows most of the picture
        middle = (boxes[:, ::2] + boxes[:, 1::2]) / 2
        reach = np.maximum(boxes[:, 1::2] - boxes[:, ::2], 0.75 * size) / 2
        boxes = np.stack([middle - reach, middle + reach], axis=2).reshape(-1, 4)
    return boxes


def _box(images: Floats, boxes: NDArray[np.float64]) -> Floats:
    """(m, s, s) bilinear view of the box of each of (m, s, s) images; boxes are in pixels."""
    size = images.shape[1]
    u = (np.arange(size) + 0.5) / size
    ys = np.clip(boxes[:, :1] + (boxes[:, 1:2] - boxes[:, :1]) * u - 0.5, 0, size - 1)
    xs = np.clip(boxes[:, 2:3] + (boxes[:, 3:4] - boxes[:, 2:3]) * u - 0.5, 0, size - 1)
    # separable: two products with dense weights beat gathering four neighbours
    return np.asarray(_weights(ys, size) @ images @ _weights(xs, size).transpose(0, 2, 1), np.float32)


def _weights(places: NDArray[np.float64], size: int) -> Floats:
    """(m, s, s) linear interpolation at places (m, s) on a line of s pixels."""
    weights = places[:, :, None].astype(np.float32) - np.arange(size, dtype=np.float32)
    np.abs(weights, out=weights)
    np.subtract(1, weights, out=weights)
    return np.maximum(weights, 0, out=weights)


def _planes(thumbnails: NDArray[np.uint8]) -> Floats:
    """(m, s, s, 3) bytes to (m, 3, s, s) float32."""
    return np.ascontiguousarray(thumbnails.transpose(0, 3, 1, 2), np.float32)


def _grey(images: Floats) -> Floats:
    """(m, 3, s, s) to (m, s, s)."""
    return np.asarray((images[:, 0] + images[:, 1] + images[:, 2]) / np.float32(3), np.float32)


def _halved(images: Floats) -> Floats:
    rows = images[..., ::2, :] + images[..., 1::2, :]
    return np.asarray((rows[..., ::2] + rows[..., 1::2]) / np.float32(4), np.float32)


@functools.cache
def _blur_operator(size: int, sigma: float) -> Floats:
    return np.asarray(gaussian_filter1d(np.eye(size), sigma, axis=0), np.float32)


def _blurred(images: Floats, sigma: float) -> Floats:
    """(..., s, s) images blurred; as two matrix products, which at these sizes beat a filter."""
    operator = _blur_operator(images.shape[-1], sigma)
    return np.asarray(operator @ images @ operator.T, np.float32)


def _contrast(images: Floats) -> Floats:
    """(..., s, s) less their blur over a sixteenth of a side."""
    return images - _blurred(images, images.shape[-1] / 16)


def _colours(images: Floats) -> Floats:
    """(m, 3, s, s) to (m, 2, s - 4, s - 4): red less green and green less blue, blurred, each less its mean."""
    colours = _blurred(images[:, :2] - images[:, 1:], images.shape[-1] / 16)[..., 2:-2, 2:-2]
    return np.asarray(colours - colours.mean(axis=(2, 3), keepdims=True), np.float32)


def _correlation(a: Floats, b: Floats, flat: NDArray[np.bool_] | bool = False) -> Floats:
    """(m,) correlation of (m, ...) arrays, and ``flat`` where neither has any contrast to correlate."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    power_a, power_b = (a**2).mean(axis=1), (b**2).mean(axis=1)
    empty = (power_a < 0.25) & (power_b < 0.25)  # half a grey level: nothing but rounding
    r = (a * b).mean(axis=1) / np.sqrt(np.maximum(power_a * power_b, 1e-6))
    return np.where(empty, flat, r).astype(np.float32)
