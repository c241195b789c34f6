"""Images as a user names them for a model: files, bytes, folders of images, and tables that name some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from graftwork.errors import DataError, UsageError
from graftwork.images.cells import TEXT_TABLES
from graftwork.images.folders import images_below, printable
from graftwork.images.tables import PARQUET, images_named

Given = str | Path | bytes


def given_images(
    images: Given | Iterable[Given], image_column: str | None, on_error: Callable[[str, DataError], None] | None
) -> Iterator[Path | bytes]:
    """Yield the paths and the bytes of images, folders and tables replaced by what they hold.

    Parameters
    ----------
    image_column
        Column of a table with the images, where its name is not recognised.
    on_error
        Called with the name and the error of each folder or table without images; without it the first one raises.

    Raises
    ------
    UsageError
        When something is neither a path nor bytes.
    """
    for image in [images] if isinstance(images, (str, Path, bytes)) or not isinstance(images, Iterable) else images:
        if isinstance(image, bytes):
            yield image
            continue
        if not isinstance(image, (str, Path)):
            raise UsageError(
                f"images must be paths or bytes, but one is {type(image).__name__}; pictures in memory are for "
                "`graftwork.load(RUN).predict`"
            )
        path = Path(image)
        try:
            if _is_folder(path):
                yield from images_below(path)
            elif path.suffix.lower() in (*TEXT_TABLES, *PARQUET):
                yield from images_named(path, image_column)
            else:
                yield path
        except DataError as error:
            if on_error is None:
                raise
            on_error(printable(str(path)), error)


def _is_folder(path: Path) -> bool:
    """Whether this is a folder; what the system does not answer (a name is too long, say) is left to who reads it."""
    try:
        return path.is_dir()
    except OSError:
        return False
