"""Images in batches of certain sizes, whatever sizes they come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Codes = Mapping[str, NDArray[np.float32]]


def regrouped(batches: Iterable[NDArray[np.uint8]], sizes: Sequence[int]) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield batches of certain sizes, and how many of their images are real.

    All are of the largest size but those of the rest, each of the largest size that it fills; one that fills none
    repeats its last image.
    """
    size = max(sizes)
    held: list[NDArray[np.uint8]] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += len(batch)
        if count >= size:
            joined = np.concatenate(held) if len(held) > 1 else batch
            whole = count - count % size
            for begin in range(0, whole, size):
                yield np.ascontiguousarray(joined[begin : begin + size]), size
            held = [joined[whole:]] if whole < count else []
            count -= whole
    rest = np.concatenate(held) if count else np.zeros(0, np.uint8)
    while len(rest):
        size = max((fills for fills in sizes if fills <= len(rest)), default=min(sizes))
        batch, rest = rest[:size], rest[size:]
        yield np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)]), len(batch)


def gathered(stream: Iterable[Codes]) -> dict[str, NDArray[np.float32]]:
    """One array (n, d) a layer from the blocks of a stream."""
    blocks = list(stream)
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]} if blocks else {}
