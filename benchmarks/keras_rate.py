"""How many images a second Keras trains on, and graftwork, on the same machine.

    python benchmarks/keras_rate.py --keras PYTHON [--px 96,224] [--compiled plain,xla] [--rounds 3] [--again]

PYTHON is that of an environment with tensorflow (or tensorflow-cpu) and pillow. MobileNetV2 with every layer trained,
batch norm with the statistics of the weights, batches of 32, on 256 JPEG files of 768 x 512 (``training.write_photos``);
the median of the epochs after the first. Keras is fed as its guide to transfer learning feeds it, by
``image_dataset_from_directory``: from files, and from tensors that it keeps in memory after the first epoch; in float32
and, where the processor has it, in mixed bfloat16; compiled by XLA (one round, it is slow) and not. graftwork trains as
in ``training.py``. All take turns, and the median of the rounds counts.

Writes results/keras_rate.KIND.json; a case that is in the file is measured again only with ``--again``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import training
from machine import describe, results_path
from processes import answer_of

NETWORK = "mobilenetv2_100"
GRAFTWORK = "graftwork"
RUNNER = """
import json, sys, time
import keras, numpy as np, tensorflow as tf
folder, px, epochs, policy, source, compiled = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]
keras.mixed_precision.set_global_policy(policy)
keras.utils.set_random_seed(0)
photos = keras.utils.image_dataset_from_directory(folder, image_size=(px, px), batch_size=32, verbose=False)
images, classes = len(photos.file_paths), len(photos.class_names)
if source == "memory":
    photos = photos.cache()
body = keras.applications.MobileNetV2(input_shape=(px, px, 3), include_top=False, weights=None)
inputs = keras.Input((px, px, 3))
augmented = keras.layers.RandomFlip("horizontal")(inputs)
codes = body(keras.applications.mobilenet_v2.preprocess_input(augmented), training=False)
outputs = keras.layers.Dense(classes, dtype="float32")(keras.layers.GlobalAveragePooling2D()(codes))
model = keras.Model(inputs, outputs)
model.compile(
    keras.optimizers.AdamW(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    jit_compile=compiled == "xla",
)
class Epochs(keras.callbacks.Callback):
    ends = []
    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.perf_counter())
model.fit(photos.prefetch(tf.data.AUTOTUNE), epochs=epochs, verbose=0, callbacks=[Epochs()])
versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
print(json.dumps({"rate": images / float(np.median(np.diff(Epochs.ends))), "versions": versions}))
"""


def keras(python: str, photos: Path, px: int, *case: str) -> dict[str, Any]:
    """Images per second (``rate``) of one process of Keras, and its ``versions``."""
    words = [python, "-c", RUNNER, str(photos), str(px), str(training.EPOCHS), *case]
    result: dict[str, Any] = answer_of(words, TF_CPP_MIN_LOG_LEVEL="3")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keras", required=True, metavar="PYTHON")
    parser.add_argument("--px", default="96,224")
    parser.add_argument("--compiled", default="plain,xla")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    checkout = Path(__file__).resolve().parents[1]
    path = results_path("keras_rate")
    cells = json.loads(path.read_text()) if path.exists() else {}
    flags = describe()["flags"]
    has_bf16 = isinstance(flags, list) and "avx512_bf16" in flags
    policies = ("float32", "mixed_bfloat16") if has_bf16 else ("float32",)
    cases = list(itertools.product(policies, ("files", "memory"), options.compiled.split(",")))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        training.write_photos(folder / "photos")
        name = training.weights_of(NETWORK, folder / "weights")
        for px in map(int, options.px.split(",")):
            key = f"{NETWORK}, {px} px"
            if key in cells and not options.again:
                continue
            rates: dict[str, list[float]] = {", ".join(case): [] for case in cases} | {GRAFTWORK: []}
            versions: dict[str, str] = {}
            for turn in range(options.rounds):
                for case in cases:
                    if turn == 0 or "xla" not in case:
                        result = keras(options.keras, folder / "photos", px, *case)
                        rates[", ".join(case)].append(round(result["rate"], 1))
                        versions = result["versions"]
                own = training.measure(checkout, folder / "photos", folder / "cache", name, px, 0)
                rates[GRAFTWORK].append(round(own["rate"], 1))
            medians = {case: statistics.median(each) for case, each in rates.items()}
            best = max(medians[", ".join(case)] for case in cases)
            cells[key] = {
                "rounds": rates, "medians": medians, "ratio_to_the_best": round(medians[GRAFTWORK] / best, 2),
                "keras": versions, "machine": describe(),
            }  # fmt: skip
            print(key, medians, cells[key]["ratio_to_the_best"], flush=True)
            path.write_text(json.dumps(cells, indent=1) + "\n")


if __name__ == "__main__":
    main()
