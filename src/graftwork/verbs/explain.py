"""Why a model predicts what it predicts, for images or for the mistakes of its run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from PIL import Image

from graftwork.core.arguments import argument
from graftwork.core.figures import counted
from graftwork.core.options import CountFromZero
from graftwork.core.record import Run
from graftwork.errors import DataError, UsageError
from graftwork.images.folders import printable
from graftwork.images.given import Given, given_images
from graftwork.images.sources import Files
from graftwork.images.thumbnail import thumbnail
from graftwork.listener import Listener
from graftwork.progress import Stages
from graftwork.reporting.evidence import mistakes as most_confident_mistakes
from graftwork.reporting.evidence import scored
from graftwork.reporting.page import write_report
from graftwork.reporting.thumbnails import write_evidence
from graftwork.runfolder import read_run
from graftwork.ship.explain import Explainer, Explanation
from graftwork.ship.explained_folder import require_free, written
from graftwork.ship.run_images import RunImages

OnError = Callable[[str, DataError], None]


def explain(
    run: str | Path,
    images: Given | Iterable[Given] | None = None,
    *,
    mistakes: bool = False,
    for_class: str | None = None,
    nearest: int = 3,
    output: str | Path | None = None,
    image_column: str | None = None,
    listener: Listener | None = None,
    on_error: OnError | None = None,
) -> list[Explanation]:
    """Say where in each image the evidence for its predicted class is, and which training images are nearest.

    Parameters
    ----------
    run
        A run's folder or a model folder; the latter does not know its training images.
    images
        An image (its path, or its bytes), a folder of which every image is explained, or a table that names images; or
        several of these.
    mistakes
        Explain the most confident mistakes of the run in place of images, and show them in its report. The images of
        the run must be where they were.
    for_class
        The class whose evidence is shown, in place of the most probable one (of a mistake: of the one that was
        predicted).
    nearest
        Number of training images to name, the nearest first.
    output
        A folder for a page, a PNG file of each image and a list as JSON; nothing is written without it.
    image_column
        Column of a table with the images, where its name is not recognised.
    listener
        Hears what happens.
    on_error
        Called with the name and the error of each image that cannot be read, and of each folder or table without any;
        without it the first one raises.

    Raises
    ------
    ModelError, BackboneError
        When the folder is no model, its network's weights are not at hand, or a layer of it cannot be explained.
    UsageError
        When there are neither images nor ``mistakes``, or both, or the model has no such class.
    DataError
        When an image cannot be read, or a folder holds none.
    StorageError
        When ``output`` cannot be written to.

    Examples
    --------
    >>> (explanation,) = explain("runs/photos-001", "photos/bee/bee-001.png")
    >>> explanation.label, explanation.map.shape
    ('bee', (48, 48))
    >>> [image.label for image in explanation.nearest]
    ['bee', 'bee', 'bee']
    """
    return list(
        stream(
            run, images, mistakes=mistakes, for_class=for_class, nearest=nearest, output=output,
            image_column=image_column, listener=listener, on_error=on_error,
        )
    )  # fmt: skip


def stream(
    run: str | Path,
    images: Given | Iterable[Given] | None = None,
    *,
    mistakes: bool = False,
    for_class: str | None = None,
    nearest: int = 3,
    output: str | Path | None = None,
    image_column: str | None = None,
    listener: Listener | None = None,
    on_error: OnError | None = None,
) -> Iterator[Explanation]:
    """Explain as ``explain`` does, but give explanations while images come; the folder is complete at the end."""
    nearest = argument("nearest", nearest, CountFromZero)
    if (images is None) != mistakes:
        got = "both" if mistakes else "neither"
        raise UsageError(f"explain takes images, or --mistakes for those of the run, but got {got}; give one of them")
    if output is not None:
        require_free(Path(output))
    stages = Stages(listener)
    record = read_run(Path(run)) if mistakes else None
    if record is not None and not most_confident_mistakes(record):
        tested = counted(len(scored(record).y), "image")
        stages.listener.say(f"{run} has no mistake to explain: it classified all {tested} correctly")
        return iter(())
    with stages.stage("network"):
        explainer = Explainer(run)
    if for_class is not None:
        explainer.require_class(for_class)
    for note in explainer.notes if nearest else ():
        stages.listener.say(note)
    if record is not None:
        explanations = _of_mistakes(explainer, record, for_class, nearest, on_error)
    else:
        given = given_images(images or (), image_column, on_error)
        explanations = _of_images(explainer, given, for_class, nearest, on_error)
    return explanations if output is None else written(explanations, Path(output), explainer, Path(run).resolve().name)


def _of_images(
    explainer: Explainer,
    images: Iterable[Path | bytes],
    for_class: str | None,
    nearest: int,
    on_error: OnError | None,
) -> Iterator[Explanation]:
    for number, image in enumerate(images, start=1):
        name = printable(str(image)) if isinstance(image, Path) else f"image {number}"
        try:
            data = image if isinstance(image, bytes) else Files([image]).read(0)
            explanation = explainer.explain(data, name, for_class=for_class, nearest=nearest)
        except DataError as error:
            if on_error is None:
                raise
            on_error(name, error)
            continue
        yield explanation


def _of_mistakes(
    explainer: Explainer, run: Run, for_class: str | None, nearest: int, on_error: OnError | None
) -> Iterator[Explanation]:
    """Explain the most confident mistakes; at the end, the report shows them."""
    images = RunImages(run)
    images.require()
    for pick in most_confident_mistakes(run):
        name = run.images.names[pick.row]
        try:
            explanation = explainer.explain(
                images.read(pick.row), name, for_class=for_class or run.classes[pick.other], nearest=nearest,
                actual=run.classes[pick.label],
            )  # fmt: skip
        except DataError as error:
            if on_error is None:
                raise
            on_error(name, error)
            continue
        write_evidence(run, pick.row, thumbnail(Image.fromarray(explanation.overlay)))
        yield explanation
    write_report(run, Path(run.folder))
