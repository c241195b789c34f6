import dataclasses

import numpy as np
import pytest
from example_run import example_run

from graftwork.cli.answer import answer, show_run, weak_classes
from graftwork.core.choose import choose
from graftwork.core.plans import Candidate, Linear
from graftwork.core.trials import Task, Trial
from graftwork.reporting import tables, words
from graftwork.reporting.card import model_card
from graftwork.reporting.page import render


@pytest.mark.parametrize(("p", "text"), [(0.5, "50.0 %"), (1.0, ">99.9 %"), (1e-9, "<0.1 %"), (0.999, "99.9 %")])
def test_no_image_is_certain(p, text):
    assert words.probability(p) == text.replace(" ", "\u00a0")


def test_nothing_in_a_name_is_hidden():
    assert words.one_line("a\nb\tc\x00d\u202ee") == "a␣b␣c�d�e"
    assert words.shortened("first_part_of_a_long_name.png", 12) == "first…me.png"
    assert len(words.shortened("x" * 100, 12)) <= 12
    assert words.shortened("short", 12) == "short"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("it is so", [("It is so.", False)]),
        ("look!", [("Look!", False)]),
        ("`graft check` lists them", [("graft check", True), (" lists them.", False)]),
        ("--group-by '(slide)'", [("--group-by '(slide)'", True)]),
        ("graft check data", [("graft check data", True)]),
    ],
)
def test_a_finding_reads_as_a_sentence_and_a_command_as_one(text, pieces):
    assert words.sentence(text) == pieces


def test_every_candidate_has_its_reason():
    run = example_run(n=240)
    reasons = [words.outcome(run.verdict, run.trials, i) for i in range(len(run.trials))]
    for i, row in enumerate(run.verdict.rows):
        assert reasons[i].startswith("chosen") == (i == run.verdict.chosen)
        if row.beaten:
            assert reasons[i] == "not chosen: significantly worse than the best"
    assert sum(text.startswith("chosen") for text in reasons) == 1
    interrupted = dataclasses.replace(run.trials[0], ended="interrupted")
    assert words.outcome(run.verdict, (interrupted, *run.trials[1:]), 0).endswith("which says nothing about it")


def test_images_to_settle_have_two_digits_and_appear_only_if_more_are_needed():
    run = example_run()
    more = dataclasses.replace(run, verdict=dataclasses.replace(run.verdict, images_to_settle=1_101))
    assert "About 1,200 develop images would settle it; there are 90." in words.verdict(more)
    fewer = dataclasses.replace(run, verdict=dataclasses.replace(run.verdict, images_to_settle=48))
    assert "would settle it" not in words.verdict(fewer)


def test_the_terminal_says_that_nothing_was_tested_as_the_report_does(capsys):
    run = example_run(trials=1, tested=False)
    show_run(run)
    assert words.headline(run).how in capsys.readouterr().out.splitlines()
    show_run(example_run(trials=1))
    assert "There was no test" not in capsys.readouterr().out


def test_a_score_without_an_interval_is_written_as_that():
    run = example_run()
    without = dataclasses.replace(run.test.score, low=None, high=None, interval="2 groups are too few")
    rows = tuple(dataclasses.replace(row, low=None, high=None) for row in run.verdict.rows)
    run = dataclasses.replace(
        run,
        test=dataclasses.replace(run.test, score=without),
        verdict=dataclasses.replace(run.verdict, rows=rows),
    )
    headline = words.headline(run)
    assert headline.sentence.endswith("were classified correctly (no interval).")
    assert headline.how.endswith("no interval: 2 groups are too few.")
    untested = words.headline(dataclasses.replace(run, test=None))
    assert untested.sentence.endswith("(no interval: the images are of too few independent groups).")
    page = render(run, None)
    assert "None to None" not in page
    assert "nan" not in page.lower().split("<script")[0]
    assert "None" not in model_card(run)


def test_the_answer_leads_with_score_interval_choice_and_next_command():
    run = example_run()
    lines = answer(run)
    low, high = 100 * run.test.score.low, 100 * run.test.score.high
    assert lines[0].startswith(f"test accuracy: {100 * run.test.score.value:.1f} %. Of 30 images")
    assert f"(95 % interval {low:.1f} to {high:.1f})" in lines[0]
    assert lines[2] == f"chosen: {run.verdict.rows[run.verdict.chosen].label}"
    assert lines[3].startswith("why:    ")
    assert lines[-3].startswith("report: ")
    assert lines[-1].startswith("next:   graft predict ")
    assert len(lines) <= 10


def test_the_table_has_the_best_of_each_kind_and_all_of_them_when_asked(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run = example_run(n=240, tuned=True)
    show_run(run)
    few = capsys.readouterr().out
    show_run(run, all_rows=True)
    every = capsys.readouterr().out
    shown = tables.best_of_each_kind(run.verdict, run.trials)
    assert {run.verdict.chosen, run.verdict.best} <= set(shown)
    assert len({(run.trials[j].candidate.plan.kind, len(run.trials[j].candidate.taps) > 1) for j in shown}) > 2
    assert f"{len(run.trials) - len(shown)} more candidates are in the report, and shown with --all" in few
    assert "shown with --all" not in every
    assert len(every.splitlines()) - len(few.splitlines()) == len(run.trials) - len(shown) - 1
    assert " * " not in every


def test_weak_classes_are_named_with_their_counts():
    run = example_run()
    worst = run.test.y[0]
    rows = np.eye(len(run.classes), dtype=np.float32)[run.test.y]
    wrong = np.flatnonzero(run.test.y == worst)
    rows[wrong] = np.roll(rows[wrong], 1, axis=1)
    weak = dataclasses.replace(run, test=dataclasses.replace(run.test, probabilities=rows))
    assert weak_classes(weak) == [f"{run.classes[worst]} (0 of {len(wrong)} right)"]
    right = np.eye(len(run.classes), dtype=np.float32)[run.test.y]
    assert weak_classes(dataclasses.replace(run, test=dataclasses.replace(run.test, probabilities=right))) == []


def test_a_difference_that_no_one_could_show_is_a_choice_between_equals():
    run = example_run()
    far = dataclasses.replace(run, verdict=dataclasses.replace(run.verdict, images_to_settle=250_000))
    assert words.verdict(far).endswith("it is a choice between equals.")
    assert "250,000" not in words.verdict(far)


def test_why_a_candidate_was_chosen_or_not_says_when_that_rests_on_what_is_expected():
    y = np.arange(60) % 2
    rows = [np.where(np.eye(2)[y] == 1, 0.95, 0.05).astype(np.float32) for _ in range(2)]
    rows[1][0] = rows[1][0, ::-1]
    trials = [Trial(Candidate("b", (name,), Linear()), p, 1.0, {"C": 1.0}) for name, p in zip("cd", rows, strict=True)]
    task = Task(y, np.arange(60), np.arange(60) % 5, ("a", "b"), "accuracy", seed=0)
    verdict = choose(trials, [1, 2], task, expected=[0.90, 0.93])
    assert [words.outcome(verdict, trials, j) for j in (0, 1)] == [
        "not chosen: expected to be more than 1.0 points behind the best",
        "chosen: the cheapest that is expected within 1.0 points of the best; nothing beats it significantly",
    ]
    assert "expected" not in words.outcome(choose(trials[::-1], [1, 2], task), trials[::-1], 0)
