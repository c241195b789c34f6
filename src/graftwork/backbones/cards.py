"""Pure arithmetic on cards: another input, some of the layers, other pooling."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from graftwork.core.facts import Aspect, BackboneCard, Intensity, Pool, Relu
from graftwork.core.options import AUTO
from graftwork.errors import BackboneError, did_you_mean

LAST = "last"
"""Stands for the input of the network's own classifier, whatever that layer is called."""


def with_input(
    card: BackboneCard, *, input_px: int | None = None, aspect: Aspect | None = None, intensity: Intensity | None = None
) -> BackboneCard:
    """Return the card with another input; ``gmacs`` is scaled as for a convolutional network."""
    old = card.preprocess
    new = dataclasses.replace(
        old, input_px=input_px or old.input_px, aspect=aspect or old.aspect, intensity=intensity or old.intensity
    )
    scale = (new.input_px / old.input_px) ** 2
    gmacs = None if card.gmacs is None else round(card.gmacs * scale, 3)
    return dataclasses.replace(card, preprocess=new, gmacs=gmacs)


def with_layers(card: BackboneCard, names: Sequence[str]) -> BackboneCard:
    """Return the card with some of its layers only, in the card's order; ``last`` is the input of its own classifier.

    Raises
    ------
    BackboneError
        When it has no such layer.
    """
    known = [tap.name for tap in card.taps]
    chosen = {known[-1] if name in (LAST, "pooled") and name not in known else name for name in names}
    for name in sorted(chosen - set(known)):
        hint = did_you_mean(name, known, 1)
        raise BackboneError(f"{card.name} must have the layer {name}, but has none{hint}; it has {', '.join(known)}")
    return dataclasses.replace(card, taps=tuple(tap for tap in card.taps if tap.name in chosen))


def layer_names(card: BackboneCard, layers: str) -> tuple[str, ...]:
    """Return the layers that a user names: ``auto`` or ``all``, ``last``, or names separated by commas.

    Raises
    ------
    BackboneError
        When the card has no such layer.
    """
    names = named_layers(layers)
    return tuple(tap.name for tap in (with_layers(card, names) if names else card).taps)


def named_layers(layers: str) -> tuple[str, ...]:
    """Return the names in ``layers``; none where it is ``auto`` or ``all``."""
    return () if layers in (AUTO, "all") else tuple(name.strip() for name in layers.split(","))


def with_pooling(card: BackboneCard, *, pool: Pool = "average", relu: Relu = "auto") -> BackboneCard:
    """Return the card with other codes of its layers.

    Parameters
    ----------
    pool
        How a layer with a spatial extent becomes one vector; class tokens and vectors stay as they are.
    relu
        ``before`` takes the codes of layers that end in a ReLU before it; ``auto`` and ``after`` as the network has
        them. Where a network has no ReLU, nothing is thresholded.
    """
    taps = (
        dataclasses.replace(
            tap, pool=pool if tap.pool in ("average", "max") else tap.pool, relu=tap.relu and relu != "before"
        )
        for tap in card.taps
    )
    return dataclasses.replace(card, taps=tuple(taps))
