#!/bin/sh
# Of a folder with a class named "train", "dev" or "dog-test", `datasets` reads that class alone, and calls it a split.
#
# Versions: datasets 5.2.0, pillow 13.0.0; Linux x86-64, Python 3.11.
# Class folders of images next to each other, as the documentation of "imagefolder" draws them. Guess: folders that are
# not named exactly train, validation or test are classes, or the names of all folders must be splits for any to be one.
# Seen: one folder is enough whose name holds such a word (or dev, eval, valid...) alone or set off by a hyphen, an
# underscore, a space or the like. The images of all other folders are left out, with no warning, and so are the labels
# when one class remains:
#   bus, car, train -> a split "train" of the trains alone, no labels     (COCO and CIFAR-100 have a class "train")
#   cat, dog-test   -> a split "test" of the dogs alone                    (dev and prod, valid and invalid: the same)
#   bus, car, tram  -> one split with three classes
#   road, test-track, train-station -> splits "train" and "test" with two classes; road is gone
# The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet datasets==5.2.0 pillow==13.0.0
export HF_HOME="$place/cache" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
"$place/venv/bin/python" - "$place" <<'PYTHON'
import pathlib
import sys

from datasets import load_dataset
from PIL import Image

cases = {
    ("bus", "car", "tram"): {"train": (12, ["bus", "car", "tram"])},
    ("bus", "car", "train"): {"train": (4, None)},
    ("cat", "dog-test"): {"test": (4, None)},
    ("dev", "prod"): {"validation": (4, None)},
    ("invalid", "valid"): {"validation": (4, None)},
    ("road", "test-track", "train-station"): {
        "train": (4, ["test-track", "train-station"]),
        "test": (4, ["test-track", "train-station"]),
    },
}
for number, (classes, expected) in enumerate(cases.items()):
    place = pathlib.Path(sys.argv[1]) / f"images-{number}"
    for grey, name in enumerate(classes):
        (place / name).mkdir(parents=True)
        for image in range(4):
            Image.new("L", (8, 8), 40 * grey + image).save(place / name / f"{image}.png")
    read = {
        split: (len(rows), rows.features["label"].names if "label" in rows.features else None)
        for split, rows in load_dataset("imagefolder", data_dir=str(place)).items()
    }
    print(f"{', '.join(classes)} ({4 * len(classes)} images): {read}")
    assert read == expected, "datasets behaves differently now"
PYTHON
