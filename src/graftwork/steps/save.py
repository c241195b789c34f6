"""The end of the story: the record, the model folder, the thumbnails and the report."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import io
import platform
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from graftwork.core.rules import Finding, result_findings
from numpy.typing import NDArray

from graftwork.codes.extract import LayerCodes
from graftwork.core.fitted import Fitted, probabilities
from graftwork.core.record import ImageTable, Projection, Run, Shift, TestScore
from graftwork.files import whole_folder
from graftwork.fit import FineTuneContext, fit
from graftwork.images.pixels import decode
from graftwork.listener import Stages
from graftwork.model.folder import Sample, write_model
from graftwork.model.novelty import fit_novelty
from graftwork.reporting.page import images_to_show, model_card, write_report
from graftwork.runfolder import write_run
from graftwork.steps.backbones import Backbone, Backbones
from graftwork.steps.compete import WORK
from graftwork.steps.prepare import SplitImages
from graftwork.steps.search import Rules, SearchResult
from graftwork.verbs import output as outputs

THUMBNAIL_PX = 96
SAMPLES = 4
_REPORTED = ("graftwork", "numpy", "openvino", "pillow", "scikit-learn", "scipy", "timm", "torch", "torchvision")


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """Everything that the run led to."""

    split_images: SplitImages
    backbones: Backbones
    backbone: Backbone
    """That of the chosen candidate."""
    rules: Rules
    found: SearchResult
    fitted: Fitted
    score: TestScore | None
    picture: Projection | None
    doubts: tuple[Finding, ...] = ()
    """What was found about the figures themselves on the way."""
    tuning: FineTuneContext | None = None
    shift: Shift | None = None


def save(
    outcome: Outcome,
    codes: LayerCodes,
    folder: Path,
    settings: dict[str, Any],
    *,
    final: Literal["develop", "all"],
    slim: bool,
    stages: Stages,
) -> Run:
    """Write the run's folder; ``run.json`` comes last, and the report after it can be rendered again."""
    run = _record(outcome, settings, stages, folder)
    _write_thumbnails(run, outcome.split_images, folder / "thumbnails")
    _save_model(outcome, run, codes, folder / "model", final=final, slim=slim)
    write_run(run, folder)
    write_report(run, folder)
    shutil.rmtree(folder / WORK, ignore_errors=True)  # a killed run goes on with these; this one is whole
    (folder / outputs.CLOCK).unlink(missing_ok=True)
    return run


def _record(outcome: Outcome, settings: dict[str, Any], stages: Stages, folder: Path) -> Run:
    split_images, found, split = outcome.split_images, outcome.found, outcome.split_images.split
    images = split_images.images
    parts = np.full(len(images), "left out", dtype="<U8")
    parts[split.develop], parts[split.test] = "develop", "test"
    folds = np.full(len(images), -1)
    folds[split.develop] = split.folds
    how = outcome.score.how if outcome.score is not None else "none"
    return Run(
        name=folder.name,
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        versions=_versions(),
        machine={"processor": platform.processor() or platform.machine(), "system": platform.platform()},
        command=outputs.command("train", settings),
        settings=settings,
        engine=outcome.backbone.extraction.engine,
        seed=outcome.rules.seed,
        classes=images.classes,
        cards=outcome.backbones.cards,
        facts=split_images.facts,
        findings=(
            *split_images.findings,
            *outcome.backbones.findings,
            *result_findings(found.verdict, found.trials, images=len(images), how_tested=how),
            *outcome.found.findings,
            *outcome.doubts,
            *_look_finding(outcome.score),
        ),
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
        trials=found.trials,
        baselines=found.baselines,
        verdict=found.verdict,
        test=outcome.score,
        projection=outcome.picture,
        stage_seconds=dict(stages.seconds),
        shift=outcome.shift,
        folder=str(folder),
    )


def _look_finding(score: TestScore | None) -> tuple[Finding, ...]:
    if score is None or score.look == 1:
        return ()
    return (
        Finding(
            "G305",
            "warning",
            "these test images have been looked at before",
            f"this is look {score.look} at {score.seen_in_words} on this machine; a choice between runs by their test "
            "score is a choice on the test set",
            "choose by the out-of-fold figures, and keep the last test for the end",
            count=score.look,
        ),
    )


def _save_model(
    outcome: Outcome, run: Run, codes: LayerCodes, folder: Path, *, final: Literal["develop", "all"], slim: bool
) -> None:
    split_images, found, fitted = outcome.split_images, outcome.found, outcome.fitted
    taps = found.chosen.candidate.taps
    belongs = "this model"
    develop_codes = codes.of(taps)
    if final == "all":
        rows = np.concatenate([split_images.split.develop, split_images.split.test])
        images = split_images.images.take(rows)
        every = outcome.backbone.codes(images)
        y = split_images.images.labels[rows]
        rules, tuning = outcome.rules, outcome.tuning
        if tuning is not None:
            tuning = dataclasses.replace(tuning, images=images, folder=tuning.folder / "all")
        fitted = fit(found.chosen, every, y, rules.classes, balanced=rules.balanced, tuning=tuning)
        develop_codes = outcome.backbone.with_fitted(fitted).codes(split_images.develop).of(taps)
        belongs = "the model before it was fitted again on every image"
    moved = fitted.card != outcome.backbone.extraction.card
    shipped = outcome.backbone.with_fitted(fitted)
    write_model(
        folder,
        fitted,
        body=None if slim and not moved else shipped.body(),  # moved weights are nowhere else
        write_engine=shipped.write_engine(fitted.taps),
        # codes of images that the network was trained on lie closer than those of new ones: no measure of distance
        novelty=None if moved else fit_novelty(develop_codes, split_images.split.folds, seed=outcome.rules.seed),
        samples=_samples(split_images, fitted, develop_codes),
        readme=model_card(run),
        about={
            "trained_on": final,
            "test": None if run.test is None else _told(run.test, belongs),
            "created": run.created,
            "versions": run.versions,
        },
    )


def _told(score: TestScore, belongs: str) -> dict[str, Any]:
    return {
        "metric": score.metric,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "images": len(score.y),
        "how": score.how,
        "belongs_to": belongs,
    }


def _samples(split_images: SplitImages, fitted: Fitted, codes: NDArray[np.floating]) -> list[Sample]:
    """Return the first develop image of a few classes."""
    rows = probabilities(fitted, codes)
    first = [int(np.flatnonzero(split_images.y == c)[0]) for c in np.unique(split_images.y)[:SAMPLES]]
    images = split_images.develop
    return [Sample(images.names[i], images.read(i), rows[i]) for i in first]


def _write_thumbnails(run: Run, split_images: SplitImages, folder: Path) -> None:
    """Write the pictures that the report wants as small JPEG files named by digest."""
    from PIL import Image

    preprocess = run.card.preprocess
    with whole_folder(folder) as part:
        for row in images_to_show(run):
            image = decode(split_images.images.read(row), preprocess, split_images.images.names[row])
            image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
            if max(image.size) < THUMBNAIL_PX:  # a tiny image is shown in whole pixels, not blurred
                scale = THUMBNAIL_PX // max(image.size)
                image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
            out = io.BytesIO()
            image.save(out, "JPEG", quality=80)
            (part / f"{run.images.digests[row]}.jpg").write_bytes(out.getvalue())


def _versions() -> dict[str, str]:
    found = {}
    for name in _REPORTED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
