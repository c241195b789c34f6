"""A run to draw: scikit-learn's real digits through layers of fixed random filters, with real linear fits."""

from __future__ import annotations

import functools
import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from graftwork.advice.sources import gain_model, ladder
from graftwork.core.advice import Advice, Expectation, LearningCurve, Similarity, Size, situation_of
from graftwork.core.choose import choose
from graftwork.core.facts import BackboneCard, DatasetFacts, Metric, Preprocess, Tap
from graftwork.core.findings import Finding
from graftwork.core.gains import Gain, expected_gains
from graftwork.core.metrics import softmax
from graftwork.core.plans import Candidate, Linear, Recipe, cost_to_use
from graftwork.core.record import ImageTable, Projection, Run, TestScore
from graftwork.core.scoring import score
from graftwork.core.splits import Split, make_split
from graftwork.core.trials import Baseline, Task, Trial

HOSTILE = (
    "<script>document.title='broken'</script>",
    "quo\"te' & <b>bold</b>",
    "new\nline\tand tab",
    "Ünï-ćødé 猫 🐈",
    "$$\\alpha$$ {{ 7*7 }} @name",
    "</style></script><img src=x onerror=alert(1)>",
    "a_very_long_name_" * 6,
    "../../etc/passwd",
    "--> <!-- x",
    "javascript:alert(1)",
)


def png(image: np.ndarray) -> bytes:
    """Bytes of an 8 x 8 digit at 96 px, as a thumbnail is written."""
    file = io.BytesIO()
    grey = Image.fromarray((255 - image * 255 / 16).astype(np.uint8)).resize((96, 96), Image.Resampling.NEAREST)
    grey.convert("RGB").save(file, "JPEG", quality=80)
    return file.getvalue()


def layer_codes(images: np.ndarray) -> dict[str, np.ndarray]:
    """Codes of a network of random filters at four depths; the last is pooled to nothing."""
    rng = np.random.default_rng(7)
    codes, planes = {}, images[:, None] / 16
    for depth, channels in enumerate((12, 24, 48)):
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(planes, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), axis=(2, 3)
        )
        weight = rng.normal(size=(channels, planes.shape[1], 3, 3)) / np.sqrt(9 * planes.shape[1])
        planes = np.maximum(np.einsum("nchwij,kcij->nkhw", windows, weight, optimize=True), 0)
        pooled = planes.reshape(len(planes), channels, 2, planes.shape[2] // 2, 2, planes.shape[3] // 2).mean(
            axis=(3, 5)
        )
        codes[f"blocks.{depth}"] = pooled.reshape(len(planes), -1)
        if depth == 0:
            planes = planes.reshape(len(planes), channels, 4, 2, 4, 2).mean(axis=(3, 5))
    codes["pooled"] = planes.mean(axis=(2, 3))
    return codes


HEADS = {"hinge": SVC(C=10, gamma="scale"), "neighbours": KNeighborsClassifier(3),
         "forest": ExtraTreesClassifier(50, random_state=0)}  # fmt: skip
"""What stands in for fine-tunings: real fits that are not linear, of the raw pixels."""


def out_of_fold(x: np.ndarray, y: np.ndarray, folds: np.ndarray, loss: str, k: int) -> tuple[np.ndarray, object]:
    """Probability rows of a real fit (a linear one in closed form, to be quick), and it refitted on everything."""
    by_softmax = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3) if k <= 10 else RidgeClassifier(3.0)
    head = by_softmax if loss == "softmax" else RidgeClassifier(30.0)
    model = make_pipeline(StandardScaler(), HEADS.get(loss, head))
    cv = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in np.unique(folds)]
    rows = np.zeros((len(y), k))
    for fit, judge in cv:
        rows[np.ix_(judge, np.unique(y[fit]))] = as_rows(model.fit(x[fit], y[fit]), x[judge])
    return rows.astype(np.float32), model.fit(x, y)


