"""Measures how far an exported file is from the model that it was made of; ``parity`` judges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from graftwork.errors import ModelError
from graftwork.listener import Listener
from graftwork.model.load import load, load_in_float32
from graftwork.model.predict import Model
from graftwork.ship.export_facts import ExportFacts
from graftwork.ship.export_pictures import pictures
from graftwork.ship.exported import ExportedFile
from graftwork.ship.parity import LARGEST, MEDIAN, Parity, distance

_AT_ONCE = 8
"""Pictures in memory at a time: some are large."""


def prove(file: ExportedFile, facts: ExportFacts, folder: Path, images: Sequence[bytes], listener: Listener) -> Parity:
    """Compare a file with the model of a folder in float32, on pictures made of images.

    One in 8 bits may differ: what it changes was measured and judged before (``core.int8``).

    Raises
    ------
    ModelError
        When the file is not the model: it must not be used.
    """
    reference = load_in_float32(folder)
    own = _on_own_engine(folder, reference)
    waiting = pictures(images, facts.preprocess)
    rows, expected, by_run = [], [], []
    while batch := list(islice(waiting, _AT_ONCE)):
        expected.append(reference.probabilities(batch))
        rows.append(np.stack([file.probabilities(picture, facts) for picture in batch]))
        if own is not None:
            by_run.append(own.probabilities(batch))
        listener.progress(sum(map(len, rows)), 3 * len(images))
    right = np.concatenate(expected)
    parity = Parity(
        pictures=len(right),
        images=len(images),
        runtime=file.runtime,
        file=distance(np.concatenate(rows), right),
        engine=reference.fitted.engine,
        run=distance(np.concatenate(by_run), right) if by_run else None,
    )
    if not parity.holds and facts.int8 is None:
        raise ModelError(
            f"an exported file must give the probabilities of the model (at most {LARGEST} off, half of them at most "
            f"{MEDIAN}, the same classes), but this one does not, and was not written: {parity.in_words}; use "
            "--input fixed, or another --backbone"
        )
    return parity


def _on_own_engine(folder: Path, reference: Model) -> Model | None:
    """The model on the engine of its run; None where that is the reference's, or this machine does not have it."""
    model = load(folder, check=False)
    return model if model.engine == model.fitted.engine != reference.engine else None
