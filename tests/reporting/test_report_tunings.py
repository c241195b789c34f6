"""Fine-tunings in the report: curves, cuts, the table and its sentence, cached augmentations, the model card."""

import dataclasses

import numpy as np
import pytest
from example_run import HOSTILE, example_run
from parsed import Page
from test_report_page import bare, columns

from graftwork.reporting import evidence, words
from graftwork.reporting.page import model_card, render
from graftwork.reporting.tunings import cut_lines, trainings
from graftwork.runfolder import read_run, write_run


@pytest.fixture(scope="module")
def run():
    return example_run(n=240, tuned=True)


def position(run, label):
    return next(i for i, row in enumerate(run.verdict.rows) if row.label == label)


def choosing(run, label, **plan):
    """The run as if another candidate had been chosen, its plan perhaps another."""
    at = position(run, label)
    trials = list(run.trials)
    candidate = trials[at].candidate
    trials[at] = dataclasses.replace(
        trials[at], candidate=dataclasses.replace(candidate, plan=dataclasses.replace(candidate.plan, **plan))
    )
    verdict = dataclasses.replace(run.verdict, chosen=at, best=at)
    return dataclasses.replace(run, trials=tuple(trials), verdict=verdict)


def test_a_run_without_fine_tunings_has_neither_curves_nor_cuts():
    page = Page(bare(example_run()))
    assert "learning" not in page.held("charts")
    assert "cuts" not in page.held("charts")
    assert "cached augmentation" not in page.text


def test_every_training_has_its_curve_once(run):
    curves = trainings(run.trials)
    assert list(curves) == [
        "tuned above blocks.1", "tuned above blocks.0", "tuned above blocks.2", "all layers tuned", "from scratch"
    ]  # fmt: skip
    page = Page(bare(run))
    drawn = columns(page.held("charts")["learning"], "validation")
    assert drawn == [validation for trial in curves.values() for _, validation in trial.curve]
    legend = page.text.split("Learning curves of the fine-tunings")[1].split("The choice")[0]
    assert all(f"{label}\n" in legend for label in curves)


def test_recipes_that_differ_in_their_learning_rates_alone_have_a_curve_each(run):
    trial = run.trials[position(run, "all layers tuned")]
    faster = dataclasses.replace(trial.candidate.plan, lr=1e-2)
    other = dataclasses.replace(trial, candidate=dataclasses.replace(trial.candidate, plan=faster))
    assert list(trainings([trial, other])) == ["all layers tuned", "all layers tuned (2)"]


def test_the_cut_curve_holds_the_best_of_each_kind_at_its_real_depth(run):
    lines = cut_lines(run.verdict, run.trials, run.cards)
    assert list(lines) == ["linear classifier on this layer", "fine-tuned above this layer", "from scratch"]
    depths = {name: [depth for depth, _ in points] for name, points in lines.items()}
    assert depths["linear classifier on this layer"] == [0.25, 0.5, 0.75, 1.0]
    assert depths["fine-tuned above this layer"] == [0.0, 0.25, 0.5, 0.75]
    assert depths["from scratch"] == [0.0]
    for name, points in lines.items():
        for depth, i in points:
            candidate, deficit = run.trials[i].candidate, run.verdict.rows[i].deficit
            same = [
                run.verdict.rows[j].deficit
                for j, trial in enumerate(run.trials)
                if (trial.candidate.plan.kind == "linear") == (candidate.plan.kind == "linear")
                and trial.candidate.layer == candidate.layer
                and getattr(trial.candidate.plan, "start", "") == getattr(candidate.plan, "start", "")
            ]
            assert deficit == min(same), (name, depth)


def test_the_cut_curve_is_drawn_with_intervals_and_what_ran_on_fewer_images_is_hollow(run):
    chart = Page(bare(run)).held("charts")["cuts"]
    drawn = [i for points in cut_lines(run.verdict, run.trials, run.cards).values() for _, i in points]
    assert columns(chart, "score") == [100 * run.verdict.rows[i].score for i in drawn]
    assert columns(chart, "low") == [100 * run.verdict.rows[i].low for i in drawn]
    complete = [1.0 if run.trials[i].run.all() else 0.0 for i in drawn]
    assert columns(chart, "fill") == complete
    assert complete.count(0.0) == 2
    assert "A hollow mark is a score on fewer images" in Page(bare(run)).text


def test_codes_of_several_views_are_no_point_of_the_frozen_line(run):
    trial = run.trials[0]
    viewed = dataclasses.replace(trial, candidate=dataclasses.replace(trial.candidate, views=8))
    best = dataclasses.replace(run.verdict.rows[0], deficit=-1.0)
    verdict = dataclasses.replace(run.verdict, rows=(*run.verdict.rows, best))
    lines = cut_lines(verdict, [*run.trials, viewed], run.cards)
    assert lines == cut_lines(run.verdict, run.trials, run.cards)


