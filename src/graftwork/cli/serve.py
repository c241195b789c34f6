"""``graft serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.core.options import ServeOptions

TOKEN_VARIABLE = "GRAFTWORK_TOKEN"


@click.command("serve", short_help="Answer with predictions over HTTP.")
@options.run_argument
@options.of(ServeOptions, "port", "Port to listen on; 0 takes any that is free.")
@options.of(ServeOptions, "host", "Address to listen on; only this machine reaches the default.", metavar="ADDRESS")
@options.of(
    ServeOptions,
    "token",
    f"What requests must send as their bearer token; safer in ${TOKEN_VARIABLE}, which no list of processes shows.",
    metavar="TOKEN",
    envvar=TOKEN_VARIABLE,
)
@options.of(
    ServeOptions, "show_training_images", "Show thumbnails of the nearest training images to who sends an image."
)
@options.of(ServeOptions, "explain", "Show where in an image the evidence is; loads the network into torch, too.")
@options.of(
    ServeOptions,
    "novelty_rate",
    "Share of images like the training images that may be flagged as novel.",
    metavar="SHARE",
)
@options.of(ServeOptions, "max_upload_mb", "Megabytes of one request.", metavar="MB")
@options.of(
    ServeOptions, "max_megapixels", "Megapixels of one image, as its header says, before it is decoded.", metavar="N"
)
@options.of(ServeOptions, "max_waiting", "Number of images that wait or are computed; more are sent away.")
@options.of(ServeOptions, "upload_seconds", "How long a request may take to arrive.", metavar="SECONDS")
@options.quiet_option
def command(*, run: Path, **arguments: Any) -> None:
    """Serve the model of RUN over HTTP until Ctrl-C: a page where one drops images, and an API.

    POST /predict takes images, GET /model, /health and /metrics tell of the model and the service, and /docs describes
    them all. Needs `pip install 'graftwork[serve]'`.
    """
    from graftwork.verbs.serve import serve

    service = serve(run, **arguments)
    click.echo(f"serving {run} at {service.url} (Ctrl-C stops it)")
    service.run()
    click.echo("stopped")
