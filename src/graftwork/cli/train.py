"""``graft train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.cli.terminal import Terminal


@click.command("train", short_help="Turn labelled images into a tested classifier.")
@options.data_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Default: runs/NAME-001.")
@options.strategy_option
@options.time_limit_option
@options.backbones_option
@options.extraction_options
@click.option("--layer", default="auto", show_default=True, metavar="auto|all|NAME", help="Where the network is read.")
@options.fine_tune_options
@click.option("--loss", type=click.Choice(["auto", "softmax", "svm"]), default="auto", show_default=True)
@options.judging_options
@click.option(
    "--worth", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Points a cheaper model is forgiven."
)
@options.split_options
@click.option(
    "--shifted",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Images of where the model will be used; labelled, half help to choose, half test.",
)
@options.group_option
@click.option(
    "--final",
    type=click.Choice(["develop", "all"]),
    default="develop",
    show_default=True,
    help="Fit the shipped model on the develop part, or on every image after the test.",
)
@click.option("--slim", is_flag=True, help="Leave the network's own weights out of the model folder.")
@options.quiet_option
def command(*, quiet: bool, data: Path, **asked: Any) -> None:
    """Turn labelled images (class folders, a table, a saved dataset) into a tested classifier.

    Everything is checked, split, tried and tested once; the run's folder holds the model and report.html.
    """
    from graftwork.cli.show import show_run
    from graftwork.verbs.train import train

    with Terminal(quiet=quiet) as terminal:
        run = train(data, listener=terminal, **asked)
    show_run(run)
