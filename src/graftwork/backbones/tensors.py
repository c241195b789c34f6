"""A network's own tensors by name, as a model folder holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from graftwork.core.facts import BackboneCard, digest_of
from graftwork.files import cache_folder, whole_file


def tensors_of(card: BackboneCard) -> Mapping[str, NDArray[Any]]:
    """Return every tensor of a card's network.

    Those of weights that come from elsewhere are cached as safetensors, so that only the first use imports torch.

    Raises
    ------
    BackboneError
        When the network cannot be loaded.
    """
    depends_on = [card.weights_sha256, card.architecture, card.model_args, card.preprocess.input_px]
    cached = cache_folder("backbones") / f"{digest_of(depends_on)}.safetensors"
    try:
        return load_file(cached)
    except (OSError, SafetensorError):
        pass
    from graftwork.backbones.load import load

    tensors = {name: tensor.contiguous().numpy() for name, tensor in load(card).state_dict().items()}
    if card.source != "file":
        with whole_file(cached) as part:
            save_file(tensors, part)
    return tensors
