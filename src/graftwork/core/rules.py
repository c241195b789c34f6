"""Findings: what the facts mean for the user, and what to do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from graftwork.core.choose import Row, Score, Verdict
from graftwork.core.plans import Candidate, Linear, labels_of
from graftwork.core.trials import Trial

Severity = Literal["error", "warning", "note"]


PAIR = " = "
"""Between the names of two images that are alike."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing worth knowing, with its evidence and the next step.

    ``code`` is stable and citable (``G1xx`` images, ``G2xx`` splits, ``G3xx`` results, ``G4xx`` backbones and codes).
    """

    code: str
    severity: Severity
    title: str
    because: str
    do: str = ""
    """A command, a flag or a step; empty where nothing needs doing."""
    basis: Literal["measured", "rule of thumb"] = "measured"
    count: int = 0
    examples: tuple[str, ...] = ()
    """Names of images concerned, two that are alike as ``PAIR`` joins them: at most twenty, of unreadable ones a
    thousand."""


def series_finding(apart: Score, together: Row, *, images: int) -> Finding:
    """G306: the figure with likely series kept on one side, beside the one that lets them straddle."""
    unit = 1.0 if apart.metric == "log-loss" else 100.0
    return Finding(
        "G306",
        "warning",
        "the figures are optimistic: images seem to come in series",
        f"with likely series on one side of every fold the chosen classifier reads {unit * apart.value:.1f} "
        f"(95 % interval {unit * apart.low:.1f} to {unit * apart.high:.1f}), not {unit * together.score:.1f}; series "
        "that no picture gives away would lower it further",
        "tell what belongs together with `--group-by`, and believe the lower figure until then",
        count=images,
    )


def shift_finding(there: Score, *, folder: str, chosen: str) -> Finding:
    """G307: what was chosen for another place, and what it reads there."""
    unit = 1.0 if there.metric == "log-loss" else 100.0
    return Finding(
        "G307",
        "note",
        "chosen for images that look different",
        f"{chosen} reads {unit * there.value:.1f} (95 % interval {unit * there.low:.1f} to {unit * there.high:.1f}) on "
        f"{there.images} images of {folder} that chose nothing; the other half chose among linear, tuned and half of "
        "the way, for plain fine-tuning is known to lose under such a shift what it gains at home (Kumar et al. 2022)",
        count=there.images,
    )


def unlabelled_shift_finding(*, folder: str, images: int) -> Finding:
    """G311: images of another place that tell nothing, for they have no labels."""
    return Finding(
        "G311",
        "warning",
        "images of another place without labels",
        f"{images} images of {folder} have no labels, so the choice was made at home; plain fine-tuning is known to "
        "lose under such a shift what it gains there, where linear, LP-FT and half of the way hold (Kumar et al. 2022, "
        "Wortsman et al. 2022)",
        "label some of them, one folder a class, and give the folder again: half will choose, half test",
        count=images,
    )


SHORTCUT_POINTS = 3.0
FEW_IMAGES = 1000


def result_findings(
    verdict: Verdict, trials: tuple[Trial, ...], *, images: int, how_tested: str
) -> tuple[Finding, ...]:
    """Judge a verdict: every rule looks at it and says something or nothing."""
    chosen = verdict.rows[verdict.chosen]
    found = [
        _shortcut(verdict, chosen),
        _no_better_than_majority(verdict, chosen),
        _earlier_layer(verdict, trials),
        _small_test(images, how_tested),
        _seeds(verdict, trials),
    ]
    return tuple(finding for finding in found if finding is not None)


def _shortcut(verdict: Verdict, chosen: Row) -> Finding | None:
    """G301: what can be known without the network nearly suffices."""
    if verdict.metric == "log-loss":
        return None
    near = [row for row in verdict.baselines if 100 * (chosen.score - row.score) < SHORTCUT_POINTS]
    if not near:
        return None
    row = max(near, key=lambda r: r.score)
    return Finding(
        "G301",
        "warning",
        "a shortcut may carry the result",
        f"{row.label} alone reads {100 * row.score:.1f} %, the chosen classifier {100 * chosen.score:.1f} %",
        "look at how the classes were photographed or saved; test on images from another source with `--test FOLDER`",
    )


def _no_better_than_majority(verdict: Verdict, chosen: Row) -> Finding | None:
    """G302: nothing was learned that can be told from always naming the largest class."""
    majority = next((row for row in verdict.baselines if row.label == "majority class"), None)
    if majority is None or majority.beaten:
        return None
    return Finding(
        "G302",
        "warning",
        "no layer is shown to beat the majority class",
        f"{chosen.label} and naming the largest class every time cannot be told apart on these images",
        "check the labels, and add images",
    )


def _earlier_layer(verdict: Verdict, trials: tuple[Trial, ...]) -> Finding | None:
    """G303: an earlier layer reads these images better than the last one, the note's third situation.

    Whatever was chosen: the best linear classifier on one layer stands against the best on that network's last.
    """
    if verdict.metric == "log-loss":
        return None
    linear = [j for j, trial in enumerate(trials) if isinstance(trial.candidate.plan, Linear)]
    views = min((trials[j].candidate.views for j in linear), default=1)  # more were tried on the chosen layer alone
    single = [j for j in linear if len(trials[j].candidate.taps) == 1 and trials[j].candidate.views == views]
    if not single:
        return None
    best = max(single, key=lambda j: verdict.rows[j].score)
    network = [j for j in single if trials[j].candidate.backbone == trials[best].candidate.backbone]
    last = [j for j in network if trials[j].candidate.taps == trials[network[-1]].candidate.taps]
    gain = verdict.rows[best].score - max(verdict.rows[j].score for j in last)
    if best in last or gain < 0.01:
        return None
    return Finding(
        "G303",
        "note",
        "an earlier layer reads these images better than the last",
        f"{verdict.rows[best].label} is {100 * gain:.1f} points above the last layer, out of fold: "
        "the images differ from those that the network was trained on",
    )


def _seeds(verdict: Verdict, trials: tuple[Trial, ...]) -> Finding | None:
    """G308: how much of a fine-tuning's figure is chance in training, and how much chance in the images."""
    repeated = [j for j, trial in enumerate(trials) if trial.seed_losses]
    if not repeated:
        return None
    j = min(repeated, key=lambda j: (j != verdict.chosen, verdict.rows[j].deficit))
    row, losses = verdict.rows[j], np.array(trials[j].seed_losses)
    unit, name = (1.0, "nats") if verdict.metric == "log-loss" else (100.0, "points")
    return Finding(
        "G308",
        "note",
        "chance in training stands beside chance in the images",
        f"{row.label} varies by {unit * losses.std(ddof=1):.2f} {name} (one standard deviation) over {len(losses)} "
        f"seeds on the same folds, and by {unit * (row.high - row.low) / 3.92:.2f} over draws of the images",
        count=len(losses),
    )


def _small_test(images: int, how_tested: str) -> Finding | None:
    """G304: with few images the test part is small, and its interval wide."""
    if images >= FEW_IMAGES or how_tested != "held-out test":
        return None
    return Finding(
        "G304",
        "note",
        "few images: a test part of its own is small",
        f"{images} images in all; nested cross-validation tests the procedure with every one of them",
        "add `--test cv`",
        basis="rule of thumb",
    )


def left_out_finding(candidates: Sequence[Candidate]) -> Finding:
    """G309: fine-tunings of which the time limit, or the user, left not one fold; which says nothing of them."""
    because = f"not one fold was run of {', '.join(labels_of(candidates))}; that says nothing of them"
    do = "give a longer --time-limit, or none"
    return Finding("G309", "note", "fine-tunings that were left out", because, do, count=len(candidates))


def astray_finding(candidates: Sequence[Candidate]) -> Finding:
    """G310: fine-tunings whose loss was no number any more."""
    because = f"the loss of {', '.join(labels_of(candidates))} was no number any more"
    return Finding(
        "G310", "warning", "fine-tunings that went astray", because, "give a lower --lr", count=len(candidates)
    )
