"""Public fakes: small images that a network can tell apart, for tests that need no download and no GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def tiny_image(label: int, seed: int, size_px: int = 32) -> NDArray[np.uint8]:
    """(size_px, size_px, 3) stripes whose direction and colour follow the label, under noise that follows the seed."""
    rng = np.random.default_rng([label, seed])
    y, x = np.mgrid[:size_px, :size_px]
    angle = label * np.pi / 5
    wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi / 8 + rng.uniform(0, 6))
    colour = 110 + 60 * np.cos(label * 2.1 + np.array([0, 2.1, 4.2]))
    noise = rng.normal(0, 25, (size_px, size_px, 3))
    return np.asarray(np.clip(colour + 60 * wave[..., None] + noise, 0, 255), np.uint8)


def write_tiny_images(
    folder: Path,
    *,
    classes: tuple[str, ...] = ("ant", "bee", "cat"),
    per_class: int = 20,
    size_px: int = 32,
    seed: int = 0,
) -> Path:
    """Write class folders of small PNG images, and return the folder."""
    from PIL import Image

    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            image = Image.fromarray(tiny_image(label, seed * 10_000 + i, size_px))
            image.save(folder / name / f"{name}-{i:03}.png")
    return folder


def write_tiny_backbone(
    folder: Path, *, architecture: str = "test_efficientnet", input_px: int = 32, seed: int = 0
) -> Path:
    """Write a small network with seeded random weights as safetensors with its facts next to it; return the file.

    Parameters
    ----------
    architecture
        One of timm's: ``test_byobnet`` (every layer ends in a ReLU); ``test_efficientnet``,
        ``test_convnext``, ``test_vit`` (none does).
    """
    import torch
    from safetensors.torch import save_file

    from graftwork.backbones.torchvision_import import make_torchvision_importable
    from graftwork.files import sha256_of, write_json

    make_torchvision_importable()
    import timm

    args: dict[str, Any] = {"num_classes": 10, **({"img_size": input_px} if "vit" in architecture else {})}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = timm.create_model(architecture, **args).train()
        # statistics of batch norm that are real, so that codes differ between images
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        images = np.stack([tiny_image(label, seed, input_px) for label in range(16)])
        with torch.no_grad():
            network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{architecture}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    facts = {
        "architecture": architecture,
        "model_args": args,
        "input": {"size": input_px, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "crop_pct": 1.0},
        "licence": "CC0-1.0",
        "pretraining_data": "none: random weights",
        "batchnorm_statistics": "source",
        "sha256": sha256_of(path),
    }
    write_json(path.with_suffix(".json"), facts)
    return path
