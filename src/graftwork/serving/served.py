"""The model that a service loaded when it started, and what it says of it; its folder may change under it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import graftwork
from graftwork.backbones.openvino_engine import FEW
from graftwork.core.options import ServeOptions
from graftwork.errors import ModelError
from graftwork.files import sha256_of
from graftwork.model.folder import MANIFEST, model_folder
from graftwork.model.load import load
from graftwork.serving.accepting import WORDS
from graftwork.serving.answers import About, Health, TestFigures
from graftwork.ship.training_images import NearestImages, nearest_images

if TYPE_CHECKING:
    from graftwork.model.predict import Model
    from graftwork.ship.explain import Explainer


class Served:
    """A loaded model and where it came from.

    Raises
    ------
    ModelError
        As ``load`` does; and when training images are to be shown that the folder does not hold.
    """

    def __init__(self, folder: Path, options: ServeOptions) -> None:
        self._manifest = model_folder(folder).resolve() / MANIFEST
        self.model = load(folder, batch_sizes=FEW)
        self._sha256 = sha256_of(self._manifest)
        self.training_images = self._nearest_images(folder) if options.show_training_images else None
        self.explainer = _explainer(folder, self.model) if options.explain else None
        self.about = self._describe(options)

    def health(self, *, stopping: bool) -> Health:
        """Return whether the folder still holds the model that answers."""
        try:
            same = sha256_of(self._manifest) == self._sha256
            folder = "unchanged" if same else "changed"
        except OSError:
            folder = "gone"
        advice = {
            "unchanged": "",
            "changed": "the folder holds another model now, and the one that was loaded answers; restart to load it",
            "gone": "the folder is gone, and the model that was loaded answers; put it back before a restart",
        }[folder]
        return Health("stopping" if stopping else "ok", folder, advice)

    def _nearest_images(self, folder: Path) -> NearestImages:
        near = nearest_images(folder, self.model.novelty)
        if isinstance(near, str):
            raise ModelError(f"--show-training-images needs the images that {folder} was trained on, but {near}")
        return near

    def _describe(self, options: ServeOptions) -> About:
        model, manifest = self.model, self.model.about
        card, test = model.fitted.card, manifest.get("test")
        place = self._manifest.parent
        return About(
            name=place.parent.name if place.name == "model" else place.name,
            version=graftwork.__version__,
            trained_with=str(manifest.get("versions", {}).get("graftwork", "unknown")),
            created=str(manifest.get("created", "unknown")),
            classes=list(model.classes),
            network=card.name,
            layers=[tap.name for tap in model.fitted.taps],
            engine=model.engine,
            licence=card.licence,
            data_terms=card.data_terms,
            test=None if test is None else TestFigures(**test),
            novelty=model.novelty is not None and model.novelty.can_flag(options.novelty_rate),
            shows_training_images=self.training_images is not None,
            explains=self.explainer is not None,
            max_upload_mb=options.max_upload_mb,
            max_megapixels=options.max_megapixels,
            formats=WORDS,
        )


def _explainer(folder: Path, model: Model) -> Explainer:
    from graftwork.ship.explain import Explainer  # which imports torch

    return Explainer(folder, model)
