"""``graft evaluate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.core.options import Share
from graftwork.errors import UsageError


@click.command("evaluate", short_help="Score a model on labelled images.")
@options.run_argument
@options.data_argument
@options.of_type(
    Share,
    "--at-least",
    metavar="SHARE",
    help="Exit with code 1 when the lower bound of the interval is below it.",
)
@options.data_options
@options.json_option
@options.quiet_option
def command(*, run: Path, data: Path, at_least: float | None, as_json: bool, **arguments: Any) -> None:
    """Score the model of RUN on labelled images; images that it was trained on are scored separately."""
    from graftwork.cli.show import show_evaluation
    from graftwork.verbs.evaluate import evaluate

    if at_least is not None:
        _refuse_log_loss(run)
    result = evaluate(run, data, **arguments)
    show_evaluation(result, at_least=at_least, as_json=as_json)
    sys.exit(1 if at_least is not None and not result.is_at_least(at_least) else 0)


def _refuse_log_loss(run: Path) -> None:
    from graftwork.runfolder import read_run

    if read_run(run).verdict.metric == "log-loss":
        raise UsageError(
            f"--at-least needs a metric where higher is better, but {run} was chosen by log loss; leave it out, or "
            "train with another --metric"
        )
