"""gtsrb without its tracks: what a random split reads, what names give away, and what is left without names.

    python benchmarks/leak.py

Last layer of the ImageNet MobileNetV2, softmax; the figures are out of fold over all images. Writes results/leak.json.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from datasets import SHARED
from machine import describe

from graftwork.core.choose import Score, score
from graftwork.core.plans import linear_candidates
from graftwork.core.splits import deal, joined_groups
from graftwork.core.trials import Task
from graftwork.images.check import check
from graftwork.images.measure import measure_images
from graftwork.images.read import read_images
from graftwork.tournament import run_trials
from graftwork.steps.backbones import ExtractionOptions, open_backbone

RESULTS = Path(__file__).parent / "results" / "leak.json"
WEIGHTS = SHARED / "weights" / "mobilenetv2_100.tv_in1k.safetensors"


def write_files(folder: Path) -> None:
    """The set as the original has it: a folder a class, files named TRACK_FRAME."""
    seen: dict[str, int] = {}
    for row in pq.read_table(SHARED / "datasets" / "gtsrb.parquet").to_pylist():
        place = folder / str(row["label"])
        place.mkdir(parents=True, exist_ok=True)
        track = str(row["track"]).rsplit("_", 1)[-1].zfill(5)
        key = f"{row['label']}/{track}"
        seen[key] = seen.get(key, -1) + 1
        (place / f"{track}_{seen[key]:05}.jpg").write_bytes(row["image"])


def main() -> None:
    table = SHARED / "datasets" / "gtsrb.parquet"
    images = read_images(table, "track")
    truth = np.unique(images.groups, return_inverse=True)[1]
    measurements = measure_images(images)
    nameless = check(read_images(table), measurements)
    backbone = open_backbone(ExtractionOptions(str(WEIGHTS)), images)
    codes = backbone.codes(images)
    candidate = linear_candidates(backbone.extraction.card, layers=(backbone.extraction.card.taps[-1].name,), losses=("softmax",))

    def reads(groups: np.ndarray) -> Score:
        folds = deal(images.labels, groups, (1.0,) * 5, np.random.default_rng(0))
        task = Task(images.labels, folds, len(images.classes), "accuracy", balanced=False)
        trial = next(run_trials(candidate, lambda _: codes, task))
        return score("accuracy", images.labels, trial.probabilities, groups, seed=0)

    ways = {"random": np.arange(len(images)), "tracks (the truth)": truth, "near-duplicates": nameless.groups}
    if nameless.series is not None:
        ways["series found without names"] = joined_groups(len(images), nameless.series, nameless.groups)
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        named = read_images(folder)
        proposed = check(named, measure_images(named)).proposals
    found = {}
    for name, groups in ways.items():
        figure = reads(groups)
        found[name] = {
            "percent": round(100 * figure.value, 2),
            "low": round(100 * figure.low, 2),
            "high": round(100 * figure.high, 2),
            "groups": len(np.unique(groups)),
        }
        print(name, found[name], flush=True)
    flags = [{"flag": p.group_by, "groups": p.n_groups, "typical_size": p.typical_size} for p in proposed]
    print("proposed from names:", flags)
    result = {"accuracy": found, "proposed_from_names": flags, "tracks": len(np.unique(truth)), "machine": describe()}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
