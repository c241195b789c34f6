import dataclasses

import pytest
from example_run import example_run

from graftwork.cli.show import show_run
from graftwork.reporting import words
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
    more = dataclasses.replace(run, verdict=dataclasses.replace(run.verdict, images_to_settle=91_001))
    assert "About 92,000 develop images would settle it; there are 90." in words.verdict(more)
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
    page = render(run, None)
    assert "None to None" not in page
    assert "nan" not in page.lower().split("<script")[0]
    assert "None" not in model_card(run)
