"""Names of timm and torchvision become cards, without their weights."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from graftwork.backbones.load import TORCHVISION
from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.core.facts import BackboneCard, Interpolation, Preprocess
from graftwork.errors import BackboneError, did_you_mean

_TRAINED_ON = {
    r"(^|_)in12k_ft_in1k": "ImageNet-12k, then ImageNet-1k",
    r"(^|_)in2[12]k_ft_in1k": "ImageNet-21k, then ImageNet-1k",
    r"(^|_)in12k": "ImageNet-12k",
    r"(^|_)in2[12]k": "ImageNet-21k",
    r"(^|_)in1k": "ImageNet-1k",
    r"lvd142m": "LVD-142M, without labels",
    r"laion": "LAION, with captions",
    r"openai": "WebImageText, with captions",
    r"yfcc": "YFCC100M",
    r"ig1b|swag|wsl": "photos from Instagram with hashtags",
}
"""Training data by the tag of a name of timm, most specific first."""
_ASPECTS = {"squash": "stretch", "border": "pad"}


def timm_card(name: str, *, also: Sequence[str], data_terms: Mapping[str, str]) -> BackboneCard:
    """Return the card of a name of timm, with or without its tag.

    Parameters
    ----------
    also
        Other names that the user may have meant.

    Raises
    ------
    BackboneError
        When timm knows no such network, or no weights of it on a hub.
    """
    make_torchvision_importable()
    import timm

    name = name.removeprefix("hf-hub:").removeprefix("timm/")
    config = timm.get_pretrained_cfg(name, allow_unregistered=False) if timm.is_model(name) else None
    if config is None:
        raise BackboneError(_unknown(name, [*also, *timm.list_models(), *timm.list_pretrained()]))
    if not config.hf_hub_id:
        others = timm.list_pretrained(name.partition(".")[0] + "*")[:5]
        raise BackboneError(
            f"{name} must have weights on a hub, but timm knows none; choose of "
            f"{', '.join(others) or 'other architectures'}, or give a file"
        )
    full = f"{config.architecture}.{config.tag}" if config.tag else str(config.architecture)
    trained_on = _trained_on(config.tag)
    return BackboneCard(
        name=f"timm:{full}",
        source="timm",
        architecture=full,
        weights=config.hf_hub_id,
        preprocess=_timm_preprocess(config),
        licence=config.license or "unknown",
        data_terms=data_terms.get(trained_on, "unknown"),
        trained_on=trained_on,
    )


def torchvision_card(name: str) -> BackboneCard:
    """Return the card of a name of torchvision, such as ``resnet50`` or ``resnet50.IMAGENET1K_V1``.

    Raises
    ------
    BackboneError
        When torchvision knows no such network for classification, or no such weights.
    """
    make_torchvision_importable()
    import torchvision

    architecture, _, tag = name.partition(".")
    known = torchvision.models.list_models(module=torchvision.models)
    if architecture not in known:
        raise BackboneError(_unknown(f"{TORCHVISION}{name}", [TORCHVISION + other for other in known]))
    choices = torchvision.models.get_model_weights(architecture)
    if tag and tag not in choices.__members__:
        raise BackboneError(f"{TORCHVISION}{name} must be one of the weights {', '.join(choices.__members__)}")
    weights = choices[tag] if tag else choices.DEFAULT
    swag = "SWAG" in weights.name
    return BackboneCard(
        name=f"{TORCHVISION}{architecture}.{weights.name}",
        source="torchvision",
        architecture=TORCHVISION + architecture,
        weights=weights.url,
        preprocess=_torchvision_preprocess(weights.transforms()),
        licence=str(weights.meta.get("license", "BSD-3-Clause")),
        data_terms="unknown" if swag else "ImageNet's images: non-commercial research and education",
        trained_on="photos from Instagram with hashtags, then ImageNet-1k" if swag else "ImageNet-1k",
    )


@dataclasses.dataclass(frozen=True)
class RegistryNetwork:
    """A pretrained network of timm's or torchvision's registry, with what that states."""

    name: str
    architecture: str
    licence: str
    trained_on: str
    input_px: int
    params_millions: float | None = None
    gmacs: float | None = None
    size_mb: float | None = None
    top1: float | None = None
    """On ImageNet-1k, 0 to 1."""


def timm_networks(matching: str = "*") -> Iterator[RegistryNetwork]:
    """Every pretrained network of timm's registry whose name matches, by name; timm states no accuracy."""
    make_torchvision_importable()
    import timm

    for name in timm.list_pretrained(matching):
        config = timm.get_pretrained_cfg(name)
        if config is not None and config.hf_hub_id:
            yield RegistryNetwork(
                name,
                name.partition(".")[0],
                config.license or "unknown",
                _trained_on(config.tag),
                config.input_size[-1],
            )


