"""``graft compare``."""

from __future__ import annotations

from pathlib import Path

import click

from graftwork.cli import options


@click.command("compare", short_help="Compare two or more runs, paired per image.")
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@options.json_option
def command(runs: tuple[Path, ...], as_json: bool) -> None:
    """Compare RUNS on the images that they were all tested on."""
    from graftwork.cli.show import show_comparison
    from graftwork.verbs.compare import compare

    show_comparison(compare(runs), as_json=as_json)
