"""What the codes of a network's source are like, for advice on other people's images; published with the network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from graftwork.advice.similarity import classifier_of, profile_of
from graftwork.advice.sources import save_profile
from graftwork.backbones.zoo_folder import PROFILE, ZOO, zoo_folder
from graftwork.core.figures import counted
from graftwork.core.options import ExtractionOptions
from graftwork.core.shown import Fact, Shown
from graftwork.errors import BackboneError
from graftwork.images.read import read_images
from graftwork.listener import Listener
from graftwork.progress import Stages
from graftwork.steps.backbones import open_backbone

MOST_IMAGES = 2000
"""Of a source that are looked at, drawn at random."""


@dataclasses.dataclass(frozen=True, repr=False)
class Profiled(Shown):
    """A profile that was measured."""

    name: str
    images: int
    entropy: float
    """Mean entropy of the network's own classifier on them, in nats; NaN where it has none."""
    path: str

    def _facts(self) -> tuple[Fact, ...]:
        return (
            Fact("", f"{self.name}, {counted(self.images, 'image')} of its source"),
            Fact("entropy", f"{self.entropy:.2f} nats"),
            Fact("profile", self.path),
        )


def profile(
    name: str, data: str | Path, *, source: str | None = None, seed: int = 0, listener: Listener | None = None
) -> Profiled:
    """Measure what the codes of a network's source are like, from images of its pretraining data.

    Parameters
    ----------
    name
        A network of the user's zoo.
    data
        Images of the source, as ``train`` takes them; labels change nothing.
    source
        What they are, in words; None takes the name of the folder.

    Raises
    ------
    GraftError
        When the network or the images cannot be read.

    Examples
    --------
    >>> graftwork.zoo.profile("tiny", "photos").images
    45
    """
    name = name.removeprefix(ZOO)
    stages = Stages(listener)
    with stages.stage("images"):
        every = read_images(data)
        images = every.take(np.sort(np.random.default_rng(seed).permutation(len(every))[:MOST_IMAGES]))
    with stages.stage("backbone"):
        backbone = open_backbone(f"{ZOO}{name}", ExtractionOptions(), images, listener=stages.listener)
    with stages.stage("codes"):
        codes = backbone.codes(images, stages.listener)
        card = backbone.card
        made = profile_of(
            {tap.name: codes.of([tap.name]) for tap in card.taps},
            classifier_of(backbone.body(), card.taps[-1].channels),
            network=card.name,
            weights_sha256=card.weights_sha256 or "",
            input_px=card.preprocess.input_px,
            source=source or Path(data).name,
            digests=tuple(map(str, images.digests)),
            seed=seed,
        )
    if not all(np.isfinite(values).all() for values in made.means.values()):
        raise BackboneError(
            f"{name} must give finite codes, but gives others on {data}; its preprocessing must be wrong: look at it "
            "with `graft zoo show`, and import the network again"
        )
    path = zoo_folder() / name / PROFILE
    save_profile(made, path)
    return Profiled(name, made.images, made.entropy, str(path))
