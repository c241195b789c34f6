"""``graft report``."""

from __future__ import annotations

from pathlib import Path

import click

from graftwork.cli import options


@click.command("report", short_help="Render a run's report again.")
@options.run_argument
def command(run: Path) -> None:
    """Render RUN/report.html again from the run's record: the data and the network may be gone."""
    from graftwork.verbs.report import report

    click.echo(report(run))
