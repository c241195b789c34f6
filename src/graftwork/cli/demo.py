"""``graft demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.cli.terminal import Terminal


@click.command("demo", short_help="Train on real images that need no download.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Default: runs/digits-001.")
@options.strategy_option
@click.option("--time-limit", default="5m", show_default=True, metavar="TIME|none")
@options.quiet_option
def command(*, quiet: bool, **asked: Any) -> None:
    """Train on the 1,797 images of handwritten digits that come with scikit-learn, without any download.

    They are unlike the photographs that the network was trained on: an earlier layer reads them best. With
    --strategy linear it takes under a minute.
    """
    from graftwork.cli.show import show_run
    from graftwork.verbs.demo import demo

    with Terminal(quiet=quiet) as terminal:
        run = demo(listener=terminal, **asked)
    show_run(run)
