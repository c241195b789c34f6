"""``graft demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.core.options import FineTuneOptions


@click.command("demo", short_help="Train on real images that need no download.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Default: runs/digits-001.")
@options.strategy_option
@options.of(
    FineTuneOptions, "time_limit", "Such as 90s, 10m, 2h; refit and test included.", metavar="TIME|none", default="5m"
)
@options.all_rows_option
@options.quiet_option
def command(*, all_rows: bool, **arguments: Any) -> None:
    """Train on the 1,797 images of handwritten digits that come with scikit-learn, without any download.

    They are unlike the photographs that the network was trained on: an earlier layer classifies them best. With
    --strategy linear it takes about a minute.
    """
    from graftwork.cli.answer import show_run
    from graftwork.verbs.demo import demo

    run = demo(**arguments)
    show_run(run, all_rows=all_rows)
