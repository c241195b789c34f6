"""A request with images becomes an answer with predictions."""

from __future__ import annotations

import asyncio
import functools

from pydantic import TypeAdapter
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from graftwork.core.options import ServeOptions
from graftwork.core.shown import one_line
from graftwork.serving.accepting import decoded
from graftwork.serving.answers import Answer, Answers, Refused, answer
from graftwork.serving.batching import Batcher, Classified
from graftwork.serving.metrics import Metrics
from graftwork.serving.refusal import Refusal
from graftwork.serving.served import Served
from graftwork.serving.upload import Room

MOST_FILES = 100
"""Files of one request."""
_NO_FORM = ("application/octet-stream", "application/x-www-form-urlencoded", "")
"""What is sent as one image, too: curl calls every body a form that is urlencoded."""
_ANSWERS = TypeAdapter(Answers)


class Predictor:
    """Reads the images of requests, lets them be classified together, and writes the answers."""

    def __init__(self, served: Served, options: ServeOptions, room: Room, metrics: Metrics) -> None:
        self._served, self._room, self._metrics = served, room, metrics
        decode = functools.partial(decoded, served.model, max_megapixels=options.max_megapixels)
        self._batcher = Batcher(served.model, decode, options.novelty_rate, metrics.batches.observe)

    async def predict(self, request: Request, top: int, nearest: int) -> Response:
        """Answer a request.

        Raises
        ------
        Refusal
            When it holds no images, or too much waits.
        """
        if nearest and self._served.training_images is None:
            raise Refusal(403, "training images are shown by services alone that have --show-training-images")
        self._room.check()  # before anything is read, and again when others may have come meanwhile
        files = await _files(request)
        self._room.check()
        self._room.images += len(files)
        try:
            futures = [asyncio.wrap_future(self._batcher.submit(data, name, top)) for name, data in files]
            results = await asyncio.gather(*futures, return_exceptions=True)
        finally:
            self._room.images -= len(files)
        said = [self._said(name, one, top, nearest) for (name, _), one in zip(files, results, strict=True)]
        refused = [one.status for one in said if isinstance(one, Refused)]
        status = refused[0] if len(refused) == len(said) else 200
        return Response(_ANSWERS.dump_json(Answers(said)), status, media_type="application/json")

    def close(self) -> None:
        """Wait until every image has its answer."""
        self._batcher.close()

    def _said(self, name: str, result: Classified | BaseException, top: int, nearest: int) -> Answer | Refused:
        if isinstance(result, Refusal):
            self._metrics.images.labels(result.status).inc()
            return Refused(name, result.status, one_line(result.reason))
        if isinstance(result, BaseException):
            raise result
        self._metrics.images.labels(200).inc()
        self._metrics.novel.inc(int(result.prediction.novel or 0))
        images = self._served.training_images
        return answer(result.prediction, top, images.nearest(result.code, nearest) if images and nearest else [])


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
