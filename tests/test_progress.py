"""What a person sees of a verb's progress: where, and what of it."""

import contextlib
import io
import multiprocessing
import os
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from graftwork import progress as shown
from graftwork.core.trials import Standing
from graftwork.listener import SILENT, Listener
from graftwork.progress import Notebook, Stages, Terminal, default_listener
from graftwork.testing import write_tiny_images

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
    terminal.end_stage()
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


def test_a_bar_ends_with_its_stage_even_when_that_fails():
    terminal = with_bar()
    stages = Stages(terminal)
    with stages.stage("images"):
        assert terminal._bar is not None
    assert terminal._bar is None
    with pytest.raises(ZeroDivisionError), stages.stage("codes"):
        1 / 0  # noqa: B018
    assert terminal._bar is None
    assert terminal.console.file.getvalue().endswith("\x1b[2K")  # the line is empty again
    assert set(stages.seconds) == {"images", "codes"}


class AtATerminal(io.StringIO):
    """Standard error as in a terminal."""

    def isatty(self):
        return True


def test_who_gives_no_listener_sees_a_bar_in_a_terminal_and_who_gives_one_does_not(monkeypatch):
    monkeypatch.setattr(sys, "stderr", AtATerminal())
    assert isinstance(Stages(None).listener, Terminal)
    given = Listener()
    assert Stages(given).listener is given


def test_workers_show_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", AtATerminal())
    assert isinstance(default_listener(), Terminal)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(default_listener).result() is SILENT
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "as in a worker process")
    assert default_listener() is SILENT


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_without_a_terminal_and_without_standard_error_nothing_is_shown(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    assert default_listener() is SILENT


CHECK = "import graftwork, sys; print(graftwork.check(sys.argv[1]).images)"


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_python_in_a_real_terminal_shows_the_bar_and_leaves_nothing_of_it(tmp_path):
    import pty

    folder = write_tiny_images(tmp_path / "images", per_class=2)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", CHECK, str(folder)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    result = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, check=True, env=environment)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a pseudo-terminal
        while block := os.read(ours, 65536):
            shown += block
    os.close(ours)
    assert result.stdout == b"6\n"
    assert b"images" in shown
    assert shown.endswith(b"\x1b[2K")


def test_python_in_a_pipe_shows_nothing(tmp_path):
    folder = write_tiny_images(tmp_path / "images", per_class=2)
    # rich would take this as a terminal
    environment = {**os.environ, "FORCE_COLOR": "1"}
    result = subprocess.run(
        [sys.executable, "-c", CHECK, str(folder)], capture_output=True, check=True, env=environment
    )
    assert (result.stdout, result.stderr) == (b"6\n", b"")


@pytest.fixture
def drawn(monkeypatch):
    """What a notebook was given to show, in order: as in a kernel, whose package need not be installed."""
    given = []

    class Handle:
        def update(self, data, *, raw):
            assert raw
            given.append(data["text/html"])

    def display(data, *, raw, display_id):
        assert raw
        assert display_id
        given.append(data["text/html"])
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return given


def test_a_notebook_shows_the_stage_in_one_place_and_only_lines_to_read_stay(clock, drawn):
    notebook = default_listener()
    assert isinstance(notebook, Notebook)
    notebook.stage("fine-tuning <1>")
    assert drawn == ["<div>fine-tuning &lt;1&gt; <progress ></progress> </div>"]
    clock[0] += 10
    notebook.progress(50, 200)
    assert '<progress value="50" max="200"></progress> 50/200, 0:10 so far, 0:30 left' in drawn[-1]
    clock[0] += 10
    notebook.candidates([LATER, WAITS])
    for piece in ("tuned above blocks.4", "fold 2 of 5, epoch 1 of 12", "87.5 %", "1:02", "all layers [tuned]"):
        assert f"<span>{piece}</span>" in drawn[-1]
    notebook.say("a <line>\nto read")
    notebook.end_stage()
    assert drawn[-1] == "<div>a &lt;line&gt;\\nto read</div>"


def test_a_notebook_is_drawn_a_few_times_a_second(clock, drawn):
    notebook = default_listener()
    notebook.stage("codes")
    for done in range(1000):
        clock[0] += 0.01
        notebook.progress(done, 1000)
    assert 30 < len(drawn) < 60


@pytest.mark.usefixtures("drawn")
def test_the_prompt_of_ipython_is_no_notebook(monkeypatch):
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: types.SimpleNamespace())
    assert default_listener() is SILENT
