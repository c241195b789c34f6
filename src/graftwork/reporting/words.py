"""The sentences of the report; every number in them is written by ``core.figures``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from graftwork.core import figures
from graftwork.core.choose import Verdict
from graftwork.core.facts import Metric
from graftwork.core.figures import difference, difference_unit, interval_in_words, number, unit
from graftwork.core.metrics import mean_loss, score_from_loss
from graftwork.core.plans import Candidate, Kind, linear_of, recipe_of
from graftwork.core.record import Run
from graftwork.core.trials import MAJORITY, Ended, Trial

METRIC_NAMES: dict[Metric, str] = {
    "accuracy": "accuracy",
    "balanced-accuracy": "balanced accuracy",
    "macro-f1": "macro F1",
    "log-loss": "log loss",
}
SELECTED = "validation, selected"
"""Label of every figure on which the choice was based."""
NO_BREAK = "\u00a0"


def figure(metric: Metric, value: float) -> str:
    """A score with its unit, which no line break separates from it."""
    return figures.figure(metric, value).replace(" ", NO_BREAK)


def probability(value: float) -> str:
    """A probability of one class for one image, with its unit."""
    return figures.probability(value).replace(" ", NO_BREAK)


def seconds(duration: float) -> str:
    """A duration with its unit."""
    return figures.seconds(duration).replace(" ", NO_BREAK)


def one_line(text: str) -> str:
    """A name on one line, nothing in it hidden: line breaks, tabs and control characters become visible."""
    return "".join(c if c.isprintable() or c == "\u00a0" else "␣" if c.isspace() else "�" for c in text)


def capital(text: str) -> str:
    """A text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> list[tuple[str, bool]]:
    """A finding's text in pieces, each with whether it is something to type; it begins and ends as a sentence does."""
    text = one_line(text).strip()
    if text.startswith(("--", "graft ")) and "`" not in text:
        return [(text, True)]
    if text and text[-1] not in ".!?":
        text += "."
    return [(piece, i % 2 == 1) for i, piece in enumerate(capital(text).split("`")) if piece]


def shortened(text: str, length: int) -> str:
    """A name of at most ``length`` characters; what is cut is cut from its middle, since endings tell names apart."""
    text = one_line(text)
    if len(text) <= length:
        return text
    tail = length // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"


@dataclasses.dataclass(frozen=True)
class Headline:
    """What a reader should take away if nothing else is read."""

    value: str
    unit: str
    label: str
    """What the figure is, in three words."""
    sentence: str
    how: str
    tested: bool


def headline(run: Run) -> Headline:
    """Return the test score in words, or the validation score, marked as selected."""
    metric = run.verdict.metric
    if run.test is None:
        row = run.verdict.rows[run.verdict.chosen]
        between = interval_in_words(metric, row.low, row.high)
        if row.low is None:
            between += ": the images are of too few independent groups"
        return Headline(
            number(metric, row.score),
            unit(metric),
            f"{METRIC_NAMES[metric]}{_direction(metric)}, {SELECTED}",
            f"{_subject(metric, compared(run), 'predicted out of fold', row.score)} ({between}).",
            "There was no test: the candidate was chosen on these same images, so the score on new images will be a "
            "little lower.",
            tested=False,
        )
    test = run.test
    unseen = "each predicted by a model that was chosen and fitted without it"
    whom = unseen if test.how == "nested cross-validation" else "that were not used for any choice"
    between = interval_in_words(metric, test.score.low, test.score.high)
    interval = "no interval" if test.score.low is None else "interval"
    looks = "looked at for the first time" if test.look == 1 else f"look number {test.look} at {test.seen_in_words}"
    return Headline(
        number(metric, test.score.value),
        unit(metric),
        f"test {METRIC_NAMES[metric]}{_direction(metric)}",
        f"{_subject(metric, len(test.y), whom, test.score.value)} ({between}).",
        f"{capital(test.how)}, {looks}; {interval}: {test.score.interval}.",
        tested=True,
    )


def _direction(metric: Metric) -> str:
    return ", lower is better" if metric == "log-loss" else ""


