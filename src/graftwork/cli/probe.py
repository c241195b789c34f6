"""``graft probe``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.cli.terminal import Terminal


@click.command("probe", short_help="Accuracy of every layer, on the develop part.")
@options.data_argument
@options.backbone_option
@options.extraction_options
@click.option("--loss", type=click.Choice(["auto", "softmax", "svm"]), default="softmax", show_default=True)
@options.judging_options
@options.split_options
@options.group_option
@click.option("--on", type=click.Choice(["develop", "all"]), default="develop", show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.html", help="Write the plot to a page.")
@options.json_option
@options.quiet_option
def command(*, quiet: bool, as_json: bool, plot: Path | None, data: Path, **asked: Any) -> None:
    """Show what a linear classifier reads at every layer of a network, and at all of them together."""
    from graftwork.cli.show import show_probe
    from graftwork.verbs.probe import probe

    with Terminal(quiet=quiet) as terminal:
        found = probe(data, listener=terminal, **asked)
    show_probe(found, as_json=as_json, plot=plot)
