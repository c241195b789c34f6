"""``graft predict``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from graftwork.cli import options
from graftwork.cli.lines import message
from graftwork.core.options import Count, Share


@click.command("predict", short_help="Predict the classes of images.")
@options.run_argument
@click.argument("images", type=click.Path(), nargs=-1, required=True)
@click.option("--top", type=options.type_of(Count), default=1, show_default=True, help="Number of classes to name.")
@click.option(
    "--novelty-rate",
    type=options.type_of(Share),
    default=0.01,
    show_default=True,
    help="Share of images like the training images that may be flagged as novel.",
)
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
def command(run: Path, images: tuple[str, ...], top: int, novelty_rate: float, form: str) -> None:
    """Predict the classes of IMAGES: files, folders, or - for paths on standard input, one per line.

    An image that cannot be read, or a folder without images, is named on standard error; the others are predicted, and
    the exit code is 1.
    """
    from graftwork.cli.show import write_predictions
    from graftwork.verbs.predict import predict

    failed: list[str] = []

    def on_error(name: str, error: Exception) -> None:
        failed.append(name)
        click.echo(message(error), err=True)

    typed = (line.rstrip("\r\n") for line in sys.stdin)
    paths = filter(None, typed) if images == ("-",) else iter(images)  # an empty line is no path
    write_predictions(predict(run, paths, top=top, novelty_rate=novelty_rate, on_error=on_error), form, top)
    sys.exit(1 if failed else 0)
