"""A model as a service over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graftwork.core.options import ServeOptions
from graftwork.errors import UsageError
from graftwork.listener import Listener
from graftwork.progress import default_listener

if TYPE_CHECKING:
    from graftwork.serving.service import Service

EXTRA = ("fastapi", "uvicorn", "starlette", "pydantic", "prometheus_client", "python_multipart", "httptools")
"""Packages that come with graftwork[serve]."""


def serve(
    run: str | Path,
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    token: str | None = None,
    show_training_images: bool = False,
    explain: bool = False,
    novelty_rate: float = 0.01,
    max_upload_mb: float = 32.0,
    max_megapixels: float = 50.0,
    max_waiting: int = 64,
    upload_seconds: float = 60.0,
    listener: Listener | None = None,
) -> Service:
    """Load a model and listen; the service answers within a ``with`` block, or by its ``run`` until Ctrl-C.

    Parameters
    ----------
    run
        A run's folder or a model folder.
    port
        0 takes any that is free; ``url`` of the service says which.
    host
        The address to listen on; only this machine reaches the default one.
    token
        What every request must send as its bearer token, but for the page, its description and ``/health``.
    show_training_images
        Show thumbnails of the nearest training images to who sends an image.
    explain
        Show where in an image the evidence for its class is; loads the network a second time, in torch.
    novelty_rate
        Share of images like the training images that may be flagged as novel.
    max_upload_mb
        Megabytes (10^6 bytes) of one request.
    max_megapixels
        Of one image, as its header says, before anything is decoded.
    max_waiting
        Number of images that wait or are computed; then more are sent away, to come back later.
    upload_seconds
        How long a request may take to arrive.

    Raises
    ------
    ModelError
        When the folder is no model, or does not hold what is to be shown.
    BackboneError
        When the network cannot be explained.
    UsageError
        When an argument is out of range, the address cannot be listened on, or FastAPI is not installed.

    Examples
    --------
    >>> import urllib.request
    >>> with serve("runs/photos-001", port=0) as service:
    ...     answer = urllib.request.urlopen(f"{service.url}/health").read()
    >>> answer
    b'{"status":"ok","folder":"unchanged","advice":""}'
    """
    options = ServeOptions(
        port=port, host=host, token=token, show_training_images=show_training_images, explain=explain,
        novelty_rate=novelty_rate, max_upload_mb=max_upload_mb, max_megapixels=max_megapixels, max_waiting=max_waiting,
        upload_seconds=upload_seconds,
    )  # fmt: skip
    try:
        from graftwork.serving.service import Service
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise UsageError(
            f"serving needs packages that are optional, but {error.name} is not installed: "
            "`pip install 'graftwork[serve]'`"
        ) from error
    return Service(Path(run), options, default_listener() if listener is None else listener)
