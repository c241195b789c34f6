"""A request with images becomes an answer with predictions."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor

from PIL import Image
from pydantic import TypeAdapter
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from graftwork.core.options import ServeOptions
from graftwork.core.shown import one_line
from graftwork.serving.accepting import decoded
from graftwork.serving.answers import Answer, Answers, Class, Neighbour, Refused
from graftwork.serving.batching import Batcher, Classified
from graftwork.serving.metrics import Metrics
from graftwork.serving.refusal import Refusal
from graftwork.serving.served import Served
from graftwork.serving.upload import Room
from graftwork.ship.overlay import png_of

MOST_FILES = 100
"""Files of one request."""
_NO_FORM = ("application/octet-stream", "application/x-www-form-urlencoded", "")
"""What is sent as one image, too: curl calls every body a form that is urlencoded."""
_ANSWERS = TypeAdapter(Answers)


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What a request wants to know of each image."""

    top: int
    """Number of classes to name."""
    nearest: int
    """Number of training images to show."""
    explain: bool
    """Whether to draw where the evidence is."""


class Predictor:
    """Reads the images of requests, lets them be classified together, and writes the answers."""

    def __init__(self, served: Served, options: ServeOptions, room: Room, metrics: Metrics) -> None:
        self._served, self._room, self._metrics = served, room, metrics
        decode = functools.partial(decoded, served.model, max_megapixels=options.max_megapixels)
        self._batcher = Batcher(served.model, decode, options.novelty_rate, metrics.batches.observe)
        self._artist = ThreadPoolExecutor(1, thread_name_prefix="draw")
        """Draws what is shown beside a prediction, one image at a time."""

    async def predict(self, request: Request, wishes: Wishes) -> Response:
        """Answer a request.

        Raises
        ------
        Refusal
            When it holds no images, wants what is not shown, or too much waits.
        """
        if wishes.nearest and self._served.training_images is None:
            raise Refusal(403, "training images are shown by services alone that have --show-training-images")
        if wishes.explain and self._served.explainer is None:
            raise Refusal(403, "evidence is shown by services alone that have --explain")
        self._room.check()  # before anything is read, and again when others may have come meanwhile
        files = await _files(request)
        self._room.check()
        self._room.images += len(files)
        try:
            said = await asyncio.gather(*(self._said(name, data, wishes) for name, data in files))
        finally:
            self._room.images -= len(files)
        refused = [one.status for one in said if isinstance(one, Refused)]
        status = refused[0] if len(refused) == len(said) else 200
        return Response(_ANSWERS.dump_json(Answers(said)), status, media_type="application/json")

    def close(self) -> None:
        """Wait until every image has its answer."""
        self._batcher.close()
        self._artist.shutdown()

    async def _said(self, name: str, data: bytes, wishes: Wishes) -> Answer | Refused:
        try:
            classified = await asyncio.wrap_future(self._batcher.submit(data, name, wishes.top))
        except Refusal as refusal:
            self._metrics.images.labels(refusal.status).inc()
            return Refused(name, refusal.status, one_line(refusal.reason))
        self._metrics.images.labels(200).inc()
        self._metrics.novel.inc(int(classified.prediction.novel or 0))
        near, evidence = await self._drawn(data, classified, wishes)
        prediction = classified.prediction
        return Answer(
            name=prediction.name,
            label=prediction.label,
            probability=prediction.probability,
            top=[Class(label, probability) for label, probability in prediction.top[: wishes.top]],
            p_value=prediction.p_value,
            novel=prediction.novel,
            nearest=near,
            evidence=evidence,
        )

    async def _drawn(self, data: bytes, classified: Classified, wishes: Wishes) -> tuple[list[Neighbour], str | None]:
        """Return the nearest training images and a picture of the evidence, as far as they are wanted."""
        images, explainer = self._served.training_images, self._served.explainer

        def nearest(k: int) -> list[Neighbour]:
            near = images.of(classified.code, k) if images is not None else ()
            return [Neighbour(one.label, round(one.similarity, 4), _address(one.thumbnail, "jpeg")) for one in near]

        def evidence() -> str | None:
            if explainer is None:
                return None
            label = classified.prediction.label
            explanation = explainer.explain(data, classified.prediction.name, for_class=label, nearest=0)
            return _address(png_of(Image.fromarray(explanation.overlay)), "png")

        loop = asyncio.get_running_loop()
        near = await loop.run_in_executor(self._artist, nearest, wishes.nearest) if wishes.nearest else []
        return near, await loop.run_in_executor(self._artist, evidence) if wishes.explain else None


def _address(picture: bytes | None, kind: str) -> str | None:
    """Return a picture as a ``data:`` address."""
    return None if picture is None else f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


async def _files(request: Request) -> list[tuple[str, bytes]]:
    """Return the images of a request by name, each as bytes."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        try:
            async with request.form(max_files=MOST_FILES, max_fields=MOST_FILES) as form:
                sent = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
                files = [(one_line(one.filename or f"image {i + 1}"), await one.read()) for i, one in enumerate(sent)]
        except HTTPException as error:
            raise Refusal(
                400, f"the form must be whole multipart/form-data of at most {MOST_FILES} files, but: {error.detail}"
            ) from error
        if not files:
            raise Refusal(400, "the form must hold at least one file, but holds none; send images as its files")
        return files
    if kind.startswith("image/") or kind in _NO_FORM:
        data = await request.body()
        if not data:
            raise Refusal(400, "the body must be an image, but is empty; send one, or several as multipart/form-data")
        return [("image", data)]
    raise Refusal(
        415, f"the body must be an image or multipart/form-data, but its Content-Type is {kind}; send one of these"
    )
