"""``graft check``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.core.options import InputPx


@click.command("check", short_help="Find what is wrong with images before training.")
@options.data_argument
@options.data_options
@options.of_type(
    InputPx,
    "--input-px",
    default=224,
    show_default=True,
    metavar="N",
    help="Side of the network's input, in pixels: images are tiny or huge relative to it.",
)
@options.json_option
@options.quiet_option
def command(*, data: Path, as_json: bool, **arguments: Any) -> None:
    """Find unreadable files, duplicates, leaks, likely groups and odd images in DATA."""
    from graftwork.cli.show import show_check
    from graftwork.verbs.check import check

    result = check(data, **arguments)
    show_check(result, as_json=as_json)
