"""``graft explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.cli.lines import message
from graftwork.core.options import CountFromZero


@click.command("explain", short_help="Show where in images the evidence is.")
@options.run_argument
@click.argument("images", type=click.Path(), nargs=-1)
@click.option(
    "--mistakes",
    is_flag=True,
    help="Explain the run's most confident mistakes in place of IMAGES, and show them in its report.",
)
@click.option("--for-class", metavar="NAME", help="The class whose evidence is shown; default: the predicted one.")
@options.of_type(
    CountFromZero, "--nearest", default=3, show_default=True, help="Number of the nearest training images to show."
)
@options.image_column_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="A new folder, or one of earlier explanations; default: RUN/explained.",
)
@options.quiet_option
def command(*, run: Path, images: tuple[str, ...], output: Path | None, **arguments: Any) -> None:
    """Show where in IMAGES (files, folders, tables of files) the evidence for the predicted class is.

    Writes a page, a picture of each image beside its map of evidence, and a list as JSON; the page's name is the last
    line of what is printed. The nearest training images are shown, too, unless a network was fine-tuned.

    An image that cannot be read is named on standard error; the others are explained, and the exit code is 1.
    """
    from graftwork.core.shown import facts_of, one_line
    from graftwork.ship.explained_folder import PAGE
    from graftwork.verbs.explain import stream

    failed: list[str] = []

    def on_error(name: str, error: Exception) -> None:
        failed.append(name)
        click.echo(message(error), err=True)

    folder = output or run / "explained"
    written = False
    for explanation in stream(run, images or None, output=folder, on_error=on_error, **arguments):
        title, *facts = facts_of(explanation)
        click.echo(one_line("; ".join([title.text, *(f"{fact.label}: {fact.text}" for fact in facts)])))
        written = True
    if written:
        click.echo(folder / PAGE)
    sys.exit(1 if failed else 0)
