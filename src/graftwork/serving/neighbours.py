"""The training images nearest to an image, as the thumbnails that its run has of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graftwork.core.arrays import Floats
from graftwork.errors import ModelError
from graftwork.model.novelty import Novelty, reference_rows
from graftwork.model.predict import Model
from graftwork.reporting.thumbnails import data_uri
from graftwork.runfolder import read_run
from graftwork.serving.answers import Neighbour


class TrainingImages:
    """Those that the run has thumbnails of.

    Raises
    ------
    ModelError
        When the folder is no run, or the model has no codes of its training images.
    """

    def __init__(self, folder: Path, model: Model) -> None:
        run = read_run(folder)
        if model.novelty is None:
            raise ModelError(
                f"{folder} must hold the codes of its training images for them to be shown, but its network was tuned "
                "on them; serve it without --show-training-images"
            )
        self._novelty: Novelty = model.novelty
        rows = run.develop[reference_rows(len(run.develop), run.seed)]
        thumbnails = [data_uri(folder / "thumbnails", run.images.digests[row]) for row in rows]
        self._shown = np.flatnonzero([bool(uri) for uri in thumbnails])
        self._of = {int(i): (run.images.labels[rows[i]], thumbnails[i]) for i in self._shown}
        if not self._of:
            raise ModelError(
                f"{folder} must have thumbnails of its training images for them to be shown, but has none; serve it "
                "without --show-training-images"
            )

    def nearest(self, code: Floats, k: int) -> list[Neighbour]:
        """Return the training images nearest to a code (d,), the nearest first."""
        near = self._novelty.nearest(code, self._shown, k)
        return [Neighbour(self._of[i][0], round(cosine, 4), self._of[i][1]) for i, cosine in near]
