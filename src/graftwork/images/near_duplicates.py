"""Near-duplicates: images that are one picture, encoded, resized or cropped differently.

A perceptual hash nominates pairs (in bands of sampled bits, so that time grows with the number of images and
not with its square); the correlation of their 64 px thumbnails, after one is laid over the other, confirms them;
and what counts as confirmed is judged against how alike images of *different* classes are in the same set.
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

from graftwork.images.measurements import THUMB_PX, WINDOWS, Measurements

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

MAX_BITS = 10
"""A nominated pair's hashes differ in at most so many of 64 bits (99 % of crops by up to a tenth differ in 8)."""
_TABLES = 24
_BUCKET = 64
"""At most so many images of one bucket meet: in a set of frames of one scene each still meets enough others."""
_NEAREST = 8
"""At most so many nominated pairs an image are compared by pixels."""
LEAST_LIKENESS = 0.85
_MOST_LIKENESS = 0.97
TINY_PX = 24
"""Smaller images are a handful of blobs: laid over one another, any two of a kind agree in local contrast. They
are compared as they lie, a little blurred, by plain correlation, and must agree all but exactly."""
TINY_LIKENESS = 0.994
_REFINE_ABOVE = 0.6
"""At 32 px a pair that is less alike than this is not aligned at 64 px."""


