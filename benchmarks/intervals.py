"""How often the intervals of scores hold the true score, and how wide they are, on simulated images.

    python benchmarks/intervals.py [--trials 1000]

A cell is a metric, a true accuracy, a number of images and of groups, the correlation of mistakes within a group (beta
distributed), the classes with their sizes, and whether groups are of one size or of many (Pareto). Classes differ in
difficulty. Shares are simulated as hits and misses; log loss by a Gaussian classifier that is too confident, right, or
too cautious. Every cell that ``results/intervals.json`` has is not computed again.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
from pathlib import Path

import numpy as np
from machine import describe
from numpy.typing import NDArray

from graftwork.core.facts import Metric
from graftwork.core.intervals import LEAST_GROUPS, clopper_pearson, score_interval
from graftwork.core.metrics import mean_loss

RESULTS = Path(__file__).parent / "results" / "intervals.json"
SHARES: tuple[Metric, ...] = ("accuracy", "balanced-accuracy", "macro-f1")
ACCURACIES = (0.5, 0.8, 0.95, 0.99)
IMAGES = (12, 40, 200, 1000)
GROUPS = (None, LEAST_GROUPS, 5, 8, 20)
CORRELATIONS = (0.0, 0.3, 1.0)
CLASSES = (2, 5)
TEMPERATURES = (0.5, 1.0, 2.0)


def groups_of(n: int, n_groups: int | None, unlike: bool, rng: np.random.Generator) -> NDArray[np.int64]:
    """(about n,) group of each image."""
    if n_groups is None:
        return np.arange(n)
    sizes = rng.pareto(1.5, n_groups) + 0.3 if unlike else np.ones(n_groups)
    return np.repeat(np.arange(n_groups), np.maximum(1, np.round(sizes / sizes.sum() * n)).astype(int))


def classes_of(groups: NDArray[np.int64], k: int, unlike: bool, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) class of each image: that of its group."""
    n_groups = int(groups.max()) + 1
    share = np.linspace(1, 0.1, k) if unlike else np.ones(k)
    of_group = np.repeat(np.arange(k), np.maximum(1, np.round(share / share.sum() * n_groups)).astype(int))
    padded = np.r_[of_group, np.zeros(n_groups, np.int64)][:n_groups]
    return rng.permutation(padded)[groups]


def shares_cell(cell: dict[str, object], trials: int, seed: int) -> dict[str, float]:
    """Coverage and width of the interval of a share."""
    rng = np.random.default_rng(seed)
    metric, accuracy, k = str(cell["metric"]), float(cell["accuracy"]), int(cell["classes"])
    groups = groups_of(int(cell["images"]), cell["groups"], bool(cell["unlike_groups"]), rng)
    y = classes_of(groups, k, bool(cell["unlike_classes"]), rng)
    n, count = len(y), np.bincount(y, minlength=k)
    recall = accuracy + np.linspace(-1, 1, k) * 0.8 * min(accuracy, 1 - accuracy)
    recall = np.clip(recall - (recall @ count / n - accuracy), 0.02, 0.999)
    counts = np.outer(count * (1 - recall), np.ones(k)) / (k - 1)
    np.fill_diagonal(counts, count * recall)
    truth = true_score(metric, counts)
    first = np.unique(groups, return_index=True)[1]
    of_group, correlation = recall[y[first]], float(cell["correlation"])
    held, widths, none = 0, [], 0
    for _ in range(trials):
        if correlation == 1:
            chance = (rng.random(len(first)) < of_group).astype(float)
        elif correlation:
            strength = 1 / correlation - 1
            chance = rng.beta(of_group * strength, (1 - of_group) * strength)
        else:
            chance = of_group
        hit = rng.random(n) < chance[groups]
        predicted = np.where(hit, y, (y + rng.integers(1, k, n)) % k)
        interval = score_interval(metric, y, np.eye(k)[predicted], groups)
        if interval.low is None or interval.high is None:
            none += 1
            continue
        held += interval.low - 1e-12 <= truth <= interval.high + 1e-12
        low, high = clopper_pearson(int(hit.sum()), n)
        widths.append((interval.high - interval.low) / (high - low))
    return summary(held, widths, none)


def true_score(metric: str, counts: NDArray[np.float64]) -> float:
    """The score of expected confusion counts (k, k)."""
    hits, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    present = true > 0
    if metric == "accuracy":
        return float(hits.sum() / true.sum())
    if metric == "balanced-accuracy":
        return float((hits[present] / true[present]).mean())
    return float((2 * hits[present] / (true + predicted)[present]).mean())


