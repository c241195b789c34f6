"""What results mean for the user: a shortcut (G301), an earlier layer above the last (G303), repeated tests (G305)."""

from __future__ import annotations

import numpy as np
import pytest

from graftwork.core.choose import Row, Verdict
from graftwork.core.findings import Finding, finding
from graftwork.core.plans import Candidate, Linear, Recipe
from graftwork.core.result_findings import (
    TestedRun,
    advised_settings,
    compared_settings,
    repeated_look_finding,
    result_findings,
)
from graftwork.core.trials import Task, Trial

LAYERS = ("early", "middle", "last")
TUNED = Candidate("net", ("last",), Recipe(None, 12))


def linear(*taps: str, backbone: str = "net", views: int = 1, loss: str = "softmax") -> Candidate:
    return Candidate(backbone, taps, Linear(loss), views=views)


def row(label: str, score: float) -> Row:
    return Row(label, score, score - 0.02, score + 0.02, 0.0, 0.0, 0.0, False)


def findings_of(
    scores: dict[Candidate, float],
    chosen: Candidate | None = None,
    baselines: dict[str, float] | None = None,
    metric: str = "accuracy",
    develop: int = 2000,
) -> dict[str, Finding]:
    """Findings about candidates with these scores on so many images, by code."""
    candidates = list(scores)
    y = np.arange(develop) % 2
    order = np.random.default_rng(0).permutation(develop)
    wrong = [order >= round(scores[c] * develop) for c in candidates]  # what one misclassifies, worse ones do too
    trials = tuple(
        Trial(c, np.eye(2, dtype=np.float32)[y ^ each], 1.0, {}) for c, each in zip(candidates, wrong, strict=True)
    )
    task = Task(y, np.arange(develop), y, ("a", "b"), metric=metric)
    best = int(np.argmax(list(scores.values())))
    verdict = Verdict(
        metric=metric,
        chosen=best if chosen is None else candidates.index(chosen),
        best=best,
        words="best and cheapest",
        because="",
        rows=tuple(row(c.label, score) for c, score in scores.items()),
        baselines=tuple(row(name, score) for name, score in (baselines or {}).items()),
    )
    findings = result_findings(verdict, trials, task, images=5000, how_tested="none")
    return {finding.code: finding for finding in findings}


SINGLE = {linear("early"): 0.80, linear("middle"): 0.90, linear("last"): 0.85}


@pytest.mark.parametrize(
    "winner", [linear("middle"), linear(*LAYERS), TUNED, linear("last", views=8)], ids=lambda c: c.label
)
def test_g303_judges_the_best_single_layer_whatever_was_chosen(winner: Candidate) -> None:
    scores = {**SINGLE, linear(*LAYERS): 0.91, TUNED: 0.92, linear("last", views=8): 0.86}
    said = findings_of(scores, chosen=winner)["G303"]
    assert said.severity == "note"
    assert said.because.startswith("middle, softmax is 5.0 points above the last layer, out of fold")


@pytest.mark.parametrize(
    "scores",
    [
        {linear("early"): 0.80, linear("middle"): 0.85, linear("last"): 0.90},
        {**SINGLE, linear("last"): 0.893},
        {**SINGLE, linear("last", loss="svm"): 0.895},
        {linear("last"): 0.5, linear("last", views=8): 0.9},
        {linear("early", "last"): 0.9},
        {linear("middle"): 0.9},
        {linear("last"): 0.80, TUNED: 0.95},
    ],
    ids=["last is best", "less than a point", "another loss", "more views", "joined", "one layer", "tuned"],
)
def test_g303_is_silent_where_no_earlier_layer_is_a_point_better(scores: dict[Candidate, float]) -> None:
    assert "G303" not in findings_of(scores)


def test_g303_needs_more_images_than_chance_needs() -> None:
    assert "G303" not in findings_of(SINGLE, develop=100)


def test_g303_compares_the_layers_of_one_network() -> None:
    other = {linear("early", backbone="other"): 0.60, linear("last", backbone="other"): 0.70}
    assert "5.0 points" in findings_of({**SINGLE, **other})["G303"].because
    assert "5.0 points" in findings_of({**other, **SINGLE})["G303"].because
    rising = {linear("early"): 0.80, linear("last"): 0.90}
    assert "G303" not in findings_of({**rising, **other})


