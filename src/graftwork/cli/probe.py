"""``graft probe``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.core.options import JudgingOptions, Part


@click.command("probe", short_help="Accuracy of every layer, on the develop part.")
@options.data_argument
@options.backbone_option
@options.extraction_options
@options.of(JudgingOptions, "loss", "Logistic regression (softmax), a linear SVM, or both (auto).", default="softmax")
@options.judging_options
@options.split_options
@options.data_options
@options.of_type(
    Part,
    "--on",
    default="develop",
    show_default=True,
    help="Use the develop part, or all images; the latter counts as a look at the test images.",
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.html", help="Write the plot to a page.")
@options.json_option
@options.quiet_option
def command(*, as_json: bool, plot: Path | None, data: Path, **arguments: Any) -> None:
    """Show the score of a linear classifier on every layer of a network, and on all of them together."""
    from graftwork.cli.show import show_probe
    from graftwork.verbs.probe import probe

    result = probe(data, **arguments)
    show_probe(result, as_json=as_json, plot=plot)
