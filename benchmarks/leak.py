"""gtsrb (traffic signs filmed in tracks): accuracy with random folds, with folds by track, and by what graftwork groups.

    python benchmarks/leak.py

Groups come from the track column, from near-duplicates, from series that are recognised by pixels, and as a proposal
from file names. Last layer of the ImageNet MobileNetV2, softmax; the accuracy is out of fold over all images. Writes
results/leak.json.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from datasets import SHARED
from machine import describe

from graftwork.core.options import DataOptions, ExtractionOptions
from graftwork.core.plans import linear_candidates
from graftwork.core.scoring import Score, score
from graftwork.core.splits import deal, joined_groups
from graftwork.core.trials import Task
from graftwork.images.check import check
from graftwork.images.measure import measure_images
from graftwork.images.read import read_images
from graftwork.linear_trials import run_trials
from graftwork.steps.backbones import open_backbone

RESULTS = Path(__file__).parent / "results" / "leak.json"
WEIGHTS = SHARED / "weights" / "mobilenetv2_100.tv_in1k.safetensors"


def write_files(folder: Path) -> None:
    """Write the set as the original has it: a folder per class, files named TRACK_FRAME."""
    frames: dict[str, int] = {}
    for row in pq.read_table(SHARED / "datasets" / "gtsrb.parquet").to_pylist():
        place = folder / str(row["label"])
        place.mkdir(parents=True, exist_ok=True)
        track = str(row["track"]).rsplit("_", 1)[-1].zfill(5)
        key = f"{row['label']}/{track}"
        frames[key] = frames.get(key, -1) + 1
        (place / f"{track}_{frames[key]:05}.jpg").write_bytes(row["image"])


def main() -> None:
    table = SHARED / "datasets" / "gtsrb.parquet"
    images = read_images(table, DataOptions(group_by="track"))
    truth = np.unique(images.groups, return_inverse=True)[1]
    measurements = measure_images(images)
    nameless = check(read_images(table), measurements)
    backbone = open_backbone(str(WEIGHTS), ExtractionOptions(), images)
    codes = backbone.codes(images)
    last_layer = linear_candidates(backbone.card, layers=(backbone.card.taps[-1].name,), losses=("softmax",))

    def accuracy(groups: np.ndarray) -> Score:
        folds = deal(images.labels, groups, (1.0,) * 5, np.random.default_rng(0))
        task = Task(images.labels, groups, folds, images.classes)
        trial = next(run_trials(last_layer, lambda _: codes, task))
        return score("accuracy", images.labels, trial.probabilities, groups)

    groupings = {"random": np.arange(len(images)), "tracks (the truth)": truth, "near-duplicates": nameless.groups}
    if nameless.series is not None:
        groupings["series recognised by pixels"] = joined_groups(len(images), nameless.series, nameless.groups)
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        named = read_images(folder)
        proposed = check(named, measure_images(named)).proposals
    rows = {}
    for name, groups in groupings.items():
        figure = accuracy(groups)
        rows[name] = {
            "percent": round(100 * figure.value, 2),
            "low": round(100 * figure.low, 2),
            "high": round(100 * figure.high, 2),
            "groups": len(np.unique(groups)),
        }
        print(name, rows[name], flush=True)
    flags = [{"flag": p.group_by, "groups": p.n_groups, "typical_size": p.typical_size} for p in proposed]
    print("proposed from names:", flags)
    result = {"accuracy": rows, "proposed_from_names": flags, "tracks": len(np.unique(truth)), "machine": describe()}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
