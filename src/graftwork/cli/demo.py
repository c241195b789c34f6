"""``graft demo``."""

from __future__ import annotations

from pathlib import Path

import click

from graftwork.cli import options
from graftwork.cli.terminal import Terminal


@click.command("demo", short_help="Train on real images that need no download.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Default: runs/digits-001.")
@options.quiet_option
def command(*, quiet: bool, output: Path | None) -> None:
    """Train on the 1,797 images of handwritten digits that come with scikit-learn, without any download.

    They are unlike the photographs that the network was trained on: an earlier layer reads them best.
    """
    from graftwork.cli.show import show_run
    from graftwork.verbs.demo import demo

    with Terminal(quiet=quiet) as terminal:
        run = demo(output=output, listener=terminal)
    show_run(run)
