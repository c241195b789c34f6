"""What is answered at which address: predictions, and what is to be known of the model and of the service."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import graftwork
from graftwork.core.options import ServeOptions
from graftwork.core.shown import one_line
from graftwork.serving import pages
from graftwork.serving.access import Access
from graftwork.serving.answers import About, Answers, Health, Problem
from graftwork.serving.metrics import CONTENT_TYPE, Metrics
from graftwork.serving.predictor import Predictor, Wishes
from graftwork.serving.refusal import Refusal
from graftwork.serving.served import Served
from graftwork.serving.upload import Room, Upload

MOST_NEAREST = 20
RETRY_SECONDS = 1
Top = Annotated[int, Query(ge=1, description="Number of classes to name, best first.")]
Nearest = Annotated[
    int, Query(ge=0, le=MOST_NEAREST, description="Number of nearest training images to show, where the service may.")
]
Explain = Annotated[bool, Query(description="Draw where the evidence is, where the service may.")]
_GONE = 499
"""What servers write down for a client that left before its answer."""
_PROBLEM = TypeAdapter(Problem)
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "image/*": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
            }
        },
    },
}
_REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "The token is missing or wrong"},
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **_REFUSED,
    400: {"model": Problem, "description": "The request is empty, or no form"},
    403: {"model": Problem, "description": "The service shows no training images, or explains nothing"},
    408: {"model": Problem, "description": "The request did not arrive in time"},
    413: {"model": Answers | Problem, "description": "The request is too large, or its only image has too many pixels"},
    415: {"model": Answers | Problem, "description": "The request holds no image, or none that is accepted"},
    422: {"model": Answers | Problem, "description": "Its only image is broken, or a parameter out of range"},
    503: {"model": Problem, "description": "Too much waits; try again after the seconds in Retry-After"},
}


def app(served: Served, options: ServeOptions, *, only_here: bool, is_stopping: Callable[[], bool]) -> FastAPI:
    """Return the service as an ASGI application.

    Parameters
    ----------
    only_here
        Whether it listens to this machine alone.
    is_stopping
        Tells whether connections are to end with their next answer.
    """
    room = Room(options)
    metrics = Metrics(served.about, lambda: room.images)
    predictor = Predictor(served, options, room, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(predictor.close)

    api = FastAPI(
        title=f"graftwork: {served.about.name}",
        version=graftwork.__version__,
        description="Predictions of an image classifier. Every answer is JSON.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    api.add_middleware(_Outermost, options=options, room=room, metrics=metrics, is_stopping=is_stopping)
    for kind in (Refusal, HTTPException, RequestValidationError):
        api.add_exception_handler(kind, _problem)
    protected = [Depends(Access(options.token, only_here=only_here))]
    api.include_router(_predictions(predictor), dependencies=protected)
    api.include_router(_facts(served, metrics), dependencies=protected)

    @api.head("/health", include_in_schema=False)
    @api.get("/health", summary="Whether the service answers, and with which model")
    async def health() -> Health:
        """The status is 200 as long as the service runs, whatever became of its folder."""
        return served.health(stopping=is_stopping())

    @api.head("/", include_in_schema=False)
    @api.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return pages.response(pages.drop_page())

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return pages.response(pages.api_page(api.openapi()))

    return api


def _predictions(predictor: Predictor) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/predict",
        response_model=Answers,
        responses=_PROBLEMS,
        openapi_extra={"requestBody": _BODY},
        summary="Predict the classes of images",
    )
    async def predict(request: Request, top: Top = 5, nearest: Nearest = 0, explain: Explain = False) -> Response:
        """The body is one image, or a form with several as its files.

        The status is 200 where any image was classified; images that were not have a status and a reason of their own.
        Where none was, the status of the answer is that of the first one.
        """
        return await predictor.predict(request, Wishes(top, nearest, explain))

    return router


def _facts(served: Served, metrics: Metrics) -> APIRouter:
    router = APIRouter(responses=_REFUSED)

    @router.get("/model", summary="What is served")
    async def model() -> About:
        """The classes, the test score, the licence and the versions of the model, and what may be sent to it."""
        return served.about

    @router.get("/metrics", summary="Counts for Prometheus", response_class=Response)
    async def counts() -> Response:
        """Requests, images, seconds and what waits, in Prometheus' text format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return router


async def _problem(_: Request, error: Exception) -> Response:
    """Say in one line why a request gets no answer."""
    headers: dict[str, str] = {}
    if isinstance(error, RequestValidationError):
        status, reason = 422, "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
    elif isinstance(error, HTTPException):
        status, reason, headers = error.status_code, str(error.detail), dict(error.headers or {})
    else:
        assert isinstance(error, Refusal)
        status, reason = error.status, error.reason
        headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_SECONDS)}}.get(status, {})
    return Response(_PROBLEM.dump_json(Problem(one_line(reason))), status, headers, media_type="application/json")


class _Outermost:
    """Bounds every body, counts every answer, and ends connections that are of no more use."""

    def __init__(
        self, app: ASGIApp, *, options: ServeOptions, room: Room, metrics: Metrics, is_stopping: Callable[[], bool]
    ) -> None:
        self._app, self._options, self._room, self._metrics = app, options, room, metrics
        self._is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), _GONE
        upload = Upload(receive, dict(scope["headers"]), self._options, self._room)

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                reusable = scope["method"] in ("GET", "HEAD") or await upload.discard()
                closing = [(b"connection", b"close")] if not reusable or self._is_stopping() else []
                message["headers"] = [*message["headers"], *closing, (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            with contextlib.suppress(ClientDisconnect):
                await self._app(scope, upload, send_on)
        except Exception:
            status = 500
            raise
        finally:
            upload.release()
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(path, status).inc()
            if path == "/predict":
                self._metrics.seconds.observe(time.perf_counter() - begin)