def test_g303_compares_layers_whose_codes_are_all_averaged_over_several_views() -> None:
    scores = {linear("early", views=4): 0.9, linear("last", views=4): 0.8, linear("early", views=32): 0.95, TUNED: 0.7}
    assert "10.0 points" in findings_of(scores)["G303"].because


def test_g303_says_nothing_of_log_loss() -> None:
    assert "G303" not in findings_of(SINGLE, metric="log-loss")


@pytest.mark.parametrize(("pixels", "warned"), [(0.879, True), (0.95, True), (0.869, False)])
def test_g301_warns_where_a_baseline_scores_within_three_points(pixels: float, warned: bool) -> None:
    findings = findings_of(SINGLE, baselines={"majority class": 0.3, "file facts": 0.4, "16 x 16 pixels": pixels})
    assert ("G301" in findings) == warned
    if warned:
        assert findings["G301"].severity == "warning"
        assert findings["G301"].because == (
            f"16 x 16 pixels alone scores {100 * pixels:.1f} %, the chosen classifier 90.0 %"
        )


def test_the_majority_class_is_no_shortcut() -> None:
    assert "G301" not in findings_of(SINGLE, baselines={"majority class": 0.89, "file facts": 0.4})


def test_g301_names_the_nearest_and_says_nothing_of_log_loss() -> None:
    rows = {"file facts": 0.88, "16 x 16 pixels": 0.89}
    assert findings_of(SINGLE, baselines=rows)["G301"].because.startswith("16 x 16 pixels alone")
    assert "G301" not in findings_of(SINGLE, baselines=rows, metric="log-loss")


DEFAULT = {"data": "photos", "test": "0.2", "loss": "auto", "seed": "0", "split_from": "None", "slim": "False"}


def a_run(data: str = "d", advised: tuple[str, ...] = (), **settings: str) -> TestedRun:
    return TestedRun(data, DEFAULT | settings, advised)


@pytest.mark.parametrize(
    ("earlier", "now", "compared"),
    [
        ([a_run()], a_run(), ()),
        ([a_run()], a_run(loss="svm"), ("loss",)),
        ([a_run(), a_run(loss="svm")], a_run(loss="svm"), ("loss",)),
        ([a_run(loss="svm", seed="1")], a_run(), ("loss", "seed")),
        ([a_run("x", loss="svm")], a_run(loss="softmax"), ()),
        ([a_run(advised=("test",))], a_run(test="cv"), ()),
        ([a_run(advised=("test",)), a_run(test="cv")], a_run(test="more"), ()),
        ([a_run(advised=("test",))], a_run(test="cv", loss="svm"), ("loss",)),
        ([a_run("x", advised=("test",)), a_run()], a_run(test="cv"), ("test",)),
        ([a_run()], TestedRun("d", DEFAULT | {"data": "moved", "split_from": "runs/a", "slim": "True"}), ()),
        ([TestedRun("d", {"loss": "auto"})], TestedRun("d", {"loss": "auto", "augment": "crop"}), ("augment",)),
        ([], a_run(), ()),
    ],
)
def test_runs_are_compared_in_what_differs_on_the_same_data_and_was_not_advised(
    earlier: list[TestedRun], now: TestedRun, compared: tuple[str, ...]
) -> None:
    assert compared_settings(now, earlier) == compared
    assert repeated_look_finding(2, "these images", now, earlier).code == ("G305" if compared else "G312")


def test_a_look_whose_options_are_not_known_counts_as_compared() -> None:
    unknown = repeated_look_finding(2, "these images", a_run(), [None, a_run("x")])
    assert (unknown.code, unknown.severity) == ("G305", "warning")
    assert "after a probe of all images, or runs whose options are not recorded; choosing" in unknown.because
    both = repeated_look_finding(3, "these images", a_run(), [None, a_run(loss="svm")])
    assert "after runs with another --loss, and a probe of all images, or" in both.because


def test_findings_advise_the_options_that_their_next_step_names() -> None:
    findings = [
        finding("G304", "few", do="add `--test cv`"),
        finding("G309", "time", do="give a longer --time-limit, or none"),
        finding("G303", "because of --seed"),
    ]
    assert advised_settings(findings) == ("test", "time_limit")
