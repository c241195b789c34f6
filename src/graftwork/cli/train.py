"""``graft train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.core.options import Part


@click.command("train", short_help="Turn labelled images into a tested classifier.")
@options.data_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Default: runs/NAME-001.")
@options.strategy_option
@options.time_limit_option
@options.backbones_option
@options.extraction_options
@options.engine_option
@options.layer_option
@options.fine_tune_options
@options.loss_option
@options.judging_options
@options.tolerance_option
@options.split_options
@click.option(
    "--shifted",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Images of the target domain, where the model will be used; half of the labelled ones help to choose, the "
    "other half test.",
)
@options.data_options
@options.of_type(
    Part,
    "--final",
    default="develop",
    show_default=True,
    help="Fit the saved model on the develop part, or on every image after the test.",
)
@click.option("--slim", is_flag=True, help="Leave the network's own weights out of the model folder.")
@options.all_rows_option
@options.quiet_option
def command(*, all_rows: bool, data: Path, **arguments: Any) -> None:
    """Turn labelled images (class folders, a table, a saved dataset) into a tested classifier.

    Images are checked and split, candidates are compared, and the chosen one is tested once; the run's folder holds
    the model and report.html.
    """
    from graftwork.cli.answer import show_run
    from graftwork.verbs.train import train

    run = train(data, **arguments)
    show_run(run, all_rows=all_rows)
