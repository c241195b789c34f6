"""Novelty detection: false alarms on a set's own test images, and how well images of other sets are detected.

    python benchmarks/novelty.py

Each set is fitted on four fifths of its images (codes of the last layer); the remaining fifth must not be flagged, the
images of every other set should be. Writes results/novelty.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from datasets import GROUPS, SETS, path_of
from machine import describe
from sklearn.metrics import roc_auc_score

from graftwork.core.options import DataOptions, ExtractionOptions
from graftwork.core.splits import make_split
from graftwork.model.novelty import RATE, fit_novelty
from graftwork.steps.backbones import open_backbone
from graftwork.steps.prepare import check_images

RESULTS = Path(__file__).parent / "results" / "novelty.json"


def main() -> None:
    own, p_values, models = {}, {}, {}
    codes = {}
    for name in SETS:
        checked = check_images(path_of(name), DataOptions(group_by=GROUPS.get(name)))
        backbone = open_backbone("efficientnet_lite0", ExtractionOptions(), checked.images)
        codes[name] = backbone.codes(checked.images).of([backbone.card.taps[-1].name])
        split = make_split(checked.images.labels, checked.groups, seed=0)
        models[name] = fit_novelty(codes[name][split.develop], split.folds, seed=0)
        p_values[name] = models[name].p_values(codes[name][split.test])
        own[name] = {
            "images": len(split.test),
            "flagged_percent": round(100 * float((p_values[name] <= RATE).mean()), 2),
        }
        print(name, own[name], flush=True)
    pairs = []
    for name in SETS:
        for other in SETS:
            if other == name:
                continue
            foreign = models[name].p_values(codes[other])
            truth = np.repeat([0, 1], [len(p_values[name]), len(foreign)])
            auroc = roc_auc_score(truth, -np.concatenate([p_values[name], foreign]))
            flagged = 100 * float((foreign <= RATE).mean())
            pairs.append(
                {"model": name, "images_of": other, "auroc": round(auroc, 4), "flagged_percent": round(flagged, 1)}
            )
    good = sum(pair["auroc"] >= 0.9 for pair in pairs)
    result = {"rate": RATE, "own_test": own, "pairs": pairs, "pairs_at_least_0.9": good, "machine": describe()}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(good, "of", len(pairs), "pairs at 0.9 or more; lowest", min(pair["auroc"] for pair in pairs))


if __name__ == "__main__":
    main()
