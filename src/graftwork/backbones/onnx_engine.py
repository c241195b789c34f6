"""Pixels to codes with onnxruntime on a CPU: for figures of a file that it will run; nothing chooses it for a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.batches import Codes, regrouped

BATCH = 4
"""Images at a time; always as many, so that the codes of one do not depend on the others."""


class OnnxEngine:
    """An opened session: pixels (n, px, px, 3) uint8 in, codes (n, d) float32 of its layers out.

    Parameters
    ----------
    session
        An ``onnxruntime.InferenceSession`` whose outputs have the names of layers.
    name
        Of the engine; part of what codes depend on.
    """

    def __init__(self, session: Any, name: str) -> None:
        self.name = name
        self.names: tuple[str, ...] = tuple(output.name for output in session.get_outputs())
        self._session = session
        self._input = session.get_inputs()[0].name

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Codes]:
        """Codes of all images in order, batch by batch."""
        for pixels, real in regrouped(batches, (BATCH,)):
            codes = self._session.run(None, {self._input: pixels})
            yield {name: values[:real] for name, values in zip(self.names, codes, strict=True)}
