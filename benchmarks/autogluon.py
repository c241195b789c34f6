"""Compared with AutoGluon MultiModal: same weights, same split, same input, same time limit.

    python benchmarks/autogluon.py --autogluon PYTHON [--sets rsscn7,trashnet] [--limits 120,600] [--input-px 224]

PYTHON is that of an environment with autogluon.multimodal; it is no dependency of graftwork. The ImageNet MobileNetV2 of
``../shared``, all images, the cells of ``strategies.py``. AutoGluon runs its own recipe (``fit`` with ``time_limit``),
which keeps a part of the training images for validation and ends after 20 epochs; graftwork is given the same limit,
from an empty cache. Seconds are those of the whole call, without imports. One line of
``results/autogluon.KIND.jsonl`` per set, seed and limit, KIND being the processor's; it is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import machine
from peers import ARCHITECTURE, WEIGHTS, Files, own, write_files
from processes import answer_of
from strategies import cell

RUNNER = """
import importlib.metadata, json, sys, time
import pandas, torch
from autogluon.multimodal import MultiModalPredictor
settings = json.loads(sys.argv[1])
train, test = (pandas.DataFrame(settings[part]) for part in ("train", "test"))
begin = time.perf_counter()
predictor = MultiModalPredictor(label="label", path=settings["output"], verbosity=0)
predictor.fit(
    train, time_limit=settings["limit"], seed=settings["seed"], column_types={"image": "image_path"},
    hyperparameters={
        "model.names": ["timm_image"], "model.timm_image.checkpoint_name": settings["network"],
        "model.timm_image.image_size": settings["px"], "env.num_gpus": 0,
    },
)
seconds = time.perf_counter() - begin
right = predictor.predict(test, as_pandas=False) == test["label"].to_numpy()
version = importlib.metadata.version("autogluon.multimodal")
print(json.dumps({"seconds": round(seconds, 1), "right": "".join("01"[int(hit)] for hit in right), "version": version}))
"""


def write_network(folder: Path) -> Path:
    """Write the weights as a folder that AutoGluon takes for a network of timm, without the classifier."""
    import torch
    from safetensors.torch import load_file

    from graftwork.backbones.torchvision_import import make_torchvision_importable

    make_torchvision_importable()
    import timm

    network = timm.create_model(ARCHITECTURE)
    folder.mkdir()
    state = {name: value for name, value in load_file(WEIGHTS).items() if not name.startswith("classifier.")}
    torch.save(state, folder / "pytorch_model.bin")
    config = {
        "architecture": ARCHITECTURE, "num_features": network.num_features, "pretrained_cfg": dict(network.default_cfg),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def autogluon(python: str, files: Files, network: Path, px: int, seed: int, limit: int) -> dict[str, Any]:
    """Return ``seconds``, ``right`` (in the order of ``Files.test``) and ``version``."""
    with tempfile.TemporaryDirectory() as place:
        settings = {
            "train": [{"image": str(path), "label": path.parent.name} for path in files.train],
            "test": [{"image": str(path), "label": path.parent.name} for path in files.test],
            "output": f"{place}/predictor", "network": str(network), "px": px, "seed": seed, "limit": limit,
        }  # fmt: skip
        result: dict[str, Any] = answer_of([python, "-c", RUNNER, json.dumps(settings)], cwd=place, HF_HUB_OFFLINE="1")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--autogluon", required=True, metavar="PYTHON")
    parser.add_argument("--sets", default="rsscn7,trashnet")
    parser.add_argument("--limits", default="120,600", help="seconds")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--input-px", type=int, default=224)
    options = parser.parse_args()
    path = machine.results_path("autogluon").with_suffix(".jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    keys = {(line["set"], line["seed"], line["limit_seconds"], line["input_px"]) for line in lines}
    px = options.input_px
    with tempfile.TemporaryDirectory() as temporary:
        network = write_network(Path(temporary) / "network")
        for limit, seed, name in itertools.product(
            map(int, options.limits.split(",")), map(int, options.seeds.split(",")), options.sets.split(",")
        ):
            at = None if (name, seed, limit, px) in keys else cell(name, ARCHITECTURE, "all", seed)
            if at is None:
                continue
            with tempfile.TemporaryDirectory() as folder:
                files = write_files(at, Path(folder))
                peer = autogluon(options.autogluon, files, network, px, seed, limit)
                ours = own(files, name, px, seed, time_limit=limit)
            right = "".join("01"[int(hit)] for hit in ours.right)
            systems = {
                "autogluon": peer,
                "graftwork": {"seconds": round(ours.seconds, 1), **ours.details, "right": right},
            }
            line = {
                "set": name, "seed": seed, "limit_seconds": limit, "input_px": px, "train": len(at.rows),
                "test": len(at.test), "systems": systems, "machine": machine.describe(),
            }  # fmt: skip
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            shares = {side: round(100 * row["right"].count("1") / len(right), 1) for side, row in systems.items()}
            print(name, seed, limit, shares, peer["seconds"], ours.seconds, ours.details["chosen"], flush=True)


if __name__ == "__main__":
    main()
