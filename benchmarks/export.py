"""Exported files: how far they are from the model, how fast the network in them is, and how large they are.

    python benchmarks/export.py [--sets cells,dogcat] [--networks efficientnet_lite0] [--all-cores]

Parity: a linear classifier on up to 12 images a class of each of the ten sets, exported in the three ways; each export
compares the file with ``predict`` in float32 on pictures of many sizes and ratios, and its proof is the row. Speed, one
row a network: images a second of the exported network without resizing, in onnxruntime and OpenVINO (float32), against
our engine in float32, in turns, the best of the rounds. On one core seconds are those of the processor, so that a busy
machine gives the same ratios; ``--all-cores`` measures with all of them and by the clock, which needs a machine with
nothing else to do. One line a row in ``results/export.jsonl``; rows that it has are not computed again.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import SHARED, path_of
from machine import describe

RESULTS = Path(__file__).parent / "results" / "export.jsonl"
SETS = tuple(sorted(path.stem for path in (SHARED / "datasets").glob("*.*") if path.suffix in (".tar", ".parquet")))
NETWORKS = ("efficientnet_lite0", "mobilenetv2_100.tv_in1k", "deit_tiny_patch16_224.fb_in1k", "caffe-squeezenet")
WAYS = (("onnx", "image"), ("onnx", "fixed"), ("openvino", "fixed"))
PER_CLASS = 12
SPEED_SET, IMAGES, BATCHES, ROUNDS = "hymenoptera", 32, (1, 4), 25


def machine_of_row() -> dict[str, Any]:
    """The machine with the versions of what runs the files."""
    about: dict[str, Any] = describe()
    runtimes = {name: importlib.metadata.version(name) for name in ("onnx", "onnxruntime", "onnxscript")}
    return {**about, "versions": about["versions"] | runtimes}


def backbone(name: str) -> str:
    """What ``train`` takes; Caffe's network is imported first."""
    from graftwork import zoo
    from graftwork.backbones.zoo_folder import zoo_folder

    if name.startswith("caffe-"):
        if not (zoo_folder() / name).exists():
            zoo.import_(SHARED / "weights" / name, name=name)
        return name
    file = SHARED / "weights" / f"{name}.safetensors"
    return str(file) if file.exists() else name


def some_images(name: str, folder: Path) -> Path:
    """Write up to PER_CLASS images of each class, spread over the set, as class folders."""
    from graftwork.images.read import read_images

    images = read_images(path_of(name))
    for label, title in enumerate(images.classes):
        rows = np.flatnonzero(images.labels == label)
        place = folder / title.replace("/", "-")
        place.mkdir(parents=True, exist_ok=True)
        for number, row in enumerate(rows[np.unique(np.linspace(0, len(rows) - 1, PER_CLASS).astype(int))]):
            suffix = Path(images.names[row].partition("#")[0]).suffix
            (place / f"{number:03}{suffix if suffix != '.parquet' else '.png'}").write_bytes(images.read(row))
    return folder


def trained(name: str, network: str, folder: Path) -> Path:
    import graftwork
    from graftwork.listener import SILENT

    data = some_images(name, folder / "images")
    px = 96 if name in ("cifar10", "gtsrb") and "deit" not in network else None
    run = graftwork.train(
        data, output=folder / "run", backbone=backbone(network), strategy="linear", input_px=px, listener=SILENT
    )
    return Path(run.folder)


def parity_rows(name: str, network: str, run: Path) -> list[dict[str, Any]]:
    import graftwork
    from graftwork.errors import ModelError
    from graftwork.listener import SILENT

    layers = [tap["name"] for tap in json.loads((run / "model" / "manifest.json").read_text())["taps"]]
    weights = [run / "model" / "engine" / "graph.bin", run / "model" / "head.safetensors"]
    weights_mb = sum(path.stat().st_size for path in weights if path.exists()) / 1e6
    rows = []
    for to, input in WAYS:
        row: dict[str, Any] = {"what": "parity", "set": name, "network": network, "to": to, "input": input}
        begin = time.process_time()
        try:
            made = graftwork.export(run, to=to, input=input, overwrite=True, listener=SILENT)  # type: ignore[arg-type]
        except ModelError as error:
            rows.append({**row, "refused": str(error), "machine": machine_of_row()})
            continue
        parity = made.facts.parity
        assert parity is not None
        rows.append(
            {
                **row,
                "layers": len(layers),
                "pictures": parity.pictures,
                "largest": parity.file.largest,
                "median": parity.file.median,
                "other_class": parity.file.other_class,
                "engine": parity.engine,
                "engine_largest": None if parity.run is None else parity.run.largest,
                "engine_other_class": None if parity.run is None else parity.run.other_class,
                "size_mb": round(made.size_mb, 3),
                "weights_mb": round(weights_mb, 3),
                "processor_seconds": round(time.process_time() - begin, 1),
                "machine": machine_of_row(),
            }
        )
    return rows