def as_rows(model: object, x: np.ndarray) -> np.ndarray:
    if hasattr(model, "predict_proba"):
        return model.predict_proba(x)
    values = model.decision_function(x)
    values = np.column_stack([-values, values]) / 2 if values.ndim == 1 else values
    return softmax(values, 0.25)


def labels_of(digits: np.ndarray, images: np.ndarray, k: int) -> np.ndarray:
    """Two classes: odd or even; ten: the digit; more: each digit cut into equal parts by its ink."""
    if k <= 10:
        return digits % k
    ink, parts, labels = images.sum(axis=(1, 2)), k // 10, np.zeros(len(digits), int)
    for digit in range(10):
        mine = np.flatnonzero(digits == digit)
        rank = ink[mine].argsort().argsort()
        labels[mine] = digit * parts + rank * parts // len(mine)
    return labels


@functools.cache
@threadpool_limits.wrap(limits=1)  # the matrices are tiny: threads would only wait for each other
def example_run(
    n: int = 120,
    seed: int = 0,
    classes: tuple[str, ...] = tuple("0123456789"),
    metric: Metric = "accuracy",
    tested: bool = True,
    trials: int | None = None,
    flip: int = 0,
    tuned: bool = False,
    advised: bool = True,
) -> Run:
    """A whole run on n digits, everything in it fitted and judged for real; ``flip`` labels are given wrong.

    ``tuned``: fine-tunings stand beside the linear candidates, with other real fits in their place. Without
    ``advised``, an earlier version wrote the record.
    """
    k = len(classes)
    digits = load_digits()
    pick = np.random.default_rng(seed).permutation(len(digits.target))[:n]
    images, y = digits.images[pick], labels_of(digits.target, digits.images, k)[pick]
    wrong = np.random.default_rng(seed).choice(n, flip, replace=False)
    y[wrong] = (y[wrong] + 1 + wrong) % k
    names = tuple(f"{classes[c]}/digit {i:04d}.png" for c, i in zip(y, pick, strict=True))
    split = make_split(y, np.arange(n), seed=seed, test_fraction=0.25 if tested else 0)
    codes = layer_codes(images)
    codes["all"] = np.concatenate(list(codes.values()), axis=1)
    taps = tuple(t for t in codes if t != "all")
    develop, truth = split.develop, y[split.develop]
    tried, models = [], []
    plans = [((t,), loss) for t in taps for loss in ("softmax", "svm")] + [(taps, "softmax")]
    for layers, loss in plans[-trials:] if trials else plans:
        x = codes["all" if len(layers) > 1 else layers[0]]
        rows, model = out_of_fold(x[develop], truth, split.folds, loss, k)
        fit_seconds = 0.02 * x.shape[1] / 48
        details = {"C": 0.05 if loss == "softmax" else 0.01, "temperature": 1.0 if loss == "softmax" else 0.25}
        tried.append(Trial(Candidate("example:random-filters", layers, Linear(loss)), rows, fit_seconds, details))  # type: ignore[arg-type]
        models.append((model, x))
    if tuned:
        pixels = images.reshape(n, -1)
        for trial, model in tuned_trials(pixels[develop], truth, split.folds, taps, k):
            tried.append(trial)
            models.append((model, pixels))
    card = example_card(codes, taps)
    baselines = example_baselines(images[develop], truth, split, k)
    verdict = choose(
        tried,
        [cost_to_use(t.candidate, [card]) for t in tried] if tuned else [t.fit_seconds for t in tried],
        Task(truth, np.arange(len(develop)), split.folds, classes, metric, seed=seed),
        baselines,
    )
    model, x = models[verdict.chosen]
    test = test_score(metric, split, y, np.float32(spread(model, x[split.test], k))) if tested else None
    return Run(
        name="digits-001",
        created="2026-11-23T20:55:00+01:00",
        versions={"graftwork": "0.1.0", "python": "3.11.2", "numpy": np.__version__},
        machine={"processor": "an example processor", "cores": "2", "system": "Linux"},
        command=f"graft train digits --metric {metric} --seed {seed}",
        settings={"metric": metric, "strategy": "linear", "test": 0.25, "tolerance": 1.0, "final": "develop"},
        engine="openvino fp32",
        seed=seed,
        classes=classes,
        cards=(card,),
        facts=DatasetFacts(
            n, classes, tuple(np.bincount(truth, minlength=k).tolist()), None, 8, 8, {"PNG": n}, {"L": n}
        ),
        findings=example_findings(names),
        images=image_table(names, images, y, split, classes),
        develop=develop,
        y=truth,
        trials=tuple(tried),
        baselines=baselines,
        verdict=verdict,
        test=test,
        projection=Projection(
            "PCA", np.arange(n), PCA(2, random_state=0).fit_transform(codes["blocks.1"]).astype(np.float32)
        ),
        advice=example_advice(truth, k, tuned=tuned) if advised else None,
        stage_seconds={"read and check images": 0.8, "codes": 2.9, "linear fits": 4.4, "refit": 0.3, "report": 0.9},
    )