@dataclasses.dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Pairs of near-duplicates, and the threshold that made them such."""

    pairs: Ints
    """(m, 2) indices, the smaller first."""
    likeness: Floats
    """(m,) correlation of the aligned thumbnails."""
    threshold: float
    n: int

    @property
    def groups(self) -> Ints:
        """(n,) number of each image's group of near-duplicates; most are alone in theirs."""
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
        (n,) classes, -1 where unknown: they tell how alike images of different classes are here, nothing else.
    """
    nominated = nominate(measurements.hashes, measurements.readable, seed)
    pairs, likeness = _likeness(measurements, nominated)
    tiny = _tiny(measurements, pairs)
    threshold = judge(likeness[~tiny], *labels[pairs[~tiny]].T)
    confirmed = likeness >= np.where(tiny, TINY_LIKENESS, threshold)
    return NearDuplicates(pairs[confirmed], likeness[confirmed], threshold, len(measurements))


def judge(likeness: Floats, one: Ints, other: Ints) -> float:
    """The likeness from which on a pair is one picture.

    Images of different classes are not near-duplicates (but for a few wrong labels): so the threshold lies halfway
    between the likeness that one in a hundred of their nominated pairs reaches and 1, and within fixed bounds.
    """
    apart = likeness[(one != other) & (one >= 0) & (other >= 0)]
    if len(apart) < 20:
        return LEAST_LIKENESS
    return float(np.clip((1 + np.quantile(apart, 0.99)) / 2, LEAST_LIKENESS, _MOST_LIKENESS))


@dataclasses.dataclass(frozen=True, eq=False)
class CandidatePairs:
    """Pairs whose hashes agree: one image as a whole, the other in one of its windows. Each pair stands once."""

    whole: Ints
    part: Ints
    window: Ints
    bits: Ints


def nominate(hashes: NDArray[np.uint8], usable: NDArray[np.bool_], seed: int = 0) -> CandidatePairs:
    """Pairs of images of which one resembles the other or a window of it, by their hashes.

    Of each image the ``_NEAREST`` resembling most are kept.
    """
    index = np.flatnonzero(usable)
    n = len(index)
    if n < 2:
        none = np.zeros(0, np.int64)
        return CandidatePairs(none, none, none, none)
    words = np.ascontiguousarray(hashes[index]).view(np.uint64)[..., 0]  # (n, windows)
    rng = np.random.default_rng(seed)
    key_bits = int(np.clip(np.log2(n) + 1, 8, 20))
    found = []
    for _ in range(_TABLES):
        # bit 0 is the mean brightness against the median frequency, the same for nearly every image
        chosen = rng.choice(np.arange(1, 64), key_bits, replace=False)
        found += list(_meetings(words, _keys(words, chosen)))
    whole, part, window, bits = (np.concatenate(column) for column in zip(*found, strict=True))
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


def _meetings(words: NDArray[np.uint64], keys: NDArray[np.uint32]) -> Iterator[tuple[Ints, Ints, Ints, Ints]]:
    """Pairs (whole, part, window, differing bits) of one table, in blocks of bounded size."""
    n, windows = words.shape
    order = np.argsort(keys[:, 0], kind="stable")
    ordered = keys[order, 0]
    step = max(1, 200_000 // windows)
    for start in range(0, n, step):
        asked = keys[start : start + step].ravel()
        left, right = np.searchsorted(ordered, asked, "left"), np.searchsorted(ordered, asked, "right")
        met = np.minimum(right - left, _BUCKET)
        asking = np.repeat(np.arange(len(asked)), met)
        turn = np.arange(len(asking)) - np.repeat(np.cumsum(met) - met, met)
        # in a crowded bucket each image begins elsewhere, so that all are linked
        size = (right - left)[asking]
        whole = order[left[asking] + (turn + asking * 7919) % size]
        part, window = start + asking // windows, asking % windows
        bits = _popcount(words[whole, 0] ^ words[part, window])
        near = (bits <= MAX_BITS) & (whole != part)
        yield whole[near], part[near], window[near], bits[near]


def _popcount(words: NDArray[np.uint64]) -> Ints:
    words = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    words = (words & pairs) + ((words >> np.uint64(2)) & pairs)
    words = (words + (words >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((words * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)


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


def _likeness(measurements: Measurements, nominated: CandidatePairs) -> tuple[Ints, Floats]:
    """The pairs, the smaller index first, and how alike their thumbnails are."""
    pairs = np.stack([nominated.whole, nominated.part], axis=1)
    likeness = np.zeros(len(pairs), np.float32)
    boxes = WINDOWS[nominated.window].reshape(-1, 4)
    tiny = _tiny(measurements, pairs)
    for chosen in (np.flatnonzero(tiny), np.flatnonzero(~tiny)):
        for start in range(0, len(chosen), 256):
            block = chosen[start : start + 256]
            whole, part = (_planes(measurements.thumbnails[pairs[block, side]]) for side in (0, 1))
            if tiny[block[0]]:
                likeness[block] = _correlation(_blurred(part, THUMB_PX / 16), _blurred(whole, THUMB_PX / 16))
            else:
                likeness[block] = aligned_correlation(part, whole, boxes[block])
    return np.sort(pairs, axis=1), likeness


def aligned_correlation(part: Floats, whole: Floats, boxes: NDArray[np.float64]) -> Floats:
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
    common background nor a common light makes images alike.
    """
    half, half_whole = _halved(part), _halved(whole)
    grey, grey_whole = _grey(half), _grey(half_whole)
    found = boxes * (THUMB_PX // 2)
    # coarse to fine: blurred, a wrong start by several pixels still slides into place
    for blur, steps in ((2.0, 4), (0.7, 3)):
        found = _slide(_blurred(grey, blur), _blurred(grey_whole, blur), found, steps)
    likeness = _compared(half, half_whole, found)
    close = likeness > _REFINE_ABOVE
    part, whole, found = part[close], whole[close], 2 * found[close]
    if len(part):
        found = _slide(_grey(part), _grey(whole), found, 2)
        likeness[close] = _compared(part, whole, found)
    return likeness


def _compared(part: Floats, whole: Floats, boxes: NDArray[np.float64]) -> Floats:
    """(m,) correlation of the local contrast of the boxes of (m, 3, s, s) images with others, edges aside."""
    inside = slice(2, -2)
    view = np.stack([_box(part[:, c], boxes) for c in range(3)], axis=1)
    same_colour = np.abs(part.mean(axis=(2, 3)) - whole.mean(axis=(2, 3))).max(axis=1) < 4
    a, b = _contrast(view)[..., inside, inside], _contrast(whole)[..., inside, inside]
    return _correlation(a, b, flat=same_colour)


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


def _correlation(a: Floats, b: Floats, flat: NDArray[np.bool_] | bool = False) -> Floats:
    """(m,) correlation of (m, ...) arrays, and ``flat`` where neither has any contrast to correlate."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    power_a, power_b = (a**2).mean(axis=1), (b**2).mean(axis=1)
    empty = (power_a < 0.25) & (power_b < 0.25)  # half a grey level: nothing but rounding
    r = (a * b).mean(axis=1) / np.sqrt(np.maximum(power_a * power_b, 1e-6))
    return np.where(empty, flat, r).astype(np.float32)
