"""Codes as the solver wants them: read block by block, standardised, one row per feature, shared out to threads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import scipy.linalg
from numpy.typing import DTypeLike, NDArray

from graftwork.core.arrays import Floats
from graftwork.core.plans import Normalise
from graftwork.errors import DataError
from graftwork.linear.threads import share, threads

Result = TypeVar("Result")

_READ_IMAGES = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """Images of codes, and what is penalised."""

    blocks: tuple[Floats, ...]
    """(d, some images) each, C-contiguous: one for each thread. The last row of each, all ones, carries the
    intercepts."""
    penalty: Floats
    """(d,): 1 where the weight is penalised, 0 where it is not."""
    gram: Floats
    """(d, d), upper triangle: sum over images of weight * x x'."""

    @property
    def features(self) -> int:
        """Length of a weight, the intercept included."""
        return len(self.penalty)

    def forward(self, weights: Floats) -> Floats:
        """Margins (columns, n) that weights (columns, d) give."""
        gemm = scipy.linalg.get_blas_funcs("gemm", (weights,))
        # BLAS counts columns first: it takes and gives the transposes of C-contiguous arrays without a copy
        margins = self._each(lambda block, _: gemm(1.0, block.T, weights.T).T)
        return margins[0] if len(margins) == 1 else np.concatenate(margins, axis=1)

    def backward(self, slopes: Floats) -> Floats:
        """Sums (columns, d) over images of slopes (columns, n) times codes."""
        gemm = scipy.linalg.get_blas_funcs("gemm", (slopes,))

        def sums(block: Floats, images: slice) -> Floats:
            some: Floats = gemm(1.0, block.T, np.ascontiguousarray(slopes[:, images]).T, trans_a=True).T
            return some

        return _total(self._each(sums))

    def _each(self, work: Callable[[Floats, slice], Result]) -> list[Result]:
        """Call ``work`` with every block and the images it holds."""
        return each_block(self.blocks, work)


@dataclasses.dataclass(frozen=True, eq=False)
class StandardisedDesign:
    """A design and the way back to the codes it was made from."""

    design: Design
    shift: Floats
    """(d,) taken from the codes, before ..."""
    scale: Floats
    """(d,) ... they are multiplied; 0 drops a constant column."""
    basis: Floats | None
    """(d, r) orthonormal columns that span the images, where there are fewer images than features: weights outside
    would only cost."""

    def unfold(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weights (k, r + 1) of the design as weight (k, d) and bias (k,) on the codes themselves."""
        inner, bias = weights[:, :-1], weights[:, -1]
        if self.basis is not None:
            inner = inner @ self.basis.T
        weight = inner * self.scale
        return weight, bias - (weight.astype(np.float64) @ self.shift.astype(np.float64)).astype(bias.dtype)


def prepare(
    x: Floats,
    *,
    normalise: Normalise | None,
    sample_weight: Floats | None = None,
    dtype: DTypeLike = np.float32,
) -> StandardisedDesign:
    """Read codes (n, d) of any float type into a design of ``dtype``.

    Parameters
    ----------
    normalise
        ``standard`` (mean 0, variance 1 in every column), ``l2`` (rows of length 1) or nothing.

    Raises
    ------
    DataError
        A code is not finite.
    """
    n, d = x.shape
    parts = threads() if n * d > _READ_IMAGES * 1024 else 1
    blocks = tuple(np.empty((d + 1, len(images)), dtype) for images in np.array_split(np.arange(n), parts))
    each_block(blocks, lambda block, images: _read(x[images], block, normalise == "l2"))
    shift, scale = _standardise([block[:-1] for block in blocks], normalise == "standard")
    basis = None
    if d > n:
        rows = np.concatenate([block[:-1] for block in blocks], axis=1)
        basis, inner = scipy.linalg.qr(rows, mode="economic", overwrite_a=True, check_finite=False)
        blocks = (np.concatenate([inner, np.ones((1, n), inner.dtype)]),)
    penalty = np.ones(len(blocks[0]), blocks[0].dtype)
    penalty[-1] = 0
    return StandardisedDesign(Design(blocks, penalty, _gram(blocks, sample_weight)), shift, scale, basis)


def each_block(blocks: tuple[Floats, ...], work: Callable[[Floats, slice], Result]) -> list[Result]:
    """Call ``work`` with every block (d, some images) and the images it holds, side by side."""
    ends = np.cumsum([0, *(block.shape[1] for block in blocks)])

    def one(part: slice) -> Result:
        return work(blocks[part.start], slice(int(ends[part.start]), int(ends[part.start + 1])))

    return share(one, len(blocks), block=1)


def _total(arrays: list[Floats]) -> Floats:
    total, *rest = arrays
    for array in rest:
        total += array
    return total


def _read(x: Floats, block: Floats, unit_length: bool) -> None:
    """Fill a block (d + 1, n) with codes (n, d) and a row of ones."""
    for begin in range(0, len(x), _READ_IMAGES):
        some = np.asarray(x[begin : begin + _READ_IMAGES], block.dtype)
        if unit_length:
            some = some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-12)
        block[:-1, begin : begin + len(some)] = some.T
    block[-1] = 1


def _standardise(blocks: list[Floats], standard: bool) -> tuple[Floats, Floats]:
    """Centre and scale blocks (d, some images) in place if asked, zero constant features; return shift and scale."""
    each = tuple(blocks)
    n = sum(block.shape[1] for block in each)
    mean = _total(each_block(each, lambda block, _: block.sum(axis=1, dtype=np.float64))) / n
    if not np.isfinite(mean).all():
        column = int(np.flatnonzero(~np.isfinite(mean))[0])
        raise DataError(f"codes must be finite, found nan or infinity in column {column}: extract them again")
    least = np.min(each_block(each, lambda block, _: block.min(axis=1)), axis=0)
    most = np.max(each_block(each, lambda block, _: block.max(axis=1)), axis=0)
    shift, scale = np.zeros_like(least), np.ones_like(least)
    if standard:
        shift = mean.astype(least.dtype)

        def centre(block: Floats, _: slice) -> Floats:
            block -= shift[:, None]
            squares: Floats = np.einsum("dn,dn->d", block, block)
            return squares

        deviation = np.sqrt(_total(each_block(each, centre)) / n)
        scale = 1 / np.where(deviation > 0, deviation, 1)
    scale[least == most] = 0

    def stretch(block: Floats, _: slice) -> None:
        block *= scale[:, None]

    each_block(each, stretch)
    return shift, scale


def _gram(blocks: tuple[Floats, ...], sample_weight: Floats | None) -> Floats:
    """Upper triangle (d, d) of the sum over images of weight * x x'."""
    syrk = scipy.linalg.get_blas_funcs("syrk", (blocks[0],))
    root = None if sample_weight is None else np.sqrt(sample_weight).astype(blocks[0].dtype)

    def upper(block: Floats, images: slice) -> NDArray[np.floating]:
        some = block if root is None else block * root[images]
        triangle: Floats = syrk(1.0, some.T, trans=True)
        return triangle

    return _total(each_block(blocks, upper))
