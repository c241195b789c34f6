"""Images in batches of one size, whatever sizes they come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Codes = Mapping[str, NDArray[np.float32]]


def regrouped(batches: Iterable[NDArray[np.uint8]], size: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield batches of exactly ``size`` images, and how many of them are real; the last one repeats its last image."""
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
    if count:
        rest = np.concatenate(held)
        yield np.concatenate([rest, np.repeat(rest[-1:], size - count, axis=0)]), count


def gathered(stream: Iterable[Codes]) -> dict[str, NDArray[np.float32]]:
    """One array (n, d) a layer from the blocks of a stream."""
    blocks = list(stream)
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]} if blocks else {}