def runs_of(run: Path, threads: int) -> tuple[np.ndarray, dict[str, Callable[[], object]]]:
    """Return pixels, and every way to compute their probabilities, or codes in our own engine."""
    import onnxruntime

    from graftwork.backbones.engines import FALLBACK, open_saved_engine
    from graftwork.backbones.openvino_import import core, import_openvino
    from graftwork.images.pixels import pixels
    from graftwork.model.folder import read_model

    contents = read_model(run / "model")
    photos = sorted(path_of(SPEED_SET).rglob("*.jpg"))
    batch = np.stack([pixels(path.read_bytes(), contents.fitted.card.preprocess) for path in photos[:IMAGES]])
    engine = open_saved_engine(run / "model" / "engine", FALLBACK)
    assert engine is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        run / "export" / "run-fixed.onnx", options, providers=["CPUExecutionProvider"]
    )
    openvino = import_openvino()
    graph = core().read_model(run / "export" / "run-openvino.xml")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = core().compile_model(graph, "CPU", settings)

    def in_openvino(size: int) -> None:
        queue = openvino.AsyncInferQueue(compiled)
        for begin in range(0, IMAGES, size):
            queue.start_async({0: batch[begin : begin + size]})
        queue.wait_all()

    def in_onnxruntime(size: int) -> None:
        for begin in range(0, IMAGES, size):
            session.run(None, {"pixels": batch[begin : begin + size]})

    runs: dict[str, Callable[[], object]] = {"ours": lambda: list(engine.stream([batch]))}
    for size in BATCHES:
        runs[f"onnxruntime, {size}"] = lambda size=size: in_onnxruntime(size)
        runs[f"OpenVINO, {size}"] = lambda size=size: in_openvino(size)
    return batch, runs


def speed(run: Path, *, one_core: bool) -> dict[str, float]:
    """Return images a second, the best of the rounds taken in turn."""
    clock = time.process_time if one_core else time.perf_counter
    _, runs = runs_of(run, 1 if one_core else os.cpu_count() or 1)
    best = dict.fromkeys(runs, float("inf"))
    for counted in range(1 + ROUNDS):
        for name, once in runs.items():
            begin = clock()
            once()
            if counted:
                best[name] = min(best[name], clock() - begin)
    return {name: round(IMAGES / seconds, 1) for name, seconds in best.items()}


def speed_row(network: str, run: Path, *, one_core: bool) -> dict[str, Any]:
    """Measure in a process of its own: a runtime counts the cores that it may use once."""
    words = [sys.executable, __file__, "--measure", str(run), *([] if one_core else ["--all-cores"])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rates = json.loads(done.stdout)
    ratios = {
        name: round(max(rate for way, rate in rates.items() if way.startswith(name)) / rates["ours"], 3)
        for name in ("onnxruntime", "OpenVINO")
    }
    return {
        "what": "speed, one core" if one_core else "speed, all cores",
        "network": network,
        "images_per_second": rates,
        "ratio": ratios,
        "load_average": [round(value, 1) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "machine": machine_of_row(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--all-cores", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    one_core = not options.all_cores
    if options.measure is not None:
        if one_core and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        print(json.dumps(speed(options.measure, one_core=one_core)))
        return
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(row["what"], row.get("set"), row["network"]) for row in rows}
    speed_name = "speed, one core" if one_core else "speed, all cores"
    for network in options.networks.split(","):
        for name in options.sets.split(","):
            lacks_parity = ("parity", name, network) not in done
            lacks_speed = name == SPEED_SET and (speed_name, None, network) not in done
            if not lacks_parity and not lacks_speed:
                continue
            with tempfile.TemporaryDirectory() as place:
                run = trained(name, network, Path(place))
                made = parity_rows(name, network, run)  # also writes the files whose speed is measured
                made = made if lacks_parity else []
                made += [speed_row(network, run, one_core=one_core)] if lacks_speed else []
            with RESULTS.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in made)
            for row in made:
                print({key: value for key, value in row.items() if key != "machine"}, flush=True)


if __name__ == "__main__":
    main()