def timm_parameters(architecture: str) -> float:
    """Millions of parameters of an architecture of timm, which is built without values."""
    make_torchvision_importable()
    import timm
    import torch

    with torch.device("meta"):
        network = timm.create_model(architecture)
    return round(sum(p.numel() for p in network.parameters()) / 1e6, 3)


def torchvision_networks() -> Iterator[RegistryNetwork]:
    """Every set of weights for classification of torchvision's registry."""
    make_torchvision_importable()
    import torchvision

    for architecture in torchvision.models.list_models(module=torchvision.models):
        for weights in torchvision.models.get_model_weights(architecture):
            meta, card = weights.meta, torchvision_card(f"{architecture}.{weights.name}")
            accuracy = next((each["acc@1"] for each in meta.get("_metrics", {}).values() if "acc@1" in each), None)
            yield RegistryNetwork(
                f"{architecture}.{weights.name}", architecture, card.licence, card.trained_on, card.preprocess.input_px,
                params_millions=round(meta["num_params"] / 1e6, 3), gmacs=meta.get("_ops"),
                size_mb=meta.get("_file_size"), top1=None if accuracy is None else round(accuracy / 100, 4),
            )  # fmt: skip


def _trained_on(tag: str | None) -> str:
    return next((data for part, data in _TRAINED_ON.items() if re.search(part, tag or "")), "unknown")


def card_of_file_name(path: Path) -> BackboneCard:
    """Return the card of a file of weights without a JSON of facts, whose name begins with an architecture of timm.

    Raises
    ------
    BackboneError
        When timm knows none of that name.
    """
    make_torchvision_importable()
    import timm

    architecture = path.name.removesuffix(path.suffix).partition(".")[0]
    if not timm.is_model(architecture):
        raise BackboneError(
            f"{path} must have a name that begins with its architecture, but timm has no {architecture}; add "
            f'{path.with_suffix(".json").name} next to it: {{"architecture": "resnet50", "input": {{"size": 224, '
            '"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}'
        )
    return bare_card(None, path)


def bare_card(architecture: str | None, path: Path) -> BackboneCard:
    """Return the card of a file of weights of an architecture, with the preprocessing that it usually has.

    Parameters
    ----------
    architecture
        Name of timm's, with or without its tag, or ``torchvision:NAME``; None: the name of the file begins with it.

    Raises
    ------
    BackboneError
        When timm or torchvision know none of that name.
    """
    make_torchvision_importable()
    import timm

    stem = path.name.removesuffix(path.suffix)
    name = architecture or (stem if timm.is_model(stem.partition(".")[0]) else "")
    if not name:
        raise BackboneError(
            f"{path} must have an `--architecture` or a name that begins with one, but timm has no "
            f"{stem.partition('.')[0]}{did_you_mean(stem.partition('.')[0], timm.list_models())}; give it"
        )
    of_file = {"name": f"file:{path.name}", "source": "file", "weights": str(path)}
    if name.startswith(TORCHVISION):
        named = torchvision_card(name.removeprefix(TORCHVISION))
        return BackboneCard(architecture=named.architecture, preprocess=named.preprocess, **of_file)  # type: ignore[arg-type]
    plain = name.partition(".")[0]
    if not timm.is_model(plain):
        raise BackboneError(_unknown(name, [*timm.list_models(), *timm.list_pretrained()]))
    known = timm.get_pretrained_cfg(name if timm.is_model_pretrained(name) else plain)
    preprocess = _timm_preprocess(known) if known is not None else Preprocess()
    return BackboneCard(architecture=plain, preprocess=preprocess, **of_file)  # type: ignore[arg-type]


def _timm_preprocess(config: Any) -> Preprocess:
    mean, std = (tuple(float(v) for v in values) for values in (config.mean, config.std))
    interpolation: Interpolation = "bilinear" if config.interpolation == "bilinear" else "bicubic"
    return Preprocess(
        input_px=int(config.input_size[-1]),
        crop_fraction=float(config.crop_pct),
        aspect=_ASPECTS.get(config.crop_mode, "crop"),  # type: ignore[arg-type]
        interpolation=interpolation,
        mean=mean,  # type: ignore[arg-type]
        std=std,  # type: ignore[arg-type]
    )


def _torchvision_preprocess(transform: Any) -> Preprocess:
    mean, std = (tuple(float(v) for v in values) for values in (transform.mean, transform.std))
    px = int(transform.crop_size[0])
    interpolation: Interpolation = "bicubic" if "bicubic" in str(transform.interpolation.value) else "bilinear"
    return Preprocess(
        input_px=px,
        crop_fraction=px / int(transform.resize_size[0]),
        interpolation=interpolation,
        mean=mean,  # type: ignore[arg-type]
        std=std,  # type: ignore[arg-type]
    )


def _unknown(name: str, known: Iterable[str]) -> str:
    near = did_you_mean(name, dict.fromkeys(known), 5)
    return (
        f"{name} must be a network that timm or torchvision has, a file of weights, or `auto`{near}; "
        "`timm.list_pretrained()` in Python lists all of timm"
    )
