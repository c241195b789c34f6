"""``graft predict``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.cli.lines import message
from graftwork.core.options import Count, Share
from graftwork.errors import DataError


@click.command("predict", short_help="Predict the classes of images.")
@options.run_argument
@click.argument("images", type=click.Path(), nargs=-1, required=True)
@options.of_type(Count, "--top", default=1, show_default=True, help="Number of classes to name.")
@options.of_type(
    Share,
    "--novelty-rate",
    default=0.01,
    metavar="SHARE",
    show_default=True,
    help="Share of images like the training images that may be flagged as novel.",
)
@options.image_column_option
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .csv or .jsonl file, in place of printing; folders on its way are made.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), help="Default: csv, or that of the file's name.")
@click.option("--probabilities", is_flag=True, help="The probabilities of all classes, one column each.")
@click.option("--bom", is_flag=True, help="Begin with a byte order mark, by which spreadsheets recognise UTF-8.")
def command(
    *, run: Path, images: tuple[str, ...], top: int, form: str | None, file: Path | None, overwrite: bool,
    probabilities: bool, bom: bool, **arguments: Any,
) -> None:  # fmt: skip
    """Predict the classes of IMAGES: files, folders, tables of files, or - for standard input.

    Standard input holds paths, one per line, or one image.

    An image that cannot be read, or a folder or table without images, is named on standard error; the others are
    predicted, and the exit code is 1.
    """
    from graftwork.cli.predictions import form_of, write_predictions
    from graftwork.model.load import load
    from graftwork.verbs.predict import stream

    failed: list[str] = []

    def on_error(name: str, error: Exception) -> None:
        failed.append(name)
        click.echo(message(error), err=True)

    given = _standard_input() if images == ("-",) else iter(images)
    kind = form_of(file, form, overwrite=overwrite)
    classes = load(run, check=False).classes if probabilities else ()
    predictions = stream(run, given, top=len(classes) or top, on_error=on_error, **arguments)
    write_predictions(predictions, kind, top, classes=classes, output=file, bom=bom)
    sys.exit(1 if failed else 0)


def _standard_input() -> Iterator[str | bytes]:
    """The paths on standard input as they come, or the one image there: a null byte is in no path, and in any image.

    Raises
    ------
    DataError
        When there is neither.
    """
    binary = getattr(sys.stdin, "buffer", None)
    if binary is not None and b"\0" in binary.peek():
        from graftwork.images.header import open_image
        from graftwork.images.pillow import caught_warnings

        data = binary.read()
        try:
            with caught_warnings():
                open_image(data, "what is on standard input")
        except DataError as error:
            raise DataError(f"- must be followed by paths, one per line, or by one image, but {error}") from error
        yield data
        return
    empty = True
    for line in filter(None, (line.rstrip("\r\n") for line in sys.stdin)):  # an empty line is no path
        empty = False
        yield line
    if empty:
        raise DataError("- must be followed by paths, one per line, or by one image, but standard input is empty")