def example_advice(y: np.ndarray, k: int, *, tuned: bool) -> Advice:
    """What graftwork says of digits: different from the source, with half of a curve where there are few of each."""
    size = Size(len(y), tuple(np.bincount(y, minlength=k).tolist()), len(y))
    points = ((len(y) // 5, 0.6), (2 * len(y) // 5, 0.7), (4 * len(y) // 5, 0.78))
    expectations = [Expectation("last layer", Gain(0.0, 0.0, 0.0), seconds=0.0)] + [
        Expectation(name, gain)
        for name, gain in expected_gains(
            gain_model(), error=0.22, effective_per_class=size.effective_per_class, entropy=1.6
        ).items()
    ]
    advice = Advice(
        "example:random-filters",
        Similarity("package:efficientnet_lite0", len(y), 1.6, 11.0, 0.6, 0.5, 0.9, {"blocks.0": 0.4}, 0.5),
        ladder(),
        size,
        LearningCurve(points if k <= 10 else points[-1:]),
        0.22,
        situation_of(size.effective_per_class, 1.6),
        tuple(expectations),
    )
    gains = {"best layer": Gain(1.2, 0.1, 2.3)}
    measured = gains | ({"all layers tuned": Gain(-0.4, -2.0, 1.2)} if tuned else {})
    return advice.with_measured(measured, gain_model())


def tuned_trials(
    pixels: np.ndarray, y: np.ndarray, folds: np.ndarray, taps: tuple[str, ...], k: int
) -> list[tuple[Trial, object]]:
    """Fine-tunings as a tournament leaves them: completed, with WiSE-FT, eliminated, interrupted, and from scratch."""
    cut = {"cached_augmentations": 8}
    plans = [
        (Recipe(taps[1], 12, **cut), "hinge", 84.0, "completed", 5),
        (Recipe(taps[1], 12, **cut, alpha=0.5), "neighbours", 84.0, "completed", 5),
        (Recipe(taps[0], 12, **cut), "neighbours", 131.0, "completed", 5),
        (Recipe(taps[2], 12, **cut), "neighbours", 13.0, "eliminated", 1),
        (Recipe(None, 12), "forest", 61.5, "interrupted", 2),
        (Recipe(None, 48, lr=2e-3, start="random"), "neighbours", 310.0, "completed", 5),
    ]
    results = []
    for plan, loss, seconds, ended, ran in plans:
        rows, model = out_of_fold(pixels, y, folds, loss, k)
        rows[folds >= ran] = np.nan
        falls = np.exp(-np.arange(1, plan.epochs + 1) * (0.02 if plan.start == "random" else 0.25))
        level = 0.2 + 0.1 * len(results)
        curve = tuple(zip((0.5 + 1.6 * falls).tolist(), (level + 1.4 * falls).tolist(), strict=True))
        candidate = Candidate("example:random-filters", taps[-1:], plan, input_px=8)
        details = {"C": 0.05, "temperature": 1.0}
        results.append((Trial(candidate, rows, seconds, details, ended, curve), model))
    return results


def spread(model: object, x: np.ndarray, k: int) -> np.ndarray:
    rows = np.zeros((len(x), k))
    rows[:, model.classes_] = as_rows(model, x)
    return rows


def example_baselines(images: np.ndarray, y: np.ndarray, split: Split, k: int) -> tuple[Baseline, ...]:
    counts = np.bincount(y, minlength=k) / len(y)
    ink = np.column_stack([images.mean(axis=(1, 2)), images.std(axis=(1, 2))])
    facts, _ = out_of_fold(ink, y, split.folds, "softmax", k)
    pixels, _ = out_of_fold(images.reshape(len(y), -1), y, split.folds, "softmax", k)
    majority = np.tile(counts, (len(y), 1)).astype(np.float32)
    return (
        Baseline("majority class", majority),
        Baseline("file facts", facts),
        Baseline("16 x 16 pixels", pixels),
    )


def test_score(metric: Metric, split: Split, y: np.ndarray, rows: np.ndarray) -> TestScore:
    truth, groups = y[split.test], np.arange(len(split.test))
    figure = score(metric, truth, rows, groups)
    return TestScore(figure, "held-out test", split.test, truth, rows)


test_score.__test__ = False  # type: ignore[attr-defined]


def example_card(codes: dict[str, np.ndarray], taps: tuple[str, ...]) -> BackboneCard:
    depths = np.linspace(0.25, 1, len(taps))
    return BackboneCard(
        name="example:random-filters",
        source="file",
        architecture="random filters",
        weights="nothing but a seed",
        preprocess=Preprocess(input_px=8, crop_fraction=1.0),
        taps=tuple(Tap(t, float(d), codes[t].shape[1], relu=True) for t, d in zip(taps, depths, strict=True)),
        weights_sha256=hashlib.sha256(b"seed 7").hexdigest(),
        licence="Apache-2.0",
        data_terms="none: nothing was trained",
        trained_on="nothing",
        params_millions=0.01,
    )


def example_findings(names: tuple[str, ...]) -> tuple[Finding, ...]:
    return (
        Finding(
            "G302",
            "warning",
            "Raw pixels score almost as well as the network",
            "16 x 16 pixels are within 3 points of the winner: what tells the classes apart may be a shortcut",
            "look at the images below; if brightness or position gives the class away, collect others",
        ),
        Finding(
            "G111",
            "warning",
            "4 images have a near-duplicate",
            "their pixels correlate above 0.98 at 64 px; they were kept on one side of the split",
            "`graft check digits` lists them",
            count=4,
            examples=names[:4],
        ),
        Finding(
            "G101",
            "error",
            "1 file could not be read",
            "it ends in the middle of its data",
            "repair or remove it; the other images were used",
            count=1,
            examples=("3/cut <off>.png",),
        ),
        Finding("G205", "note", "Few images are left for the test", "30 images give an interval of 10 points and more",
                "`--test cv` tests with every image once", basis="rule of thumb"),
    )  # fmt: skip


def image_table(
    names: tuple[str, ...], images: np.ndarray, y: np.ndarray, split: Split, classes: tuple[str, ...]
) -> ImageTable:
    part, fold = np.full(len(names), "left out", dtype=object), np.full(len(names), -1)
    part[split.develop], part[split.test] = "develop", "test"
    fold[split.develop] = split.folds
    return ImageTable(
        names,
        tuple(hashlib.sha256(png(image)).hexdigest() for image in images),
        tuple(classes[c] for c in y),
        tuple(part.tolist()),
        tuple(fold.tolist()),
        tuple(split.groups.tolist()),
    )


def write_thumbnails(rows: np.ndarray, run: Run, folder: Path, n: int, seed: int = 0) -> Path:
    """Write the thumbnails of these rows of the run's image table, as a run does."""
    folder.mkdir(parents=True, exist_ok=True)
    pick = np.random.default_rng(seed).permutation(1797)[:n]
    images = load_digits().images[pick]
    for row in rows:
        (folder / f"{run.images.digests[row]}.jpg").write_bytes(png(images[row]))
    return folder
