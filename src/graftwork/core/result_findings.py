"""What a run's results mean for the user: pure functions of the verdict, the trials and the test score."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from graftwork.core.advice import Advice
from graftwork.core.choose import Row, Verdict, beside
from graftwork.core.figures import counted, figure, interval_in_words, points
from graftwork.core.findings import Finding, finding
from graftwork.core.plans import Candidate, labels_of
from graftwork.core.scoring import Score
from graftwork.core.trials import MAJORITY, Task, Trial

SHORTCUT_POINTS = 3.0
"""A baseline closer than this to the chosen candidate suggests a shortcut."""
_NO_CHOICE = frozenset({"data", "split_from", "final", "slim"})
"""Settings that say where the images are or what is saved: no test score is compared to choose their value."""
_OPTION = re.compile(r"--([a-z][a-z-]*[a-z])")
FEW_IMAGES = 1000
EARLIER_LAYER_GAIN = 0.01
"""Score that an earlier layer must gain on the last one to be worth telling."""


@dataclasses.dataclass(frozen=True)
class TestedRun:
    """What a run was that looked at test images: whether its score can be compared with that of another run."""

    __test__ = False  # no test of pytest's

    data: str
    """Digest of its images and their labels."""
    settings: dict[str, str]
    """What the user decided, as text."""
    advised: tuple[str, ...] = ()
    """The settings that its findings advised to change."""


def result_findings(
    verdict: Verdict, trials: Sequence[Trial], task: Task, *, images: int, how_tested: str
) -> tuple[Finding, ...]:
    """Judge a verdict; each rule gives one finding or none.

    Parameters
    ----------
    images
        Number of all usable images, those of the test part included.
    how_tested
        ``TestScore.how``, or ``none``.
    """
    chosen = verdict.rows[verdict.chosen]
    judged = (
        _shortcut(verdict, chosen),
        _no_better_than_majority(verdict, chosen),
        _earlier_layer(verdict, trials, task),
        _small_test(images, how_tested),
        _seeds(verdict, trials),
        _not_fitted_again(trials[verdict.chosen]),
    )
    return tuple(finding for finding in judged if finding is not None)


def series_finding(grouped: Score, linear: Row, *, images: int) -> Finding:
    """G306: the validation score with every likely series inside one fold, and the score of the run's own folds.

    Parameters
    ----------
    linear
        The linear classifier whose scores these are: the best one, whatever is chosen in the end.
    """
    metric = grouped.metric
    return finding(
        "G306",
        f"when every likely series is kept inside one fold, {linear.label} scores "
        f"{figure(metric, grouped.value)} ({interval_in_words(metric, grouped.low, grouped.high)}) instead of "
        f"{figure(metric, linear.score)}; series that cannot be recognised by their images would lower it further",
        do="say which images belong together with `--group-by`; until then, trust the lower figure",
        count=images,
    )


def target_finding(score: Score, *, folder: str, chosen: str) -> Finding:
    """G307: what was chosen for the target domain, and its score there."""
    metric = score.metric
    return finding(
        "G307",
        f"{chosen} scores {figure(metric, score.value)} ({interval_in_words(metric, score.low, score.high)}) on "
        f"{score.images} images of {folder} that were not used for the choice. The other half of that folder chose "
        "among the linear model, the fine-tuned network and their WiSE-FT average, because plain fine-tuning is known "
        "to lose under a domain shift what it gains on the training domain (Kumar et al. 2022)",
        count=score.images,
    )


def unlabelled_target_finding(*, folder: str, images: int) -> Finding:
    """G311: images of the target domain that cannot choose, because they have no labels."""
    return finding(
        "G311",
        f"{images} images of {folder} have no labels, so the choice was made on the training domain alone. Plain "
        "fine-tuning is known to lose under a domain shift what it gains there; a linear model, LP-FT and WiSE-FT lose "
        "less (Kumar et al. 2022, Wortsman et al. 2022)",
        do="label some of them, one folder per class, and give the folder again: half will choose, half will test",
        count=images,
    )


def advised_settings(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the settings that findings advise to change: those whose options they name."""
    options = {option for finding in findings for option in _OPTION.findall(finding.do)}
    return tuple(sorted(option.replace("-", "_") for option in options))