def test_several_networks_have_lines_of_their_own(run):
    card = dataclasses.replace(run.card, name="example:other")
    others = [
        dataclasses.replace(t, candidate=dataclasses.replace(t.candidate, backbone=card.name)) for t in run.trials
    ]
    rows = run.verdict.rows * 2
    verdict = dataclasses.replace(run.verdict, rows=rows)
    trials = (*run.trials, *others)
    lines = cut_lines(verdict, trials, [run.card, card])
    assert "fine-tuned above this layer, example:random-filters" in lines
    assert "fine-tuned above this layer, example:other" in lines
    both = dataclasses.replace(run, trials=trials, verdict=verdict, cards=(run.card, card))
    assert "softmax, example:other" in Page(render(both, None)).text


def test_every_candidate_stands_in_the_table_with_how_it_ended(run):
    table = candidates(run)
    assert len(table) == 1 + len(run.trials) + len(run.baselines)
    assert table[0][5:] == ["Seconds", "Cost to predict", "Why"]
    rows = {row[0]: row for row in table[1:]}
    interrupted, eliminated = rows["all layers tuned"], rows["tuned above blocks.2"]
    assert interrupted[-1] == "interrupted: it did not run on all folds, which says nothing about it"
    assert eliminated[-1] == "eliminated: others scored better on the folds that were run"
    assert interrupted[1].endswith(f"on {run.trials[position(run, 'all layers tuned')].run.sum()} images")
    assert interrupted[5] == "61.5"
    ended = [run.trials[position(run, row[0])].ended for row in table[1 : 1 + len(run.trials)]]
    assert ended[-2:] != ["completed", "completed"]
    assert set(ended[:-2]) == {"completed"}


def candidates(run):
    return next(t for t in Page(bare(run)).tables if t and t[0] and t[0][0] == "Candidate")


def test_cost_to_predict_is_relative_to_the_chosen(run):
    tuned = choosing(run, "tuned above blocks.1")
    rows = {row[0]: row for row in candidates(tuned)}
    assert rows["tuned above blocks.1"][6] == "× 1"
    assert rows["from scratch"][6] == "× 1.3"
    assert rows["blocks.0, softmax"][6] == "× 0.67"


def test_one_sentence_has_the_choice_and_its_alternatives(run):
    tuned = choosing(run, "tuned above blocks.1")
    rows = list(tuned.verdict.rows)
    change = {
        "tuned above blocks.1": {"deficit": 0.0, "beaten": False},
        "from scratch": {"deficit": 0.042, "beaten": True},
    }
    for label, changed in change.items():
        rows[position(run, label)] = dataclasses.replace(rows[position(run, label)], **changed)
    linear = [i for i, trial in enumerate(run.trials) if trial.candidate.plan.kind == "linear"]
    best = min(linear, key=lambda i: rows[i].deficit)
    rows[best] = dataclasses.replace(rows[best], deficit=0.021, beaten=False)
    for i in linear:
        if i != best:
            rows[i] = dataclasses.replace(rows[i], deficit=0.3)
    tuned = dataclasses.replace(tuned, verdict=dataclasses.replace(tuned.verdict, rows=tuple(rows), because="it won"))
    assert words.alternatives(tuned.verdict, tuned.trials) == (
        "Chosen is tuned above blocks.1, fitted in 84.0\u00a0s: it won. The best of every other kind: "
        f"{rows[best].label} took {words.seconds(run.trials[best].fit_seconds)} and scored 2.1 points worse, which "
        "may be chance; all layers tuned took 61.5\u00a0s until it was interrupted, which says nothing about it; "
        "from scratch took 310\u00a0s and scored 4.2 points worse."
    )
    assert words.alternatives(tuned.verdict, tuned.trials) in Page(render(tuned, None)).text


def test_an_eliminated_rival_is_compared_on_the_folds_that_it_ran(run):
    chosen = [i for i, t in enumerate(run.trials) if t.candidate.plan.kind == "linear" or t.ended == "eliminated"]
    verdict = dataclasses.replace(run.verdict, rows=tuple(run.verdict.rows[i] for i in chosen))
    trials = [run.trials[i] for i in chosen]
    assert "on the folds that it ran" in words.alternatives(verdict, trials)


def test_cached_augmentations_are_said_where_there_were_any(run):
    sentence = (
        "When fine-tuning above blocks.1, blocks.0 or blocks.2, activations below were computed once, in 8 augmented "
        "views of each image, and cached; every epoch used one of these views."
    )
    assert sentence in Page(bare(run)).text
    unseen = choosing(run, "tuned above blocks.1", cached_augmentations=0)
    assert words.cached_augmentations([words.chosen(unseen).candidate]) == ""


