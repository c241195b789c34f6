"""Figures as people read them: shares in per cent, log loss in nats, and the sentences of the headline."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from graftwork.core.choose import Verdict
from graftwork.core.metrics import Metric, mean_loss, score_from_loss
from graftwork.core.plans import Candidate, Linear, Recipe
from graftwork.core.record import Run
from graftwork.core.trials import Ended, Trial

METRIC_NAMES: dict[Metric, str] = {
    "accuracy": "accuracy",
    "balanced-accuracy": "balanced accuracy",
    "macro-f1": "macro F1",
    "log-loss": "log loss",
}
SELECTED = "validation, selected"
"""What stands beside every figure that the choice was made on."""


def percent(share: float) -> str:
    """``0.967`` as ``96.7``; what is not all never reads ``100.0``."""
    for decimals in (1, 2, 3):
        text = f"{100 * share:.{decimals}f}"
        if share >= 1 or float(text) < 100:
            break
    return text


def sure(probability: float) -> str:
    """The probability of one class for one image; the model is never said to be certain."""
    if probability < 0.001:
        return "<\u00a00.1\u00a0%"
    if probability > 0.999:
        return ">\u00a099.9\u00a0%"
    return f"{100 * probability:.1f}\u00a0%"


def bare(metric: Metric, value: float) -> str:
    """A score without its unit."""
    return f"{value:.3f}" if metric == "log-loss" else percent(value)


def unit(metric: Metric) -> str:
    """The unit of a score."""
    return "nats" if metric == "log-loss" else "%"


def figure(metric: Metric, value: float) -> str:
    """A score with its unit."""
    return f"{bare(metric, value)}\u00a0{unit(metric)}"


def interval(metric: Metric, low: float, high: float) -> str:
    """An interval of a score, without its unit."""
    return f"{bare(metric, low)} to {bare(metric, high)}"


def seconds(duration: float) -> str:
    """A duration with its unit."""
    return f"{duration:.1f}\u00a0s" if duration < 100 else f"{duration:,.0f}\u00a0s"


def gap(metric: Metric, deficit: float) -> str:
    """A difference of scores in points or nats, without its unit."""
    text = f"{deficit:.3f}" if metric == "log-loss" else f"{100 * deficit:.1f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


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
        between = interval(metric, row.low, row.high)
        return Headline(
            bare(metric, row.score),
            unit(metric),
            f"{METRIC_NAMES[metric]}{_direction(metric)}, {SELECTED}",
            f"{_subject(metric, compared(run), 'read out of fold', row.score)} (95 % interval {between}).",
            "Nothing was tested: the candidate was chosen on these same images, so new ones will read a little worse.",
            tested=False,
        )
    test = run.test
    unseen = "each read by a model that was chosen and fitted without it"
    whom = unseen if test.how == "nested cross-validation" else "that nothing was chosen on"
    between = interval(metric, test.low, test.high)
    looks = "looked at for the first time" if test.look == 1 else f"look number {test.look} at {test.seen_in_words}"
    return Headline(
        bare(metric, test.value),
        unit(metric),
        f"test {METRIC_NAMES[metric]}{_direction(metric)}",
        f"{_subject(metric, len(test.y), whom, test.value)} (95 % interval {between}).",
        f"{capital(test.how)}, {looks}; interval: {test.interval}.",
        tested=True,
    )


def _direction(metric: Metric) -> str:
    return ", lower is better" if metric == "log-loss" else ""


def _subject(metric: Metric, n: int, whom: str, value: float) -> str:
    aside = ", " if whom.startswith("each") else " "
    if metric == "accuracy":
        return f"Of {n:,} images{aside}{whom}, {figure(metric, value)} were right"
    return f"On {n:,} images{aside}{whom}, the {METRIC_NAMES[metric]} is {figure(metric, value)}"


def majority(run: Run) -> str:
    """What always giving one answer reads on the images of the headline; empty where no such row was recorded."""
    constant = next((b for b in run.baselines if b.name == "majority class"), None)
    if constant is None:
        return ""
    metric = run.verdict.metric
    y = run.y if run.test is None else run.test.y
    row = constant.probabilities[0]
    value = score_from_loss(metric, mean_loss(metric, y, np.tile(row, (len(y), 1))))
    answer = "the class frequencies" if metric == "log-loss" else f"“{one_line(run.classes[int(row.argmax())])}”"
    return f"Always answering {answer} would read {figure(metric, value)}."


def verdict(run: Run) -> str:
    """The verdict with its reason, as one sentence or two."""
    judged = run.verdict
    text = f"{capital(judged.words)}: {one_line(judged.because)}."
    settle, there = judged.images_to_settle, compared(run)
    if settle is not None and settle > there:
        unit_of_doubt = 10 ** max(len(str(settle)) - 2, 0)  # no more than two figures of an estimate are worth reading
        rounded = -(-settle // unit_of_doubt) * unit_of_doubt
        have = "there are" if there == len(run.y) else "the folds that were run have"
        text += f" About {rounded:,} develop images would settle it; {have} {there:,}."
    return text


def compared(run: Run) -> int:
    """Develop images on which the candidates were set side by side: those of the folds that all of them ran on."""
    return len(run.y) if run.verdict.images is None else run.verdict.images


ENDED: dict[Ended, str] = {
    "completed": "completed",
    "represented": "on all folds another linear one was chosen, and stood for it here",
    "eliminated": "dropped early: others were ahead on the folds that were run",
    "diverged": "went astray: its loss was no number any more; a lower --lr may mend it",
    "interrupted": "cut short: not run to its end, which says nothing of it",
}
"""How a trial ended, and what follows from that."""


def fate(judged: Verdict, trials: Sequence[Trial], position: int) -> str:
    """Why the candidate at ``position`` was chosen or dropped."""
    row, ended = judged.rows[position], trials[position].ended
    if position == judged.chosen:
        return "chosen: reads best" if position == judged.best else "chosen: the cheapest that nothing clearly beats"
    if ended != "completed":
        return ENDED[ended]
    if row.beaten:
        return "dropped: significantly worse than the best"
    if row.deficit > judged.tolerance:
        return f"dropped: more than {gap(judged.metric, judged.tolerance)} {points(judged.metric)} behind the best"
    return "dropped: no clear gain over the chosen, which costs no more"


def stakes(judged: Verdict, trials: Sequence[Trial]) -> str:
    """Why the chosen candidate won, and what the best of every other kind would have cost: seconds and points."""
    won = trials[judged.chosen]
    rivals: dict[str, int] = {}
    for i, trial in enumerate(trials):
        if (kind := _kind(trial)) != _kind(won):
            rivals[kind] = min(
                rivals.get(kind, i), i, key=lambda j: (trials[j].ended != "completed", judged.rows[j].deficit)
            )
    label = one_line(judged.rows[judged.chosen].label)
    text = f"Chosen is {label}, tried in {seconds(won.cost.fit_seconds)}: {one_line(judged.because)}."
    if not rivals:
        return text
    told = [_stake(judged, trials, i) for i in rivals.values()]
    return f"{text} The best of every other kind: {'; '.join(told)}."


def _kind(trial: Trial) -> str:
    plan = trial.candidate.plan
    if not isinstance(plan, Recipe):
        return "linear"
    return "scratch" if plan.start == "random" else "full" if plan.freeze_to is None else "partial"


def _stake(judged: Verdict, trials: Sequence[Trial], position: int) -> str:
    trial, row, won = trials[position], judged.rows[position], judged.rows[judged.chosen]
    took = f"{one_line(row.label)} took {seconds(trial.cost.fit_seconds)}"
    if trial.ended == "interrupted":
        return f"{took} until it was cut short, which says nothing of it"
    behind = gap(judged.metric, abs(row.deficit - won.deficit))
    where = " on the folds that it ran" if trial.ended in ("eliminated", "diverged") and not trial.run.all() else ""
    if not float(behind):
        return f"{took} and read the same{where}"
    which = "worse" if row.deficit > won.deficit else "better"
    known = judged.best in (position, judged.chosen) and not row.beaten  # only differences to the best were judged
    return f"{took} and read {behind} {points(judged.metric)} {which}{where}{', which may be chance' if known else ''}"


def points(metric: Metric) -> str:
    """The unit of a difference."""
    return "nats" if metric == "log-loss" else "points"


def chosen(run: Run) -> Trial:
    """The trial that the verdict chose."""
    return run.trials[run.verdict.chosen]


def transfer(candidate: Candidate) -> str:
    """The layers that are read as they are, or what was tuned."""
    return one_line(candidate.layer if isinstance(candidate.plan, Linear) else candidate.label)


def read_at(candidate: Candidate) -> str:
    """Where the codes of a candidate come from."""
    if isinstance(candidate.plan, Linear):
        return one_line(candidate.layer)
    return f"{one_line(candidate.taps[-1])} of the tuned network"


def classifier(trial: Trial) -> str:
    """How a candidate is fitted, in words."""
    plan = trial.candidate.plan
    if isinstance(plan, Recipe):
        begin = "random weights" if plan.start == "random" else "the linear model on its last layer"
        return f"fine-tuning of {plan.epochs} epochs at a rate of {plan.lr:.2g}, from {begin}"
    kind = "softmax (logistic regression)" if plan.loss == "softmax" else "linear SVM"
    scaled = "standardised codes" if plan.normalise == "standard" else "codes of length 1"
    c = trial.details.get("C")
    return f"{kind} on {scaled}" + (f", C = {c:.3g}" if c is not None else "")


def body(candidate: Candidate) -> str:
    """What became of the network's own weights, in a sentence or two."""
    plan = candidate.plan
    if isinstance(plan, Linear):
        return "The body of the network is used as it came; only the linear classifier was fitted."
    if plan.start == "random":
        return "The network was trained on these images alone: nothing of its pretrained weights is left in it."
    what = (
        "Every layer of the network and the linear classifier on its last layer were tuned"
        if plan.freeze_to is None
        else f"The network is as it came up to {one_line(plan.freeze_to)}, itself included; what lies above it and the "
        "linear classifier on its last layer were tuned"
    )
    share = "" if plan.alpha == 1 else f" The weights stand {plan.alpha:g} of the way from the pretrained to the tuned."
    return f"{what}, from the pretrained weights.{share} {cached_augmentations([candidate])}".strip()


def cached_augmentations(candidates: Sequence[Candidate]) -> str:
    """Which augmentation was fixed by keeping activations, as a sentence; empty where none was."""
    plans = [
        c.plan for c in candidates if isinstance(c.plan, Recipe) and c.plan.cached_augmentations and c.plan.freeze_to
    ]
    if not plans:
        return ""
    counts = sorted({plan.cached_augmentations for plan in plans})
    layers = dict.fromkeys(one_line(plan.freeze_to or "") for plan in plans)
    views = f"{_any_of(map(str, counts))} cached augmentation{'' if counts == [1] else 's'}, drawn once"
    return (
        f"While the network was tuned above {_any_of(layers)}, each image was seen in {views}: what lies below was "
        "computed for these alone, and no epoch drew others."
    )


def _any_of(items: Iterable[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} or {last}" if first else last
