"""Does an exported file give its samples the right probabilities in runtimes that phones and other programs use?

    graft export RUN --input fixed -o model.onnx
    python benchmarks/runtimes.py model.onnx

Needs numpy and Pillow, and of the runtimes those that are to be tried: opencv-python-headless, MNN, tract, ncnn with pnnx;
an environment of their own is best. The samples beside the file are made inputs by its own example. One line of
``results/runtimes.jsonl`` per runtime: the largest difference of a probability, or why there is none.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe
from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results" / "runtimes.jsonl"
Pixels = NDArray[np.uint8]


def samples(model: Path) -> tuple[Pixels, NDArray[np.float64]]:
    """(n, px, px, 3) inputs and (n, k) probabilities of the samples."""
    script = model.with_name(f"{model.stem}-example.py")
    source = script.read_text(encoding="utf-8").partition("\nfor path in sys.argv[1:]")[0]
    example: dict[str, Any] = {"__name__": "example", "__file__": str(script)}
    exec(compile(source, script, "exec"), example)
    folder = example["SAMPLES"]
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    pixels = np.stack([example["square"](example["decoded"](folder / name)) for name in expected])
    return pixels, np.array([sample["probabilities"] for sample in expected.values()])


def opencv(model: Path, pixels: Pixels) -> list[Any]:
    import cv2

    network = cv2.dnn.readNetFromONNX(str(model))
    rows = []
    for image in pixels:
        network.setInput(image[None])
        rows.append(network.forward()[0].copy())
    return rows


def mnn(model: Path, pixels: Pixels) -> list[Any]:
    import MNN

    with tempfile.TemporaryDirectory() as folder:
        converted = f"{folder}/model.mnn"
        command = ["-f", "ONNX", "--modelFile", str(model), "--MNNModel", converted, "--bizCode", "x"]
        subprocess.run([Path(sys.executable).with_name("mnnconvert"), *command], check=True, stdout=subprocess.DEVNULL)
        network = MNN.nn.load_module_from_file(converted, ["pixels"], ["probabilities"])
    rows = []
    for image in pixels:
        # NCHW is MNN's word for the order that the ONNX file has, whatever its axes are
        given = MNN.expr.placeholder([1, *image.shape], MNN.expr.NCHW, MNN.expr.uint8)
        given.write(np.ascontiguousarray(image[None]))
        rows.append(np.array(MNN.expr.convert(network.forward([given])[0], MNN.expr.NCHW).read()).ravel())
    return rows


def tract(model: Path, pixels: Pixels) -> list[Any]:
    import tract

    network = tract.onnx().load(model).into_model().into_runnable()  # with its number of images left open
    return [network.run([image[None]])[0].to_numpy()[0] for image in pixels]


def ncnn(model: Path, pixels: Pixels) -> list[Any]:
    import ncnn

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "model.onnx")
        copy.write_bytes(model.read_bytes())
        shape = ",".join(map(str, (1, *pixels.shape[1:])))
        command = [Path(sys.executable).with_name("pnnx"), str(copy), f"inputshape=[{shape}]u8"]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        parameters = copy.with_name("model.ncnn.param")
        # ncnn has no casts: it is given floats, and the codes are not rounded to float16
        text = re.sub(r"^Tensor\.to (\s+\S+\s+1 1 \S+ \S+).*$", r"Noop \1", parameters.read_text(), flags=re.MULTILINE)
        parameters.write_text(text)
        network = ncnn.Net()
        options = network.opt
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = options.use_bf16_storage = (
            False
        )
        if network.load_param(str(parameters)) or network.load_model(str(copy.with_name("model.ncnn.bin"))):
            raise RuntimeError("ncnn cannot load what pnnx wrote")
    rows = []
    for image in pixels:
        extractor = network.create_extractor()
        extractor.input("in0", ncnn.Mat(np.ascontiguousarray(image, dtype=np.float32)).clone())
        rows.append(np.array(extractor.extract("out0")[1]).ravel())
    return rows


RUNTIMES: dict[str, tuple[str, Callable[[Path, Pixels], list[Any]]]] = {
    "OpenCV": ("opencv-python-headless", opencv),
    "MNN": ("MNN", mnn),
    "tract": ("tract", tract),
    "ncnn": ("ncnn", ncnn),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    model = parser.parse_args().model.resolve()
    pixels, expected = samples(model)
    lines = []
    for name, (package, run) in RUNTIMES.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            print(f"{name} is not installed: skipped")
            continue
        rows = np.array(run(model, pixels), dtype=np.float64)
        difference = float(np.abs(rows - expected).max())
        same = bool((rows.argmax(1) == expected.argmax(1)).all())
        lines.append(
            {"runtime": name, "version": version, "samples": len(pixels), "largest": difference, "same_class": same}
        )
        print(lines[-1])
    machine = describe()
    RESULTS.write_text("".join(json.dumps({**line, "machine": machine}) + "\n" for line in lines))


if __name__ == "__main__":
    main()
