"""A run's report, rendered again from its record."""

from __future__ import annotations

from pathlib import Path

from graftwork.reporting.page import write_report
from graftwork.runfolder import read_run


def report(run: str | Path) -> Path:
    """Render ``report.html`` again, from the record alone: without the data, the network or torch.

    Raises
    ------
    ModelError
        When the folder holds no complete run.

    Examples
    --------
    >>> report("runs/photos-001").name
    'report.html'
    """
    return write_report(read_run(Path(run)), Path(run))
