"""``graft extract``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.core.facts import Dtype


@click.command("extract", short_help="Write CNN codes of any layers to a file.")
@options.data_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="FILE.parquet or FILE.npz; folders on its way are made.",
)
@options.label_options
@options.backbone_option
@options.extraction_options
@click.option("--layers", default="auto", show_default=True, metavar="auto|NAME,NAME", help="Which layers to write.")
@options.of_type(
    Dtype,
    "--dtype",
    default="float16",
    show_default=True,
    help="Precision of the codes.",
)
@options.quiet_option
def command(*, data: Path, **arguments: Any) -> None:
    """Write CNN codes of images at several layers, from one forward pass per image.

    The file's name is printed on standard output, warnings (such as unreadable images) on standard error.
    """
    from rich.console import Console

    from graftwork.cli.show import show_findings
    from graftwork.verbs.extract import extract

    result = extract(data, **arguments)
    show_findings(Console(stderr=True), [finding for finding in result.findings if finding.severity != "note"])
    click.echo(result.path)
