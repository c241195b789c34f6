import dataclasses

import pytest
from example_run import example_run

from graftwork.reporting import words


def test_no_line_break_separates_a_number_from_its_unit():
    assert words.figure("accuracy", 0.967) == "96.7\u00a0%"
    assert words.probability(1.0) == ">99.9\u00a0%"
    assert words.seconds(310.4) == "310\u00a0s"


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
def test_a_finding_is_written_as_a_sentence_and_a_command_as_one(text, pieces):
    assert words.sentence(text) == pieces


def test_the_outcome_of_every_candidate_has_a_reason():
    run = example_run(n=240)
    outcomes = [words.outcome(run.verdict, run.trials, i) for i in range(len(run.trials))]
    for i, row in enumerate(run.verdict.rows):
        assert outcomes[i].startswith("chosen") == (i == run.verdict.chosen)
        if row.beaten:
            assert outcomes[i] == "not chosen: significantly worse than the best"
    assert sum(text.startswith("chosen") for text in outcomes) == 1
    interrupted = dataclasses.replace(run.trials[0], ended="interrupted")
    outcome = words.outcome(run.verdict, (interrupted, *run.trials[1:]), 0)
    assert outcome == words.ENDED["interrupted"]


def test_images_to_settle_are_given_in_two_digits_and_only_if_more_are_needed():
    run = example_run()
    more = dataclasses.replace(run, verdict=dataclasses.replace(run.verdict, images_to_settle=91_001))
    assert "About 92,000 develop images would settle it; there are 90." in words.verdict(more)
    fewer = dataclasses.replace(run, verdict=dataclasses.replace(run.verdict, images_to_settle=48))
    assert "would settle it" not in words.verdict(fewer)
