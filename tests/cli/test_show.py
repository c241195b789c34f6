import io

import numpy as np
from rich.console import Console

from graftwork.cli.show import show_comparison, show_findings, verdict_table
from graftwork.core.choose import Row, Verdict
from graftwork.core.findings import Finding
from graftwork.core.plans import Candidate, Linear, Recipe
from graftwork.core.stats import share
from graftwork.core.trials import Trial
from graftwork.verbs.compare import Comparison


def test_an_interrupted_candidate_is_not_called_worse():
    linear = Candidate("example", ("pooled",), Linear())
    tuned = Candidate("example", ("pooled",), Recipe(None, 12))
    rows = (Row(linear.label, 0.9, 0.8, 0.95, 0, 0, 0, False), Row(tuned.label, 0.5, 0.4, 0.6, 0.4, 0.3, 0.5, True))
    verdict = Verdict("accuracy", 0, 0, "only one", "it was the only candidate", rows)
    nothing = np.zeros((0, 2), np.float32)
    trials = [Trial(linear, nothing, 0.4, {}), Trial(tuned, nothing, 61.5, {}, "interrupted")]
    console = Console(file=io.StringIO(), width=120)
    console.print(verdict_table(verdict, trials))
    line = next(line for line in console.file.getvalue().splitlines() if "all layers tuned" in line)
    assert [cell.strip() for cell in line.strip("│").split("│")][3:] == ["interrupted", "61.5"]


def test_findings_name_a_few_images_each_on_one_line(capsys):
    names = ("a b.png", "two\nlines.png", "c.png", "d.png")
    because = "4 of 64 images cannot be decoded"
    show_findings(
        Console(), [Finding("G101", "warning", "unreadable images", because, "fix them", count=4, examples=names)]
    )
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == ["a b.png", r"two\nlines.png", "c.png", "and 1 more", "-> fix them"]


def test_differences_of_log_loss_are_in_nats(capsys):
    rows = (Row("one", 0.31, 0.2, 0.4, 0, 0, 0, False), Row("two", 0.352, 0.3, 0.5, 0.042, 0.01, 0.07, True))
    recall = tuple((share(np.array([hit]), np.array([0])),) for hit in (True, False))
    show_comparison(Comparison("log-loss", rows, ("ant",), recall, ()), as_json=False)
    line = next(line for line in capsys.readouterr().out.splitlines() if "two" in line)
    assert [cell.strip() for cell in line.strip("│").split("│")][1:] == [
        "0.352 nats", "0.300 to 0.500", "0.042 (significant)", "0.010 to 0.070"
    ]  # fmt: skip


def test_the_name_of_a_run_is_in_one_piece_where_it_fits(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = tuple(Row(f"runs/photos-00{i}", 0.9, 0.8, 0.95, 0.1 * i, 0, 0.2, bool(i)) for i in range(2))
    recall = tuple((share(np.array([True]), np.array([0])),) for _ in rows)
    show_comparison(Comparison("accuracy", rows, ("ant",), recall, ()), as_json=False)
    first = capsys.readouterr().out.partition("recall by class")[0]
    assert all(f"│ {row.label} │" in first for row in rows)
