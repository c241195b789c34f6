"""Tensors by name: how they are written, and those of a network, as a model folder holds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

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
            write_tensors(part, tensors)
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: dict[str, str] | None = None) -> None:
    """Write arrays as safetensors; raises OSError where the disk is full, which ``save_file`` calls something else.

    From 0.8.0 on, safetensors writes an array's memory as it lies: one in Fortran order, or every second column of
    another, would be read back as other numbers (``findings/safetensors_numpy_reads_memory_not_strides.sh``).
    """
    path.write_bytes(save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, metadata))
