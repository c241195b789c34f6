"""Choosing C and refitting on real codes, compared with scikit-learn: seconds, and how good the choice is.

    python benchmarks/choose_c.py [--repeats 3] [--newton-cholesky] [--no-judge]

cifar10 of ``../shared`` through MobileNetV2 at 224 px (n = 9,500, d = 1,280, 10 classes), standardised, 5 folds, 10
values of C from 1e-4 to 1e4. Timed in turns, in one process tree:

- ``ours``: ``cross_validate`` and ``refit``, softmax and SVM, standardisation included;
- ``LogisticRegressionCV``: lbfgs, n_jobs=2, float32, codes standardised before the clock starts;
- ``lbfgs in our search``: ``LogisticRegression`` (lbfgs) with a warm start over the values of C that our search visits,
  folds on two processes, then a refit at the C that our search chose.

newton-cholesky builds a Hessian of (10 * 1,281)^2: with ``--newton-cholesky``, one fit of one fold at one C is timed
(minutes; it stays in the results until it is timed again); 51 fits would be needed. The choice is judged by the accuracy
of every C of the grid and of the chosen C, each fold solved to 1e-6 of the objective.
Writes ``benchmarks/results/choose_c.KIND.json``, KIND being the processor's.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import machine
import numpy as np
import threadpoolctl
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import PredefinedSplit, StratifiedKFold

from graftwork.linear.cross_validate import cross_validate, refit
from graftwork.linear.solver import fit_linear

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"
CACHE = Path(tempfile.gettempdir()) / "graftwork-choose-c.npz"
RESULT = machine.results_path("choose_c")
GRID = np.logspace(-4, 4, 10)


def codes_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """(9500, 1280) float32 and (9500,), extracted once."""
    if not CACHE.exists():
        x, y = extract()
        np.savez(CACHE, x=x, y=y)
    with np.load(CACHE) as saved:
        return saved["x"], saved["y"]


def extract() -> tuple[np.ndarray, np.ndarray]:
    import pyarrow.parquet
    import torch
    from PIL import Image
    from safetensors.torch import load_file

    from graftwork.backbones.torchvision_import import make_torchvision_importable

    make_torchvision_importable()
    import timm

    table = pyarrow.parquet.read_table(SHARED / "datasets" / "cifar10.parquet")
    network = timm.create_model("mobilenetv2_100")
    network.load_state_dict(load_file(SHARED / "weights" / "mobilenetv2_100.tv_in1k.safetensors"))
    network.reset_classifier(0)
    network.eval()
    transform = timm.data.create_transform(224, interpolation="bilinear", crop_pct=0.875)
    images, parts = table["image"].to_pylist(), []
    with torch.inference_mode():
        for begin in range(0, len(images), 64):
            batch = [Image.open(io.BytesIO(data)).convert("RGB") for data in images[begin : begin + 64]]
            parts.append(network(torch.stack([transform(image) for image in batch])).numpy())
    return np.concatenate(parts), np.unique(table["label"].to_pylist(), return_inverse=True)[1]


def ours(x: np.ndarray, y: np.ndarray, folds: np.ndarray, loss: str) -> Any:
    result = cross_validate(x, y, folds, n_classes=10, loss=loss, metric="accuracy", Cs=GRID)
    refit(x, y, n_classes=10, loss=loss, C=result.C)
    return result


def scikit_learns(codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> Any:
    model = LogisticRegressionCV(
        Cs=GRID, cv=PredefinedSplit(folds), n_jobs=2, scoring="accuracy", l1_ratios=(0,), use_legacy_attributes=False
    )
    return model.fit(codes, y)


def one_fold(codes: np.ndarray, y: np.ndarray, Cs: list[float]) -> None:
    """Fit along a path of values of C, each from the weights of the nearest value before it."""
    fitted: dict[float, tuple[np.ndarray, np.ndarray]] = {}
    model = LogisticRegression(warm_start=True)
    for C in Cs:
        if fitted:
            nearest = min(fitted, key=lambda other: abs(np.log(other / C)))
            model.coef_, model.intercept_ = (part.copy() for part in fitted[nearest])
        model.set_params(C=C).fit(codes, y)
        fitted[C] = model.coef_.copy(), model.intercept_.copy()


def lbfgs_in_our_search(codes: np.ndarray, y: np.ndarray, folds: np.ndarray, result: Any) -> None:
    path = [float(C) for C in GRID if C in result.tried]
    path += [C for C in result.tried if C not in path]
    jobs = (joblib.delayed(one_fold)(codes[folds != f], y[folds != f], path) for f in range(5))
    joblib.Parallel(n_jobs=2)(jobs)
    LogisticRegression(C=result.C).fit(codes, y)


def converged_accuracy(x: np.ndarray, y: np.ndarray, folds: np.ndarray, C: float, loss: str) -> float:
    """Return the out-of-fold accuracy of converged classifiers in per cent."""
    right = 0
    for fold in range(5):
        inside = folds != fold
        weight, bias = fit_linear(x[inside], y[inside], n_classes=10, loss=loss, C=C, tolerance=1e-6, dtype=np.float32)
        right += int(((x[~inside] @ weight.T + bias).argmax(axis=1) == y[~inside]).sum())
    return round(100 * right / len(y), 2)


def clock(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def newton_cholesky_once(codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> dict[str, float]:
    model = LogisticRegression(C=float(GRID[1]), solver="newton-cholesky")
    seconds, _ = clock(lambda: model.fit(codes[folds != 0], y[folds != 0]))
    return {"C": float(GRID[1]), "seconds_one_fold_one_C": seconds, "fits_needed": 5 * len(GRID) + 1}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--newton-cholesky", action="store_true")
    parser.add_argument("--no-judge", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    os.environ["PYTHONWARNINGS"] = "ignore"  # for the worker processes of scikit-learn

    x, y = codes_and_labels()
    codes = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    folds = np.empty(len(y), int)
    for number, (_, out) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(x, y)):
        folds[out] = number

    seconds: dict[str, list[float]] = {
        name: [] for name in ("softmax", "svm", "LogisticRegressionCV", "lbfgs in our search")
    }
    ours(x, y, folds, "softmax")  # warm-up: the first call imports, and loads pages
    for _ in range(options.repeats):
        took, softmax = clock(lambda: ours(x, y, folds, "softmax"))
        seconds["softmax"].append(took)
        took, svm = clock(lambda: ours(x, y, folds, "svm"))
        seconds["svm"].append(took)
        took, peer = clock(lambda: scikit_learns(codes, y, folds))
        seconds["LogisticRegressionCV"].append(took)
        took, _ = clock(lambda chosen=softmax: lbfgs_in_our_search(codes, y, folds, chosen))
        seconds["lbfgs in our search"].append(took)
        print({name: round(values[-1], 2) for name, values in seconds.items()}, flush=True)

    median = {name: statistics.median(values) for name, values in seconds.items()}
    result: dict[str, Any] = {
        "machine": machine.describe() | {"load_average_1m": os.getloadavg()[0]},
        "blas": [
            {key: pool[key] for key in ("prefix", "version", "architecture", "num_threads")}
            for pool in threadpoolctl.threadpool_info()
            if pool["user_api"] == "blas"
        ],
        "data": {"set": "cifar10", "n": len(y), "d": x.shape[1], "classes": 10, "folds": 5, "grid": GRID.tolist()},
        "seconds": seconds,
        "median_seconds": median,
        "ratios": {
            "LogisticRegressionCV / ours": median["LogisticRegressionCV"] / median["softmax"],
            "lbfgs in our search / ours": median["lbfgs in our search"] / median["softmax"],
            "our svm / our softmax": median["svm"] / median["softmax"],
        },
        "chosen": {
            "ours": {"C": softmax.C, "tried": softmax.tried, "temperature": softmax.temperature},
            "ours svm": {"C": svm.C, "tried": svm.tried, "temperature": svm.temperature},
            "LogisticRegressionCV": {"C": float(np.ravel(peer.C_)[0])},
        },
    }
    earlier = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if options.newton_cholesky:
        result["newton-cholesky"] = newton_cholesky_once(codes, y, folds) | {"date": result["machine"]["date"]}
    elif "newton-cholesky" in earlier:
        result["newton-cholesky"] = earlier["newton-cholesky"]
    if not options.no_judge:
        result["accuracy_converged_percent"] = {
            loss: {f"{C:.3g}": converged_accuracy(codes, y, folds, C, loss) for C in sorted((*GRID[:top], chosen.C))}
            for loss, chosen, top in (("softmax", softmax, 7), ("svm", svm, 5))
        }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: result[key] for key in ("median_seconds", "ratios")}, indent=1))
    print(result.get("newton-cholesky"), result.get("accuracy_converged_percent"))


if __name__ == "__main__":
    main()
