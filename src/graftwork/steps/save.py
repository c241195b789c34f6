"""The end of the story: the record, the model folder, the thumbnails and the report."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import importlib.metadata
import io
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graftwork.codes.extract import LayerCodes
from graftwork.core.advice import Advice
from graftwork.core.facts import digest_of
from graftwork.core.findings import Finding
from graftwork.core.fitted import Fitted, probabilities
from graftwork.core.int8 import Int8Change, int8_finding
from graftwork.core.record import ImageTable, Projection, Run, Shift, TestScore
from graftwork.core.result_findings import (
    TestedRun,
    advice_findings,
    advised_settings,
    repeated_look_finding,
    result_findings,
)
from graftwork.core.trials import Task
from graftwork.files import whole_folder, write_text
from graftwork.finetune.context import FineTuneContext
from graftwork.fit import fit
from graftwork.images.decoding import prefetched
from graftwork.images.pixels import decode
from graftwork.images.thumbnail import thumbnail
from graftwork.listener import Listener
from graftwork.machine import processor_name
from graftwork.model.folder import Sample, write_model
from graftwork.model.novelty import fit_novelty
from graftwork.progress import Stages
from graftwork.reporting.page import images_to_show, model_card, write_report
from graftwork.runfolder import write_run
from graftwork.steps import output
from graftwork.steps.advise import known_to_gauge
from graftwork.steps.backbones import Backbone, Backbones
from graftwork.steps.compete import WORK
from graftwork.steps.ledger import count_look
from graftwork.steps.prepare import SplitImages
from graftwork.steps.search import SearchResult

SAMPLES = 4
"""Number of classes of which the model folder holds an image."""
_REPORTED = ("graftwork", "numpy", "openvino", "pillow", "scikit-learn", "scipy", "timm", "torch", "torchvision")


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """Everything that the run led to."""

    split_images: SplitImages
    task: Task
    backbones: Backbones
    result: SearchResult
    advice: Advice
    context: FineTuneContext
    fitted: Fitted
    network: Backbone
    """That of the fitted classifier."""
    codes: LayerCodes
    """Of the develop images, by that network; of one view where it was tuned."""
    score: TestScore | None
    projection: Projection | None
    findings: tuple[Finding, ...]
    """About the validation scores themselves."""
    shift: Shift | None
    int8: Int8Change | None


def save(outcome: Outcome, folder: Path, settings: dict[str, Any], *, stages: Stages) -> Run:
    """Write the run's folder; ``run.json`` comes last, and the report after it can be rendered again.

    Parameters
    ----------
    settings
        What the user decided; ``final`` and ``slim`` decide about the model folder.
    """
    run = _record(outcome, settings, stages, folder)
    _write_thumbnails(run, outcome.split_images, folder / "thumbnails")
    _save_model(outcome, run, folder / "model")
    _write_predictions(run, folder / "predictions.csv")
    write_run(run, folder)
    write_report(run, folder)
    shutil.rmtree(folder / WORK, ignore_errors=True)  # a killed run goes on with these; this one is complete
    (folder / output.CLOCK).unlink(missing_ok=True)
    return run


def _write_predictions(run: Run, path: Path) -> None:
    """Write the prediction of every tested image as a table for people; where nothing was tested, there is none."""
    path.unlink(missing_ok=True)
    if run.test is None:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "label", "predicted", "probability", *(f"probability of {name}" for name in run.classes)])
    for row, label, by_class in zip(run.test.rows, run.test.y, run.test.probabilities, strict=True):
        best = int(by_class.argmax())
        names = (run.images.names[row], run.classes[label], run.classes[best])
        writer.writerow([*names, f"{by_class[best]:.4f}", *(f"{p:.4f}" for p in by_class)])
    write_text(path, text.getvalue())


def _record(outcome: Outcome, settings: dict[str, Any], stages: Stages, folder: Path) -> Run:
    split_images, result, split = outcome.split_images, outcome.result, outcome.split_images.split
    images = split_images.images
    parts = np.full(len(images), "left out", dtype="<U8")
    parts[split.develop], parts[split.test] = "develop", "test"
    folds = np.full(len(images), -1)
    folds[split.develop] = split.folds
    advised = outcome.backbones.by_name[outcome.advice.backbone]
    how = outcome.score.how if outcome.score is not None else "none"
    findings = (
        *split_images.findings,
        *outcome.backbones.findings,
        *result_findings(result.verdict, result.trials, outcome.task, images=len(images), how_tested=how),
        *result.findings,
        *advice_findings(outcome.advice, known_to_gauge(split_images.develop, advised.card)),
        *outcome.findings,
        *([] if outcome.int8 is None else [int8_finding(outcome.int8)]),
    )
    test, look_findings = _looked_at(outcome, settings, findings, folder, stages.listener)
    return Run(
        name=folder.name,
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        versions=_versions(),
        machine={"processor": processor_name(), "system": platform.platform()},
        command=output.command("train", settings),
        settings=settings,
        engine=outcome.network.extraction.engine,
        seed=outcome.task.seed,
        classes=images.classes,
        cards=outcome.backbones.cards,
        facts=split_images.facts,
        findings=(*findings, *look_findings),
        images=ImageTable(
            names=images.names,
            digests=tuple(map(str, images.digests)),
            labels=tuple(images.classes[label] for label in images.labels),
            parts=tuple(map(str, parts)),
            folds=tuple(map(int, folds)),
            groups=tuple(map(int, split.groups)),
        ),
        develop=split.develop,
        y=split_images.y,
        trials=result.trials,
        baselines=result.baselines,
        verdict=result.verdict,
        test=test,
        projection=outcome.projection,
        stage_seconds=dict(stages.seconds),
        advice=outcome.advice,
        shift=outcome.shift,
        int8=outcome.int8,
        folder=str(folder),
    )


def _looked_at(
    outcome: Outcome, settings: Mapping[str, Any], findings: Sequence[Finding], folder: Path, listener: Listener
) -> tuple[TestScore | None, tuple[Finding, ...]]:
    """Count the look at the test images before its score is shown; return the score with it, and what it means."""
    if outcome.score is None:
        return None, ()
    images = outcome.split_images.images
    run = TestedRun(
        data=digest_of(sorted((str(images.digests[i]), images.classes[images.labels[i]]) for i in range(len(images)))),
        settings={name: str(value) for name, value in settings.items()},
        advised=advised_settings(findings),
    )
    digests = [str(images.digests[row]) for row in outcome.score.rows]
    look = count_look(digests, str(folder.resolve()), listener, run)
    test = dataclasses.replace(outcome.score, look=look.number, seen=look.seen)
    if look.number == 1:
        return test, ()
    return test, (repeated_look_finding(look.number, test.seen_in_words, run, look.earlier),)


def _save_model(outcome: Outcome, run: Run, folder: Path) -> None:
    fitted, taps = outcome.fitted, outcome.result.chosen.candidate.taps
    belongs = "this model"
    if run.settings["final"] == "all":
        fitted = _fit_on_everything(outcome)
        belongs = "the model before it was fitted again on every image"
    tuned = outcome.result.chosen.candidate.plan.kind != "linear"
    shipped = outcome.network.with_fitted(fitted)
    write_model(
        folder,
        fitted,
        body=None if run.settings["slim"] and not tuned else shipped.body(),  # tuned weights are nowhere else
        write_engine=shipped.write_engine(fitted.taps),
        # codes of images that the network was trained on are closer than those of new ones: no measure of distance
        novelty=None if tuned else fit_novelty(outcome.codes.of(taps), outcome.task.folds, seed=outcome.task.seed),
        samples=_samples(outcome.split_images, fitted, shipped),
        readme=model_card(run),
        about={
            "trained_on": run.settings["final"],
            "chosen": run.verdict.rows[run.verdict.chosen].label,
            "test": None if run.test is None else _test_in_manifest(run.test, belongs),
            "int8": None if run.int8 is None else dataclasses.asdict(run.int8),
            "created": run.created,
            "versions": run.versions,
        },
    )


def _fit_on_everything(outcome: Outcome) -> Fitted:
    """Fit the chosen candidate again on the develop and the test part together."""
    split_images = outcome.split_images
    rows = np.concatenate([split_images.split.develop, split_images.split.test])
    images, y = split_images.images.take(rows), split_images.images.labels[rows]
    task = dataclasses.replace(outcome.task, y=y, groups=split_images.groups[rows], folds=np.zeros_like(rows))
    backbones, chosen = outcome.backbones.on(images), outcome.result.chosen
    context = dataclasses.replace(
        outcome.context, images=images, extract=backbones.extract, folder=outcome.context.folder / "all"
    )
    return fit(chosen, backbones.codes(chosen.candidate), task, context)


def _test_in_manifest(test: TestScore, belongs: str) -> dict[str, Any]:
    return {
        "metric": test.score.metric,
        "value": test.score.value,
        "low": test.score.low,
        "high": test.score.high,
        "images": len(test.y),
        "how": test.how,
        "belongs_to": belongs,
    }


def _samples(split_images: SplitImages, fitted: Fitted, network: Backbone) -> list[Sample]:
    """Return the first develop image of a few classes."""
    first = [int(np.flatnonzero(split_images.y == c)[0]) for c in np.unique(split_images.y)[:SAMPLES]]
    images = split_images.develop.take(first)
    rows = probabilities(fitted, network.codes(images).of([tap.name for tap in fitted.taps]))
    return [Sample(name, images.read(i), rows[i]) for i, name in enumerate(images.names)]


def _write_thumbnails(run: Run, split_images: SplitImages, folder: Path) -> None:
    """Write the pictures that the report shows as small JPEG files named by digest."""
    images, preprocess, shown = split_images.images, run.card.preprocess, images_to_show(run)

    def small(row: int) -> bytes:
        return thumbnail(decode(images.read(row), preprocess, images.names[row]))

    with whole_folder(folder) as part:
        for row, picture in zip(shown, prefetched(small, shown), strict=True):
            (part / f"{run.images.digests[row]}.jpg").write_bytes(picture)


def _versions() -> dict[str, str]:
    versions = {}
    for name in _REPORTED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
