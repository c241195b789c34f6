import io

import numpy as np
from rich.console import Console

from graftwork.cli.show import verdict_table
from graftwork.core.choose import Row, Verdict
from graftwork.core.facts import Cost
from graftwork.core.plans import Candidate, Linear, Recipe
from graftwork.core.trials import Trial


def test_what_the_clock_cut_is_not_called_worse():
    linear = Candidate("example", ("pooled",), Linear())
    tuned = Candidate("example", ("pooled",), Recipe(None, 12))
    rows = (Row(linear.label, 0.9, 0.8, 0.95, 0, 0, 0, False), Row(tuned.label, 0.5, 0.4, 0.6, 0.4, 0.3, 0.5, True))
    verdict = Verdict("accuracy", 0, 0, "only one", "it was the only candidate", rows)
    nothing = np.zeros((0, 2), np.float32)
    trials = [Trial(linear, nothing, Cost(0.4), {}), Trial(tuned, nothing, Cost(61.5), {}, "cut short")]
    console = Console(file=io.StringIO(), width=120)
    console.print(verdict_table(verdict, trials))
    line = next(line for line in console.file.getvalue().splitlines() if "all layers tuned" in line)
    assert [cell.strip() for cell in line.strip("│").split("│")][3:] == ["cut short", "61.5"]
