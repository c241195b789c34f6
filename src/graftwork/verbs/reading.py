"""Which network, read where and how: what the user asked for becomes something that gives codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from graftwork.codes.extract import Dtype, Engine, LayerCodes, Progress, Reading, extract
from graftwork.codes.store import Store
from graftwork.core.facts import Aspect, Intensity, Relu
from graftwork.core.plans import Candidate
from graftwork.core.rules import Finding
from graftwork.errors import UsageError
from graftwork.images.imageset import ImageSet


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a user can decide about reading a network; None leaves it to the card."""

    backbone: str = "auto"
    layers: str = "auto"
    """Names of layers separated by commas, ``last``, or ``auto`` and ``all`` for all that the card lists."""
    aspect: Aspect | None = None
    input_px: int | None = None
    intensity: Intensity = "dataset"
    pool: Literal["average", "max"] = "average"
    relu: Relu = "auto"
    views: int = 1
    dtype: Dtype = "float16"


@dataclasses.dataclass(frozen=True, eq=False)
class Opened:
    """A network that is ready to be read, loaded only when a code is missing."""

    reading: Reading
    engine: Callable[[], Engine]
    store: Store
    findings: tuple[Finding, ...]

    def codes(self, images: ImageSet, progress: Progress | None = None) -> LayerCodes:
        """Return the codes of images at every layer, computed where the store lacks them."""
        return extract(images, self.reading, self.engine, self.store, progress=progress)

    def body(self):
        from graftwork.backbones.load import load
        return {k: v.numpy() for k, v in load(self.reading.card).state_dict().items()}

    def write_engine(self, taps):
        def write(folder):
            import openvino as ov
            from graftwork.backbones import thin
            m = thin.convert(self.reading.card)
            names = [t.name for t in self.reading.card.taps]
            sub = ov.Model([m.output(names.index(t.name)) for t in taps], m.get_parameters())
            ov.save_model(sub, folder / "network.xml", compress_to_fp16=False)
        return write

    def cost(self, candidate: Candidate) -> float:
        """Billions of multiply-accumulates to predict one image, but for the head.

        All layers of a network cost the same: its codes come from one forward pass, whichever is read.
        """
        card = self.reading.card
        return (card.gmacs or 1.0) * candidate.views


def open_backbone(asked, looked, *, listener):
    from graftwork.backbones import thin
    from graftwork.backbones.describe import described
    from graftwork.backbones.load import load
    import functools
    card = thin.find_card(asked.backbone)
    pre = card.preprocess
    pre = dataclasses.replace(pre, aspect=asked.aspect or pre.aspect, input_px=asked.input_px or pre.input_px, intensity=asked.intensity, intensity_range=getattr(looked, "intensity_range", None))
    card = described(dataclasses.replace(card, preprocess=pre))
    names = [t.name for t in card.taps]
    if asked.layers == "last":
        card = dataclasses.replace(card, taps=card.taps[-1:])
    elif asked.layers not in ("auto", "all"):
        wanted = asked.layers.split(",")
        missing = [w for w in wanted if w not in names]
        if missing:
            raise UsageError(f"the layers of {card.name} are {', '.join(names)}; got {missing[0]}")
        card = dataclasses.replace(card, taps=tuple(t for t in card.taps if t.name in wanted))
    model = functools.cache(lambda: thin.convert(card))
    engine = lambda: thin.ThinEngine(model(), tuple(t.name for t in card.taps))
    opened = Opened(Reading(card, "openvino fp32", asked.pool, asked.relu, asked.views, asked.dtype), engine, Store(), ())
    return opened
