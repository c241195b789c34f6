"""Networks in 8 bits: what they change on three sets, in both runtimes, and how fast they are.

    python benchmarks/int8.py [--sets hymenoptera] [--networks efficientnet_lite0]

Loss: a softmax on the last layer, five folds, up to 500 images a set; in 8 bits once with the heads that were fitted on
codes in float32 (unchanged, as ``graft export --int8`` has it) and once with heads fitted on codes in 8 bits (refitted, as
``graft train --engine int8``), and, for comparison, with one scale for all channels of a tensor. Speed: the same pixels through the network in float32 and in 8 bits, in one process on
one core, in turns, and dynamically quantised too; seconds are those of the processor, so that a busy machine gives the same ratios. One line a row in
``results/int8.jsonl``; rows that it has are not computed again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import SHARED, path_of
from export import machine_of_row

from graftwork.core.fitted import Head
from graftwork.core.int8 import int8_change
from graftwork.core.metrics import softmax
from graftwork.core.splits import deal
from graftwork.core.stats import shared_training

RESULTS = Path(__file__).parent / "results" / "int8.jsonl"
SETS = ("hymenoptera", "trashnet", "neu-steel")
NETWORKS = ("efficientnet_lite0", "mobilenetv2_100.tv_in1k")
RUNTIMES = ("onnxruntime", "openvino")
IMAGES, FOLDS, ROUNDS, TIMED = 500, 5, 7, 32
BATCHES = {"onnxruntime": (4, 16), "openvino": (4,)}
"""Images at a time; ours is 4 in OpenVINO."""


def card_of(network: str) -> Any:
    """The card with its last layer alone."""
    from graftwork.backbones.catalogue import find_card

    file = SHARED / "weights" / f"{network}.safetensors"
    card = find_card(str(file) if file.exists() else network)
    return dataclasses.replace(card, taps=card.taps[-1:])


def body_of(card: Any) -> Any:
    from graftwork.backbones.graph import codes_network
    from graftwork.backbones.load import load
    from graftwork.ship.onnx_body import body_model

    return body_model(codes_network(load(card), card), card.preprocess.input_px)


def some_images(name: str) -> Any:
    """Up to IMAGES of a set, spread over its classes."""
    from graftwork.images.read import read_images

    images = read_images(path_of(name))
    return images.take(np.unique(np.linspace(0, len(images) - 1, IMAGES).astype(int)))


def other_ways(body: Any, pixels: np.ndarray) -> tuple[Any, Any]:
    """Return the network with one scale for all channels of a tensor, and the one that is quantised as one goes."""
    import onnx
    from onnxruntime import quantization

    from graftwork.ship.onnx_int8 import _before_the_network, _quiet, _reader

    made = []
    with tempfile.TemporaryDirectory() as place, _quiet():
        for number in range(2):
            own = type(body)()
            own.CopyFrom(body)
            path = Path(place) / f"{number}.onnx"
            if number == 0:
                quantization.quantize_static(
                    own, path, _reader(pixels), quant_format=quantization.QuantFormat.QDQ, per_channel=False,
                    activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
                    calibrate_method=quantization.CalibrationMethod.MinMax,
                    nodes_to_exclude=_before_the_network(body),
                )  # fmt: skip
            else:
                quantization.quantize_dynamic(own, path, weight_type=quantization.QuantType.QUInt8)
            made.append(onnx.load(path))
    return made[0], made[1]


def loss_rows(name: str, network: str, card: Any, body: Any) -> list[dict[str, Any]]:
    from graftwork.backbones.batches import gathered
    from graftwork.images.pixels import pixels
    from graftwork.linear.cross_validate import cross_validate, refit
    from graftwork.ship.int8_engine import int8_engine
    from graftwork.ship.onnx_int8 import calibration_images, calibration_name, calibration_pixels, quantised_model

    images = some_images(name)
    shown = [pixels(images.read(i), card.preprocess, None, images.names[i]) for i in range(len(images))]
    batch = np.stack(shown)
    _, y = np.unique(images.labels, return_inverse=True)
    k, groups = int(y.max()) + 1, np.arange(len(y))
    folds = deal(y, groups, (1.0,) * FOLDS, np.random.default_rng(0))
    calibration = calibration_images(images)
    tag = calibration_name(calibration, card.preprocess)
    shown_to_it = calibration_pixels(calibration, card.preprocess)
    quantised, one_scale = quantised_model(body, shown_to_it), other_ways(body, shown_to_it)[0]

    def codes(model: Any, runtime: str) -> np.ndarray:
        (values,) = gathered(int8_engine(model, runtime, tag).stream([batch])).values()  # type: ignore[arg-type]
        return values.astype(np.float16)

    def tried(values: np.ndarray) -> Any:
        return cross_validate(values, y, folds, n_classes=k, loss="softmax", metric="accuracy", normalise="standard")

    plain = codes(body, "onnxruntime")
    before = tried(plain)
    rows = []
    for runtime, way in (*((runtime, quantised) for runtime in RUNTIMES), ("onnxruntime", one_scale)):
        values = codes(way, runtime)
        unchanged = np.zeros_like(before.probabilities)
        for fold in range(FOLDS):
            inside, outside = folds != fold, folds == fold
            head = Head(
                *refit(plain[inside], y[inside], n_classes=k, loss="softmax", C=before.C, normalise="standard"), ()
            )
            margins = values[outside].astype(np.float32) @ head.weight.T + head.bias
            unchanged[outside] = softmax(margins, before.temperature)
        centred = plain.astype(np.float32) - plain.mean(0, dtype=np.float32)
        error = np.linalg.norm(values.astype(np.float32) - plain.astype(np.float32)) / np.linalg.norm(centred)
        heads = {"unchanged": unchanged}
        if way is one_scale:
            heads = {"unchanged, one scale a tensor": unchanged}
        else:
            heads["refitted"] = tried(values).probabilities
        for head_name, probabilities in heads.items():
            change = int8_change(
                y, before.probabilities, probabilities, groups, engines=("float32", f"{runtime} int8"),
                rows_of="validation images", seed=0, widening=shared_training(FOLDS, FOLDS),
            )  # fmt: skip
            rows.append(
                {
                    "what": "loss", "set": name, "network": network, "runtime": runtime, "head": head_name,
                    "images": len(y), "equal": round(change.equal / len(y), 4),
                    "accuracy": round(change.accuracy_before, 4), "loss": round(change.loss, 4),
                    "low": round(change.loss_low, 4), "high": round(change.loss_high, 4),
                    "error_of_codes": round(float(error), 4), "machine": machine_of_row(),
                }
            )  # fmt: skip
    return rows


def speed_row(network: str, card: Any, body: Any) -> dict[str, Any]:
    """Images a processor second on one core, the best of the rounds taken in turn."""
    import onnxruntime

    from graftwork.backbones.openvino_import import core
    from graftwork.images.pixels import pixels
    from graftwork.ship.int8_engine import openvino_graph
    from graftwork.ship.onnx_int8 import calibration_images, calibration_pixels, quantised_model

    images = some_images(SETS[0])
    shown_to_it = calibration_pixels(calibration_images(images), card.preprocess)
    quantised, dynamic = quantised_model(body, shown_to_it), other_ways(body, shown_to_it)[1]
    batch = np.stack([pixels(images.read(i), card.preprocess) for i in range(TIMED)])
    runs: dict[str, Callable[[np.ndarray], Any]] = {}
    for precision, model in (("float32", body), ("int8", quantised), ("dynamic", dynamic)):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        runs[f"onnxruntime {precision}"] = lambda part, session=session: session.run(None, {"pixels": part})
        if model is dynamic:
            continue
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
        compiled = core().compile_model(openvino_graph(model), "CPU", settings)
        runs[f"openvino {precision}"] = lambda part, compiled=compiled: compiled(part)
    best = dict.fromkeys(runs, float("inf"))
    for counted in range(1 + ROUNDS):
        for name, run in runs.items():
            for at_once in BATCHES[name.split()[0]]:
                begin = time.process_time()
                for first in range(0, TIMED, at_once):
                    run(batch[first : first + at_once])
                if counted:
                    best[name] = min(best[name], time.process_time() - begin)
    return {
        "what": "speed, one core", "network": network,
        "images_per_processor_second": {name: round(TIMED / seconds, 1) for name, seconds in best.items()},
        "ratio": {name: round(best[f"{name} float32"] / best[f"{name} int8"], 2) for name in RUNTIMES},
        "size_mb": {"float32": round(body.ByteSize() / 1e6, 2), "int8": round(quantised.ByteSize() / 1e6, 2)},
        "load_average": [round(value, 1) for value in os.getloadavg()], "machine": machine_of_row(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--networks", default=",".join(NETWORKS))
    options = parser.parse_args()
    for network in options.networks.split(","):
        card = card_of(network)
        body = None
        for name in (None, *options.sets.split(",")):
            rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
            if (name, network) in {(row.get("set"), row["network"]) for row in rows}:
                continue
            body = body or body_of(card)
            made = [speed_row(network, card, body)] if name is None else loss_rows(name, network, card, body)
            with RESULTS.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in made)
            for row in made:
                print({key: value for key, value in row.items() if key != "machine"}, flush=True)


if __name__ == "__main__":
    main()