def compared_settings(run: TestedRun, earlier: Sequence[TestedRun]) -> tuple[str, ...]:
    """Return the settings in which a run differs from earlier ones with the same data, and which none of these advised.

    Where there are some, a choice between the runs by their test scores would be a choice on the test set.
    """
    same_data = [other for other in earlier if other.data == run.data]
    differing = {
        name
        for other in same_data
        for name in run.settings.keys() | other.settings.keys()
        if run.settings.get(name) != other.settings.get(name)
    }
    advised = {name for other in same_data for name in other.advised}
    return tuple(sorted(differing - advised - _NO_CHOICE))


def repeated_look_finding(look: int, which: str, run: TestedRun, earlier: Sequence[TestedRun | None]) -> Finding:
    """G305 or G312: earlier runs looked at these test images, and their scores can be compared with this one or not.

    Parameters
    ----------
    which
        ``TestScore.seen_in_words``.
    earlier
        The runs that looked at some of these images; None for one whose options are not known.
    """
    again = f"this is look {look} at {which} on this machine"
    fresh = "for a fresh test, give images that no run has tested with `--test FOLDER`"
    others = [f"--{name.replace('_', '-')}" for name in compared_settings(run, [one for one in earlier if one])]
    if others or None in earlier:
        after = [f"runs with another {' or '.join(others)}"] if others else []
        after += ["a probe of all images, or runs whose options are not recorded"] if None in earlier else []
        return finding(
            "G305",
            f"{again}, after {', and '.join(after)}; choosing between runs by their test score is choosing on "
            "the test set",
            do=f"choose by the validation scores, and keep the last test for the end; {fresh}",
            count=look,
        )
    return finding(
        "G312",
        f"{again}; the earlier runs had other data, the same options, or options that their findings advised to change",
        do=f"choose no run by its test score; {fresh}",
        count=look,
    )


def untried_finding(candidates: Sequence[Candidate]) -> Finding:
    """G309: fine-tunings of which no fold was run, so that nothing is known about them."""
    names = ", ".join(labels_of(candidates))
    because = f"the time limit came before the first fold of {names}; nothing is known about their scores"
    return finding("G309", because, do="give a longer --time-limit, or none", count=len(candidates))


def diverged_finding(candidates: Sequence[Candidate]) -> Finding:
    """G310: fine-tunings whose loss became NaN or infinite."""
    because = f"the loss of {', '.join(labels_of(candidates))} became NaN or infinite"
    return finding("G310", because, do="give a lower --lr", count=len(candidates))


def _not_fitted_again(chosen: Trial) -> Finding | None:
    """G313: the time limit came before the chosen fine-tuning could be fitted on all develop images."""
    if "fold" not in chosen.details:
        return None
    because = (
        f"the time limit left no time to fit {chosen.candidate.label} again on all images to develop on; the model of "
        "the fold that it was validated on is used, which was trained on fewer"
    )
    return finding("G313", because, do="give a longer --time-limit")


def advice_findings(advice: Advice, known: int) -> tuple[Finding, ...]:
    """G501: rule and measurements disagree. G502: images that the profile of the source was made of.

    Parameters
    ----------
    known
        Number of the images that are among those of the source's profile.
    """
    findings = []
    if not advice.agree:
        rule, best = advice.rule, advice.recommended
        gain = "gained" if best.measured is not None else "is expected to gain"
        findings.append(
            finding(
                "G501",
                f"the data are {advice.situation.in_words}, for which the rule of thumb is: {advice.situation.says} "
                f"({rule.gain.points:+.1f} points over the last layer); {best.strategy} {gain} "
                f"{best.gain.points - rule.gain.points:.1f} points more",
                do="" if best.measured is not None else "`graft train` tries both, as far as its --time-limit allows",
            )
        )
    if known:
        because = f"{counted(known, 'image', 'is')} among those that describe the source of {advice.similarity.gauge}"
        findings.append(finding("G502", because, do="test on images that the network cannot have seen", count=known))
    return tuple(findings)


