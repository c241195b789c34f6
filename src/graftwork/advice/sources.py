"""What the package brings for advice: the profile of the embedded default's source, the ladder, the coefficients."""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from graftwork.advice.similarity import SourceProfile
from graftwork.backbones.tensors import write_tensors
from graftwork.backbones.zoo_folder import PROFILE, ZOO, zoo_folder
from graftwork.core.advice import Rung
from graftwork.core.facts import BackboneCard
from graftwork.core.gains import Coefficients, GainModel
from graftwork.errors import BackboneError
from graftwork.files import whole_file

GAUGE = "efficientnet_lite0"
"""The network that measures similarity on every machine: it comes with the installation."""
GAUGE_IMAGES = 512
"""Number of images that similarity is measured on at most."""
_MEANS, _DEVIATIONS, _NEAREST, _FACTS = "mean of ", "deviation of ", "nearest", "facts"


def save_profile(profile: SourceProfile, path: Path) -> None:
    """Write a profile as safetensors in half precision, its numbers and words as JSON in the header."""
    tensors = {_NEAREST: profile.nearest.astype(np.float16)}
    for name in profile.means:
        tensors[_MEANS + name] = profile.means[name].astype(np.float16)
        tensors[_DEVIATIONS + name] = profile.deviations[name].astype(np.float16)
    arrays = ("means", "deviations", "nearest")
    facts = {
        field.name: getattr(profile, field.name) for field in dataclasses.fields(profile) if field.name not in arrays
    }
    layers = list(profile.means)
    with whole_file(path) as part:
        write_tensors(part, tensors, {_FACTS: json.dumps({**facts, "layers": layers})})


def load_profile(path: Path) -> SourceProfile:
    """Read a profile that ``save_profile`` wrote."""
    with safe_open(path, "numpy") as file:
        facts: dict[str, Any] = json.loads(file.metadata()[_FACTS])
        layers = facts.pop("layers")
        read = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118  # no mapping
    return SourceProfile(
        means={name: read[_MEANS + name] for name in layers},
        deviations={name: read[_DEVIATIONS + name] for name in layers},
        nearest=read[_NEAREST],
        digests=tuple(facts.pop("digests")),
        **facts,
    )


@functools.cache
def gauge_profile() -> SourceProfile:
    """Return the profile of the gauge's source."""
    with importlib.resources.as_file(importlib.resources.files(__package__) / "efficientnet_lite0.safetensors") as path:
        return load_profile(path)


def own_profile(card: BackboneCard) -> SourceProfile | None:
    """Return the profile of a network's source that lies in the user's zoo; None where there is none for its weights.

    Raises
    ------
    BackboneError
        When it is damaged.
    """
    path = zoo_folder() / card.name.removeprefix(ZOO) / PROFILE
    if not card.name.startswith(ZOO) or not path.is_file():
        return None
    try:
        profile = load_profile(path)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BackboneError(
            f"{path} must be the profile of a network's source, but reading it failed ({error}); pull the network "
            "again, or `graft zoo profile` it"
        ) from error
    return profile if profile.weights_sha256 == (card.weights_sha256 or "") else None


def ladder(without: Collection[str] = ()) -> tuple[Rung, ...]:
    """Return the reference sets by rising distance from the source.

    Parameters
    ----------
    without
        Beginnings of the sha256 of images; sets that hold one of them are left out.
    """
    rungs = [
        Rung(rung["name"], rung["entropy"]) for rung in _table()["ladder"] if set(rung["digests"]).isdisjoint(without)
    ]
    return tuple(sorted(rungs, key=lambda rung: rung.entropy))


@functools.cache
def gain_model() -> GainModel:
    """Return how the gain of each strategy is forecast."""
    gains = {name: Coefficients(**values) for name, values in _table()["gains"].items()}
    return GainModel(gains, np.array(_table()["covariance"]))


@functools.cache
def _table() -> dict[str, Any]:
    text = (importlib.resources.files(__package__) / "table.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