def test_the_card_of_a_tuned_model_says_what_moved(run):
    card = model_card(choosing(run, "tuned above blocks.1"))
    assert "example:random-filters, tuned above blocks.1; fine-tuning for 12 epochs at a learning rate of " in card
    assert "frozen up to and including blocks.1; the layers above it" in card
    assert "in 8 augmented views of each image" in card
    assert "only the linear classifier was fitted" not in card
    assert "sha256 of its weights before fine-tuning" in card
    average = model_card(choosing(run, "tuned above blocks.1, WiSE-FT alpha 0.5"))
    assert "0.5 times those before and 0.5 times those after fine-tuning (WiSE-FT, alpha 0.5)" in average
    full = model_card(choosing(run, "tuned above blocks.1", freeze_to=None, cached_augmentations=0))
    assert "Every layer of the network" in full
    assert "augmented view" not in full
    scratch = model_card(choosing(run, "from scratch"))
    assert "from random weights on these images alone" in scratch
    assert "only the linear classifier was fitted" in model_card(example_run())


def test_the_page_of_a_tuned_model_says_what_was_chosen(run):
    text = Page(render(choosing(run, "tuned above blocks.1"), None)).text
    assert "tuned above blocks.1fine-tuning for 12 epochs" in text
    assert "codes of pooled of the fine-tuned network" in text


def test_folds_that_were_not_run_are_no_evidence(run):
    """Where the time limit left some folds only, the chosen candidate has no row in the others."""
    at = position(run, "tuned above blocks.1")
    part = np.where(np.arange(len(run.y))[:, None] % 5 < 2, run.trials[at].probabilities, np.nan)
    trials = tuple(dataclasses.replace(t, probabilities=part) if i == at else t for i, t in enumerate(run.trials))
    ran = int((np.arange(len(run.y)) % 5 < 2).sum())
    verdict = dataclasses.replace(run.verdict, chosen=at, best=at, images=ran, images_to_settle=10 * ran)
    partial = dataclasses.replace(run, trials=trials, verdict=verdict, test=None)
    scored = evidence.scored(partial)
    assert len(scored.y) == ran
    assert not np.isnan(scored.probabilities).any()
    predicted, _ = evidence.predictions(partial)
    assert (predicted[run.develop] >= 0).sum() == ran
    text = Page(render(partial, None)).text
    assert f"Of {ran} images predicted out of fold" in text
    assert f"out of fold, on {ran} of the {len(run.y)} develop images" in text
    assert f"the folds that were run have {ran}." in text
    assert f"Out of fold on {ran} develop images" in model_card(partial)


def test_names_of_layers_that_are_markup_are_text(run):
    name = HOSTILE[0]

    def renamed(layer):
        return name if layer == "blocks.1" else layer

    trials = [
        dataclasses.replace(
            t,
            candidate=dataclasses.replace(
                t.candidate,
                taps=tuple(map(renamed, t.candidate.taps)),
                plan=dataclasses.replace(t.candidate.plan, freeze_to=renamed(t.candidate.plan.freeze_to))
                if t.candidate.plan.kind != "linear"
                else t.candidate.plan,
            ),
        )
        for t in run.trials
    ]
    rows = [dataclasses.replace(r, label=r.label.replace("blocks.1", name)) for r in run.verdict.rows]
    taps = tuple(dataclasses.replace(tap, name=renamed(tap.name)) for tap in run.card.taps)
    hostile = dataclasses.replace(
        choosing(run, "tuned above blocks.1"),
        trials=tuple(trials),
        cards=(dataclasses.replace(run.card, taps=taps),),
        verdict=dataclasses.replace(
            run.verdict, rows=tuple(rows), chosen=position(run, "tuned above blocks.1"), because=name
        ),
    )
    page = Page(render(hostile, None))
    assert [tag for tag, _ in page.elements if tag == "script"] == [
        tag for tag, _ in Page(bare(run)).elements if tag == "script"
    ]
    for place in (
        f"fine-tuning above {name}, blocks.0",
        f"Chosen is tuned above {name}",
        f"tuned above {name}fine-tuning",
    ):
        assert place in page.text
    assert "<script>" not in model_card(hostile).replace("\\<script\\>", "")


def test_a_tuned_run_is_the_same_after_it_was_saved(run, tmp_path):
    write_run(run, tmp_path)
    again = Page(render(dataclasses.replace(read_run(tmp_path), folder=""), None))
    assert again.text == Page(bare(run)).text
