"""How many near-duplicates are detected, and how many distinct images are taken for near-duplicates, on every real set.

    python benchmarks/near_duplicates.py [--sets cells,dogcat] [--copies 200]

Recall: copies of 200 images of a set (re-encoded, resized, cropped by up to 5 or 10 % of each side, all at once) are
added to the set, each kind by itself; a copy is detected when it is in one group with its original. False: images of
the untouched set that share a group with another one, without the pairs that a person has confirmed to be one picture
(``benchmarks/near_duplicates_seen.json``). Writes ``benchmarks/results/near_duplicates.json``.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import platform
import tarfile
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from graftwork.images.imageset import ImageSet
from graftwork.images.measure import measure_images
from graftwork.images.near_duplicates import near_duplicates
from graftwork.images.pixels import on_white, upright
from graftwork.images.read import read_images
from graftwork.images.series import find_series
from graftwork.images.sources import Source

HERE = Path(__file__).resolve().parent
DATASETS = HERE.parents[1] / "shared" / "datasets"
TARS = ("cells", "dogcat", "hymenoptera", "neu-steel", "pacs-sketch", "rsscn7", "trashnet", "xray")
SETS = (*TARS, "cifar10", "digits")
KINDS = ("re-encoded", "resized", "cropped 5 %", "cropped 10 %", "all three")


class Bytes(Source):
    """Image bytes in memory."""

    def __init__(self, data: list[bytes]) -> None:
        self.data = data

    def read(self, row: int) -> bytes:
        return self.data[row]


def in_memory(data: list[bytes], labels: np.ndarray, names: list[str] | None = None) -> ImageSet:
    labels = np.asarray(labels, np.int64)
    classes = tuple(str(i) for i in range(labels.max() + 1))
    names = names or [f"{i}.jpg" for i in range(len(data))]
    return ImageSet(tuple(names), labels, classes, Path(), Bytes(data), np.arange(len(data)))


def load_set(name: str, folder: Path) -> ImageSet:
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        pictures = [Image.fromarray((image * 255 / 16).astype(np.uint8)) for image in digits.images]
        return in_memory([encoded(picture, "PNG") for picture in pictures], digits.target)
    if name in TARS:
        with tarfile.open(DATASETS / f"{name}.tar") as archive:
            archive.extractall(folder, filter="data")
        return read_images(folder / name)
    return read_images(DATASETS / f"{name}.parquet")


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def copy_of(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    image = on_white(upright(Image.open(io.BytesIO(data))))
    image.load()
    if kind in ("cropped 5 %", "cropped 10 %", "all three"):
        most = 0.05 if kind == "cropped 5 %" else 0.1
        width, height = image.size
        cut = np.floor(rng.uniform(most / 2, most, 2) * image.size + 0.5 * (min(image.size) * most > 1))
        left, top = rng.random(2) * cut
        image = image.crop((round(left), round(top), round(left + width - cut[0]), round(top + height - cut[1])))
    if kind in ("resized", "all three"):
        scale = rng.uniform(0.5, 1.5)
        scale = max(scale, min(1.0, 32 / min(image.size)))  # with details lost below 32 px, it would be another picture
        image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    if kind in ("re-encoded", "all three"):
        return encoded(image, "JPEG" if rng.random() < 0.7 else "WEBP", quality=int(rng.integers(30, 91)))
    return encoded(image, "PNG")


def recall(images: ImageSet, kind: str, copies: int, folder: Path) -> float:
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(images), min(copies, len(images)), replace=False)
    data = [images.read(i) for i in range(len(images))] + [copy_of(images.read(int(i)), kind, rng) for i in chosen]
    with_copies = in_memory(data, np.concatenate([images.labels, images.labels[chosen]]))
    groups = near_duplicates(measure_images(with_copies, folder), with_copies.labels).groups
    exact = with_copies.digests[len(images) :] == with_copies.digests[chosen]
    return float(((groups[len(images) :] == groups[chosen]) | exact).mean())


def false_share(images: ImageSet, name: str, folder: Path, known: dict[str, list[list[str]]]) -> dict[str, object]:
    begin = time.perf_counter()
    measurements = measure_images(images, folder)
    measured = time.perf_counter()
    near = near_duplicates(measurements, images.labels)
    seconds = time.perf_counter() - measured
    one_picture = {frozenset(pair) for pair in known.get(name, [])}
    pairs = [tuple(images.names[i] for i in pair) for pair in near.pairs]
    wrong = [k for k, pair in enumerate(pairs) if frozenset(pair) not in one_picture]
    grouped, falsely = np.unique(near.pairs), np.unique(near.pairs[wrong])
    return {
        "images": len(images),
        "threshold": round(near.threshold, 3),
        "pairs": len(pairs),
        "pairs known to be one picture": len(pairs) - len(wrong),
        "images grouped %": round(100 * len(grouped) / len(images), 2),
        "falsely grouped %": round(100 * len(falsely) / len(images), 2),
        "largest group": int(np.bincount(near.groups).max()),
        "seconds to measure": round(measured - begin, 2),
        "seconds to compare": round(seconds, 2),
        "unknown pairs": [[*pairs[k], round(float(near.likeness[k]), 3)] for k in wrong[:40]],
    }


def series_of_tracks(folder: Path) -> dict[str, object]:
    """Compare the series that ``find_series`` recognises with the tracks of the traffic signs, which it does not know."""
    images = read_images(DATASETS / "gtsrb.parquet")
    track = np.unique(images.columns["track"], return_inverse=True)[1]
    measurements = measure_images(images, folder)
    near = near_duplicates(measurements, images.labels)
    series = find_series(measurements, images.labels, near)
    of_track, together = track[:, None] == track, series[:, None] == series
    correct = (of_track & together).sum() - len(track)
    return {
        "images": len(images),
        "images with a near-duplicate": len(np.unique(near.pairs)),
        "series": int(series.max() + 1),
        "largest": int(np.bincount(series).max()),
        "pairs of a track found %": round(100 * correct / (of_track.sum() - len(track)), 1),
        "pairs found that are of one track %": round(100 * correct / (together.sum() - len(track)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("-o", type=Path, default=HERE / "results" / "near_duplicates.json")
    options = parser.parse_args()
    known_pairs = json.loads((HERE / "near_duplicates_seen.json").read_text())
    rows: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as place:
        for name in options.sets.split(","):
            images = load_set(name, Path(place))
            row = false_share(images, name, Path(place) / "measurements", known_pairs)
            if name == "cifar10":  # its copies would take minutes, and a tenth of it says as much
                images = images.take(np.arange(0, len(images), 10))
            row["recall %"] = {
                k: round(100 * recall(images, k, options.copies, Path(place) / "measurements"), 1) for k in KINDS
            }
            rows[name] = row
            print(name, json.dumps({key: value for key, value in row.items() if key != "unknown pairs"}))
        tracks = series_of_tracks(Path(place) / "measurements")
        print("gtsrb", json.dumps(tracks))
    about = {
        "date": datetime.date.today().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("pillow", "imagehash", "numpy")},
        "copies per kind": options.copies,
    }
    options.o.parent.mkdir(parents=True, exist_ok=True)
    options.o.write_text(json.dumps({"about": about, "sets": rows, "gtsrb without track": tracks}, indent=1) + "\n")


if __name__ == "__main__":
    main()
