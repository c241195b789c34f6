"""Which of timm's families graftwork takes the right layers of: one network of each, with random weights.

    python benchmarks/families.py [--families vision_transformer,cait]

A family is a module of timm and the first word of a network's name; its smallest network stands for it. The layers that
graftwork takes there are compared with the network itself: the last one with what timm's ``forward_head`` gives before
the classifier, and with what the classifier makes of it. One line of ``results/families.jsonl`` per family; families
that are there are not read again.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from machine import describe

from graftwork.backbones.forward_pass import classifier_name
from graftwork.backbones.graph import CodesNetwork
from graftwork.backbones.taps import find_points
from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.core.facts import Preprocess
from graftwork.errors import BackboneError

make_torchvision_importable()
import timm  # noqa: E402  # after torchvision

RESULTS = Path(__file__).parent / "results" / "families.jsonl"
MOST_MILLIONS = 130
"""Larger ones are left out: they say nothing that their smaller kin do not."""
LOOKED_AT = 9
"""Networks of a family whose size is known before the smallest is taken."""
USUAL_PX = 224


def families() -> dict[str, list[str]]:
    grouped = defaultdict(list)
    for name in timm.list_models():
        grouped[f"{timm.models.model_entrypoint(name).__module__.rpartition('.')[2]}: {name.partition('_')[0]}"].append(
            name
        )
    return dict(grouped)


def millions(name: str) -> float:
    with torch.device("meta"):
        return sum(p.numel() for p in timm.create_model(name).parameters()) / 1e6


def smallest(names: list[str]) -> tuple[float, str]:
    sizes = []
    for name in names[:LOOKED_AT]:
        try:
            sizes.append((millions(name), name))
        except (RuntimeError, NotImplementedError):  # cannot be built without values
            continue
    return min(sizes, default=(0.0, names[0]))


def read(name: str) -> dict[str, Any]:
    network = timm.create_model(name).eval()
    px = network.default_cfg["input_size"][-1]
    px = px if network.default_cfg.get("fixed_input_size") else max(px, USUAL_PX)
    try:
        points = find_points(network, px)
    except BackboneError as error:
        return {"px": px, "refused": str(error)}
    pixels = torch.randint(0, 256, (2, px, px, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    codes = CodesNetwork(network, points, Preprocess(), logits=True)
    with torch.inference_mode():
        *_, last, logits = every = codes(pixels)
        planes = pixels.permute(0, 3, 1, 2) * codes.scale + codes.shift
        own = network.forward_head(network.forward_features(planes), pre_logits=True)
        classifier = network.get_submodule(classifier_name(network) or "")
        linear = isinstance(classifier, torch.nn.Linear)
        return {
            "px": px,
            "layers": [f"{point.tap.name} {point.tap.channels} {point.tap.pool}" for point in points],
            "as_forward_head": isinstance(own, torch.Tensor) and own.shape == last.shape and near(own, last),
            "as_classifier": near(classifier(last), logits) if linear else None,
            "finite": all(bool(value.isfinite().all()) for value in every),
        }


def near(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default="", help="the modules of timm")
    chosen = parser.parse_args().families.split(",")
    torch.set_num_threads(1)
    done = {json.loads(line)["family"] for line in RESULTS.read_text().splitlines()} if RESULTS.exists() else set()
    for family, names in sorted(families().items()):
        if family in done or (chosen != [""] and family.partition(":")[0] not in chosen):
            continue
        size, name = smallest(names)
        if size > MOST_MILLIONS:
            continue
        line = {
            "family": family,
            "network": name,
            "params_millions": round(size, 1),
            **read(name),
            "machine": describe(),
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(
            name, {key: line.get(key) for key in ("refused", "as_forward_head", "as_classifier", "finite")}, flush=True
        )


if __name__ == "__main__":
    main()