def _subject(metric: Metric, n: int, whom: str, value: float) -> str:
    aside = ", " if whom.startswith("each") else " "
    if metric == "accuracy":
        return f"Of {n:,} images{aside}{whom}, {figure(metric, value)} were classified correctly"
    return f"On {n:,} images{aside}{whom}, the {METRIC_NAMES[metric]} is {figure(metric, value)}"


def majority(run: Run) -> str:
    """The score of always giving one answer on the images of the headline; empty where it was not recorded."""
    constant = next((b for b in run.baselines if b.name == MAJORITY), None)
    if constant is None:
        return ""
    metric = run.verdict.metric
    y = run.y if run.test is None else run.test.y
    row = constant.probabilities[0]
    value = score_from_loss(metric, mean_loss(metric, y, np.tile(row, (len(y), 1))))
    answer = "the class frequencies" if metric == "log-loss" else f"“{one_line(run.classes[int(row.argmax())])}”"
    return f"Always answering {answer} would score {figure(metric, value)}."


EQUALS_TIMES = 20
"""Candidates that this many times the images could not tell apart are equals to anybody who has these images."""


def verdict(run: Run) -> str:
    """The verdict with its reason, as one sentence or two."""
    conclusion, images = run.verdict, compared(run)
    text = f"{capital(conclusion.words)}: {one_line(conclusion.because)}."
    settle = conclusion.images_to_settle
    if settle is not None and settle > EQUALS_TIMES * images:
        text += " So small a difference would take many times these images to show: it is a choice between equals."
    elif settle is not None and settle > images:
        rounding = 10 ** max(len(str(settle)) - 2, 0)  # an estimate deserves two digits
        rounded = -(-settle // rounding) * rounding
        have = "there are" if images == len(run.y) else "the folds that were run have"
        text += f" About {rounded:,} develop images would settle it; {have} {images:,}."
    return text


def compared(run: Run) -> int:
    """Number of develop images on which the candidates were compared: those of the folds that all of them ran on."""
    return len(run.y) if run.verdict.images is None else run.verdict.images


ENDED: dict[Ended, str] = {
    "completed": "completed",
    "represented": "represented by the chosen linear classifier, which alone was compared with fine-tunings",
    "eliminated": "eliminated: others scored better on the folds that were run",
    "diverged": "diverged: its loss became NaN or infinite; a lower --lr may help",
    "interrupted": "interrupted: it did not run on all folds, which says nothing about it",
}
"""How a trial ended, and what follows from that."""


def outcome(verdict: Verdict, trials: Sequence[Trial], position: int) -> str:
    """Why the candidate at ``position`` was chosen or not."""
    row, ended = verdict.rows[position], trials[position].ended
    if position == verdict.chosen:
        best = position == verdict.best
        if best:
            return "chosen: the best score"
        if row.expected_deficit is None:
            return "chosen: the cheapest that nothing beats significantly"
        tolerance = figures.points(verdict.metric, verdict.tolerance)
        return f"chosen: the cheapest that is expected within {tolerance} of the best; nothing beats it significantly"
    if ended != "completed":
        return ENDED[ended]
    if row.beaten:
        return "not chosen: significantly worse than the best"
    if row.deficit_to_judge > verdict.tolerance:
        expected = "" if row.expected_deficit is None else "expected to be "
        return f"not chosen: {expected}more than {figures.points(verdict.metric, verdict.tolerance)} behind the best"
    return "not chosen: no significant gain over the chosen, which costs no more"


def alternatives(verdict: Verdict, trials: Sequence[Trial]) -> str:
    """Why the chosen candidate won, and the seconds and points of the best of every other kind."""
    won = trials[verdict.chosen]
    rivals: dict[Kind, int] = {}
    for i, trial in enumerate(trials):
        if (kind := trial.candidate.plan.kind) != won.candidate.plan.kind:
            rivals[kind] = min(
                rivals.get(kind, i), i, key=lambda j: (trials[j].ended != "completed", verdict.rows[j].deficit)
            )
    label = one_line(verdict.rows[verdict.chosen].label)
    text = f"Chosen is {label}, fitted in {seconds(won.fit_seconds)}: {one_line(verdict.because)}."
    if not rivals:
        return text
    sentences = [_alternative(verdict, trials, i) for i in rivals.values()]
    return f"{text} The best of every other kind: {'; '.join(sentences)}."


def _alternative(verdict: Verdict, trials: Sequence[Trial], position: int) -> str:
    trial, row, won = trials[position], verdict.rows[position], verdict.rows[verdict.chosen]
    took = f"{one_line(row.label)} took {seconds(trial.fit_seconds)}"
    if trial.ended == "interrupted":
        return f"{took} until it was interrupted, which says nothing about it"
    behind = difference(verdict.metric, abs(row.deficit - won.deficit))
    part = trial.ended in ("eliminated", "diverged") and not trial.run.all()
    where = " on the folds that it ran" if part else ""
    if not float(behind):
        return f"{took} and scored the same{where}"
    which = "worse" if row.deficit > won.deficit else "better"
    # only differences to the best were judged
    chance = verdict.best in (position, verdict.chosen) and not row.beaten
    by = f"{behind} {difference_unit(verdict.metric)}"
    return f"{took} and scored {by} {which}{where}{', which may be chance' if chance else ''}"


def chosen(run: Run) -> Trial:
    """The trial that the verdict chose."""
    return run.trials[run.verdict.chosen]


def transfer(candidate: Candidate) -> str:
    """The layers under the classifier, or what was fine-tuned."""
    return one_line(candidate.layer if candidate.plan.kind == "linear" else candidate.label)


def codes_from(candidate: Candidate) -> str:
    """Which layers give the codes of a candidate."""
    if candidate.plan.kind == "linear":
        return one_line(candidate.layer)
    return f"{one_line(candidate.taps[-1])} of the fine-tuned network"


def classifier(trial: Trial) -> str:
    """How a candidate is fitted, in words."""
    if trial.candidate.plan.kind != "linear":
        recipe = recipe_of(trial.candidate)
        begin = "random weights" if recipe.kind == "scratch" else "the linear model on its last layer"
        return f"fine-tuning for {recipe.epochs} epochs at a learning rate of {recipe.lr:.2g}, from {begin}"
    plan = linear_of(trial.candidate)
    kind = "softmax (logistic regression)" if plan.loss == "softmax" else "linear SVM"
    scaled = "standardised codes" if plan.normalise == "standard" else "codes of length 1"
    c = trial.details.get("C")
    return f"{kind} on {scaled}" + (f", C = {c:.3g}" if c is not None else "")


def body(candidate: Candidate) -> str:
    """What was done with the network's own weights, in a sentence or two."""
    if candidate.plan.kind == "linear":
        return "The network's own weights were not changed; only the linear classifier was fitted."
    plan = recipe_of(candidate)
    if plan.kind == "scratch":
        return "The network was trained from random weights on these images alone."
    what = (
        "Every layer of the network and the linear classifier on its last layer were fine-tuned"
        if plan.freeze_to is None
        else f"The network is frozen up to and including {one_line(plan.freeze_to)}; the layers above it and the "
        "linear classifier on the last layer were fine-tuned"
    )
    average = "" if plan.alpha == 1 else f" {_wise_ft(plan.alpha)}"
    return f"{what}, from the pretrained weights.{average} {cached_augmentations([candidate])}".strip()


def _wise_ft(alpha: float) -> str:
    return (
        f"The weights are {1 - alpha:g} times those before and {alpha:g} times those after fine-tuning (WiSE-FT, alpha "
        f"{alpha:g})."
    )


def cached_augmentations(candidates: Sequence[Candidate]) -> str:
    """Which augmentation was fixed by caching activations, as a sentence; empty where none was."""
    plans = [recipe_of(c) for c in candidates if c.plan.kind == "partial"]
    plans = [plan for plan in plans if plan.cached_augmentations]
    if not plans:
        return ""
    counts = sorted({plan.cached_augmentations for plan in plans})
    layers = dict.fromkeys(one_line(plan.freeze_to or "") for plan in plans)
    views = f"{_any_of(map(str, counts))} augmented view{'' if counts == [1] else 's'}"
    return (
        f"When fine-tuning above {_any_of(layers)}, activations below were computed once, in {views} of each image, "
        "and cached; every epoch used one of these views."
    )


def _any_of(items: Iterable[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} or {last}" if first else last