def _shortcut(verdict: Verdict, chosen: Row) -> Finding | None:
    """G301: a baseline that does not use the network, but looks at the image, scores nearly as high."""
    if verdict.metric == "log-loss":
        return None
    looking = [row for row in verdict.baselines if row.label != MAJORITY]
    near = [row for row in looking if 100 * (chosen.score - row.score) < SHORTCUT_POINTS]
    if not near:
        return None
    row = max(near, key=lambda r: r.score)
    return finding(
        "G301",
        f"{row.label} alone scores {figure(verdict.metric, row.score)}, the chosen classifier "
        f"{figure(verdict.metric, chosen.score)}",
        do="look at how the classes were photographed or saved; test on images from another source with "
        "`--test FOLDER`",
    )


def _no_better_than_majority(verdict: Verdict, chosen: Row) -> Finding | None:
    """G302: the chosen classifier is not significantly better than always naming the largest class."""
    majority = next((row for row in verdict.baselines if row.label == MAJORITY), None)
    if majority is None or majority.beaten:
        return None
    return finding(
        "G302",
        f"the difference between {chosen.label} and naming the largest class every time is not significant on these "
        "images",
        do="check the labels, and add images",
    )


def _earlier_layer(verdict: Verdict, trials: Sequence[Trial], task: Task) -> Finding | None:
    """G303: the third situation of the CS231n note, whatever was chosen.

    The best linear classifier on one layer is compared with those on the same network's last layer, paired per image
    and with intervals that hold for every layer at once: the best of many layers is ahead by chance, too.
    """
    if verdict.metric == "log-loss":
        return None
    linear = [j for j, trial in enumerate(trials) if trial.candidate.plan.kind == "linear"]
    views = min((trials[j].candidate.views for j in linear), default=1)  # more were tried on the chosen layer alone
    single = [j for j in linear if len(trials[j].candidate.taps) == 1 and trials[j].candidate.views == views]
    if not single:
        return None
    best = max(single, key=lambda j: verdict.rows[j].score)
    network = [j for j in single if trials[j].candidate.backbone == trials[best].candidate.backbone]
    on_last = trials[network[-1]].candidate.taps
    last = [j for j in network if trials[j].candidate.taps == on_last]
    gain = verdict.rows[best].score - max(verdict.rows[j].score for j in last)
    if best in last or gain < EARLIER_LAYER_GAIN:
        return None
    others = [trials[j] for j in network if j != best]
    rows = beside(trials[best], others, task)
    if not all(row.beaten for row, trial in zip(rows, others, strict=True) if trial.candidate.taps == on_last):
        return None
    return finding(
        "G303",
        f"{verdict.rows[best].label} is {points(verdict.metric, gain)} above the last layer, out of fold: the images "
        "differ from those that the network was trained on",
    )


def _small_test(images: int, how_tested: str) -> Finding | None:
    """G304: with few images the test part is small, and its interval wide."""
    if images >= FEW_IMAGES or how_tested != "held-out test":
        return None
    return finding(
        "G304",
        f"{images} images in all; nested cross-validation tests the choice of a linear classifier with all of them",
        do="add `--test cv`, which fine-tunes nothing",
    )


def _seeds(verdict: Verdict, trials: Sequence[Trial]) -> Finding | None:
    """G308: how much of a fine-tuning's score varies with the seed of training, and how much with the images."""
    repeated = [j for j, trial in enumerate(trials) if trial.seed_losses]
    if not repeated:
        return None
    j = min(repeated, key=lambda j: (j != verdict.chosen, verdict.rows[j].deficit))
    row, losses = verdict.rows[j], np.array(trials[j].seed_losses)
    unit, name = (1.0, "nats") if verdict.metric == "log-loss" else (100.0, "points")
    because = (
        f"the score of {row.label} has a standard deviation of {unit * losses.std(ddof=1):.2f} {name} over "
        f"{len(losses)} seeds on the same folds"
    )
    if row.low is not None and row.high is not None:
        because += f", and of about {unit * (row.high - row.low) / 3.92:.2f} over other images of this kind"
    return finding("G308", because, count=len(losses))
