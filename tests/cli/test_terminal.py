import io

import pytest
from rich.console import Console

from graftwork.cli import terminal as shown
from graftwork.cli.terminal import Terminal
from graftwork.core.trials import Standing

FIRST = Standing("tuned above blocks.4", "fold 1 of 5, epoch 3 of 12", seconds_left=83.4)
LATER = Standing("tuned above blocks.4", "fold 2 of 5, epoch 1 of 12", 1, 0.8751, 62.0)
WAITS = Standing("all layers [tuned]", "waiting")


def plain(quiet=False):
    return Terminal(quiet=quiet, console=Console(file=io.StringIO(), width=120))


def lines(terminal):
    return terminal.console.file.getvalue().splitlines()


@pytest.fixture
def clock(monkeypatch):
    """Seconds that only a test moves."""
    now = [1000.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_shows_a_row_for_every_candidate_under_the_bar():
    with Terminal(console=Console(force_terminal=True, file=io.StringIO(), width=120)) as terminal:
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
    with plain() as terminal:
        terminal.stage("fine-tuning")
        terminal.candidates([FIRST, WAITS])
        terminal.candidates([LATER, WAITS])
        terminal.candidates([LATER, WAITS])
    assert lines(terminal) == [
        "fine-tuning ...",
        "tuned above blocks.4: fold 2 of 5, epoch 1 of 12, 87.5 % so far, 1:02 left",
    ]


def test_a_finished_fold_is_printed_before_other_changes(clock):
    with plain() as terminal:
        terminal.candidates([FIRST, WAITS])
        clock[0] += 60
        terminal.candidates([LATER, Standing(WAITS.label, "fold 1 of 5, epoch 1 of 12")])
    assert lines(terminal)[1:] == ["tuned above blocks.4: fold 2 of 5, epoch 1 of 12, 87.5 % so far, 1:02 left"]


def test_without_a_terminal_there_is_otherwise_one_line_per_ten_seconds(clock):
    with plain() as terminal:
        terminal.stage("fine-tuning")
        for second in range(35):
            clock[0] += 1
            standing = Standing("tuned above blocks.4", f"fold 1 of 5, epoch {second}")
            terminal.candidates([standing, WAITS])
    assert lines(terminal)[1:] == [f"tuned above blocks.4: fold 1 of 5, epoch {second}" for second in (10, 21, 32)]


def test_an_unchanged_standing_is_not_printed_again(clock):
    with plain() as terminal:
        terminal.candidates([WAITS])
        clock[0] += 60
        terminal.candidates([WAITS])
    assert lines(terminal) == ["all layers [tuned]: waiting"]


def test_quiet_is_quiet(clock):
    with plain(quiet=True) as terminal:
        terminal.stage("fine-tuning")
        terminal.say("something")
        clock[0] += 60
        terminal.progress(1, 2)
        terminal.candidates([LATER])
    assert lines(terminal) == []


def test_a_quiet_terminal_has_no_bar():
    with Terminal(quiet=True, console=Console(force_terminal=True, file=io.StringIO())) as terminal:
        terminal.stage("fine-tuning")
        terminal.candidates([LATER])
        assert terminal.console.file.getvalue() == ""


def test_no_bar_stays_full_while_the_stage_goes_on():
    with Terminal(console=Console(force_terminal=True, file=io.StringIO(), width=120)) as terminal:
        terminal.stage("candidates")
        terminal.progress(3, 4)
        assert terminal._bar.tasks[-1].total == 4
        terminal.progress(4, 4)
        assert terminal._bar.tasks[-1].total is None
