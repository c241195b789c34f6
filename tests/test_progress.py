import io

import pytest
from rich.console import Console

from graftwork import progress as shown
from graftwork.core.trials import Standing
from graftwork.progress import Terminal

FIRST = Standing("tuned above blocks.4", "fold 1 of 5, epoch 3 of 12", seconds_left=83.4)
LATER = Standing("tuned above blocks.4", "fold 2 of 5, epoch 1 of 12", 1, 0.8751, 62.0)
WAITS = Standing("all layers [tuned]", "waiting")


def plain():
    return Terminal(Console(file=io.StringIO(), width=120))


def with_bar():
    return Terminal(Console(force_terminal=True, file=io.StringIO(), width=120))


def lines(terminal):
    return terminal.console.file.getvalue().splitlines()


@pytest.fixture
def clock(monkeypatch):
    """Seconds that only a test moves."""
    now = [1000.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_shows_a_row_for_every_candidate_under_the_bar():
    terminal = with_bar()
    terminal.stage("fine-tuning")
    terminal.candidates([LATER, WAITS])
    terminal._bar.refresh()
    text = terminal.console.file.getvalue()
    for piece in ("fine-tuning", "tuned above blocks.4", "fold 2 of 5, epoch 1 of 12", "87.5 %", "1:02"):
        assert piece in text
    assert "all layers [tuned]" in text
    terminal.say("a line above")
    terminal.progress(3, 4)
    before = len(terminal.console.file.getvalue())
    terminal.stage("fit")
    terminal._bar.refresh()
    assert "blocks.4" not in terminal.console.file.getvalue()[before:]
    assert "a line above" in terminal.console.file.getvalue()


def test_without_a_terminal_a_finished_fold_is_a_line(clock):
    terminal = plain()
    terminal.stage("fine-tuning")
    terminal.candidates([FIRST, WAITS])
    terminal.candidates([LATER, WAITS])
    terminal.candidates([LATER, WAITS])
    assert lines(terminal) == [
        "fine-tuning ...",
        "tuned above blocks.4: fold 2 of 5, epoch 1 of 12, 87.5 % so far, 1:02 left",
    ]


def test_a_finished_fold_is_printed_before_other_changes(clock):
    terminal = plain()
    terminal.candidates([FIRST, WAITS])
    clock[0] += 60
    terminal.candidates([LATER, Standing(WAITS.label, "fold 1 of 5, epoch 1 of 12")])
    assert lines(terminal)[1:] == ["tuned above blocks.4: fold 2 of 5, epoch 1 of 12, 87.5 % so far, 1:02 left"]


def test_without_a_terminal_there_is_otherwise_one_line_per_ten_seconds(clock):
    terminal = plain()
    terminal.stage("fine-tuning")
    for second in range(35):
        clock[0] += 1
        standing = Standing("tuned above blocks.4", f"fold 1 of 5, epoch {second}")
        terminal.candidates([standing, WAITS])
    assert lines(terminal)[1:] == [f"tuned above blocks.4: fold 1 of 5, epoch {second}" for second in (10, 21, 32)]


def test_an_unchanged_standing_is_not_printed_again(clock):
    terminal = plain()
    terminal.candidates([WAITS])
    clock[0] += 60
    terminal.candidates([WAITS])
    assert lines(terminal) == ["all layers [tuned]: waiting"]


def test_no_bar_stays_full_while_the_stage_goes_on():
    terminal = with_bar()
    terminal.stage("candidates")
    terminal.progress(3, 4)
    assert terminal._bar.tasks[-1].total == 4
    terminal.progress(4, 4)
    assert terminal._bar.tasks[-1].total is None
