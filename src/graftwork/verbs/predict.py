"""The predictions of a model for images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from graftwork.errors import DataError
from graftwork.images.given import given_images
from graftwork.model.load import load
from graftwork.model.novelty import RATE
from graftwork.model.predict import Prediction


def predict(
    run: str | Path,
    images: str | Path | bytes | Iterable[str | Path | bytes],
    *,
    top: int = 1,
    novelty_rate: float = RATE,
    image_column: str | None = None,
    on_error: Callable[[str, DataError], None] | None = None,
) -> list[Prediction]:
    """Predict the class of each image.

    To predict several times, load the model once (:func:`graftwork.load`); its ``stream`` gives predictions one by one.

    Parameters
    ----------
    run
        A run's folder or a model folder.
    images
        An image (its path, or its bytes), a folder of which every image is predicted, or a table that names images; or
        several of these.
    top
        How many classes to name, best first.
    novelty_rate
        Share of images like the training images that may be flagged as novel.
    image_column
        Column of a table with the images, where its name is not recognised.
    on_error
        Called with the name and the error of each image that cannot be read, and of each folder or table without any;
        without it the first one raises.

    Raises
    ------
    ModelError, UsageError
        When the folder is no model, or an argument is out of range.
    DataError
        When an image cannot be read, or a folder holds none.

    Examples
    --------
    >>> predictions = predict("runs/photos-001", ["photos/ant/ant-001.png", "photos/bee/bee-001.png"])
    >>> [prediction.name for prediction in predictions]
    ['photos/ant/ant-001.png', 'photos/bee/bee-001.png']
    """
    return list(stream(run, images, top=top, novelty_rate=novelty_rate, image_column=image_column, on_error=on_error))


def stream(
    run: str | Path,
    images: str | Path | bytes | Iterable[str | Path | bytes],
    *,
    top: int = 1,
    novelty_rate: float = RATE,
    image_column: str | None = None,
    on_error: Callable[[str, DataError], None] | None = None,
) -> Iterator[Prediction]:
    """Predict as ``predict`` does, but give predictions while images come: a few dozen are in memory at a time."""
    return load(run).stream(
        given_images(images, image_column, on_error), top=top, novelty_rate=novelty_rate, on_error=on_error
    )