def draw(
    k: int, temperature: float, correlation: float, groups: NDArray[np.int64], signal: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n,) classes and (n, k) probability rows of a Gaussian classifier; its errors correlate within groups."""
    n_groups = int(groups.max()) + 1
    y = rng.integers(0, k, n_groups)[groups]
    noise = rng.normal(size=(len(groups), k)) * (1 - correlation) ** 0.5
    noise += rng.normal(size=(n_groups, k))[groups] * correlation**0.5
    margins = signal * (signal * np.eye(k)[y] + noise) / temperature
    rows = np.exp(margins - margins.max(axis=1, keepdims=True))
    return y, rows / rows.sum(axis=1, keepdims=True)


@functools.cache
def calibrated(accuracy: float, k: int, temperature: float) -> tuple[float, float]:
    """The signal at which the classifier has this accuracy, and its true log loss."""
    rng = np.random.default_rng(0)
    low, high = 0.01, 8.0
    for _ in range(18):
        signal = (low + high) / 2
        y, rows = draw(k, temperature, 0.0, np.arange(50_000), signal, rng)
        low, high = (signal, high) if (rows.argmax(axis=1) == y).mean() < accuracy else (low, signal)
    return signal, mean_loss("log-loss", *draw(k, temperature, 0.0, np.arange(2_000_000), signal, rng))


def log_loss_cell(cell: dict[str, object], trials: int, seed: int) -> dict[str, float]:
    """Coverage of the interval of the log loss, and its width as a share of the true one."""
    rng = np.random.default_rng(seed)
    k, temperature, correlation = int(cell["classes"]), float(cell["temperature"]), float(cell["correlation"])
    signal, truth = calibrated(float(cell["accuracy"]), k, temperature)
    groups = groups_of(int(cell["images"]), cell["groups"], bool(cell["unlike_groups"]), rng)
    held, widths, none = 0, [], 0
    for _ in range(trials):
        y, rows = draw(k, temperature, correlation, groups, signal, rng)
        interval = score_interval("log-loss", y, rows, groups)
        if interval.low is None or interval.high is None:
            none += 1
            continue
        held += interval.low <= truth <= interval.high
        widths.append((interval.high - interval.low) / truth)
    return summary(held, widths, none)


def summary(held: int, widths: list[float], none: int) -> dict[str, float]:
    """What a cell says."""
    if not widths:
        return {"no_interval": 1.0}
    return {
        "coverage": round(held / len(widths), 4),
        "median_width": round(float(np.median(widths)), 3),
        "no_interval": round(none / (none + len(widths)), 3),
    }


def cells() -> list[dict[str, object]]:
    """Every situation."""
    situations: list[dict[str, object]] = []
    for accuracy, images, groups, k in itertools.product(ACCURACIES, IMAGES, GROUPS, CLASSES):
        if groups is not None and groups >= images:
            continue
        for correlation, unlike in itertools.product(CORRELATIONS, (False, True)):
            if groups is None and (correlation or unlike):
                continue
            same = {"accuracy": accuracy, "images": images, "groups": groups, "classes": k}
            same |= {"correlation": correlation, "unlike_groups": unlike}
            for metric, unlike_classes in itertools.product(SHARES, (False, True)):
                situations.append({"metric": metric, **same, "unlike_classes": unlike_classes})
            if accuracy > 1 / k:
                situations += [
                    {"metric": "log-loss", **same, "temperature": temperature} for temperature in TEMPERATURES
                ]
    return situations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    done = json.loads(RESULTS.read_text())["cells"] if RESULTS.exists() else []
    known = {json.dumps(each["cell"]) for each in done if each["trials"] == trials}
    done = [each for each in done if each["trials"] == trials]
    for number, cell in enumerate(cells()):
        if json.dumps(cell) in known:
            continue
        measure = log_loss_cell if cell["metric"] == "log-loss" else shares_cell
        done.append({"cell": cell, "trials": trials, **measure(cell, trials, number)})
        if number % 50 == 0:
            save(done)
    save(done)


def save(done: list[dict[str, object]]) -> None:
    """Write what was measured so far."""
    part = RESULTS.with_suffix(".part")
    lines = ",\n".join(json.dumps(each) for each in done)
    part.write_text(f'{{"machine": {json.dumps(describe())},\n"cells": [\n{lines}\n]}}\n')
    part.replace(RESULTS)


if __name__ == "__main__":
    main()
