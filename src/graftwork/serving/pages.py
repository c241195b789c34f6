"""The page where one drops images, and the page that describes the API: each one file that asks no other host."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from fastapi.responses import HTMLResponse

from graftwork.reporting.document import packaged, script_policy
from graftwork.reporting.plain import plain_page


def drop_page() -> str:
    """Return the page at ``/``; it asks the service for everything that depends on the model."""
    return plain_page("graftwork.serving", "service.html.jinja", _scripts())


def api_page(description: Mapping[str, Any]) -> str:
    """Return a page of an OpenAPI description: every address, what it takes, and what it answers."""
    return plain_page("graftwork.serving", "api.html.jinja", (), api=description)


def response(page: str) -> HTMLResponse:
    """Return a page as it is sent: it may show what it holds and ask this service, and nobody may frame it."""
    policy = f"{script_policy(_scripts())}; img-src blob: data:; connect-src 'self'; frame-ancestors 'none'"
    return HTMLResponse(page, headers={"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})


@functools.cache
def _scripts() -> tuple[str, str]:
    return packaged("drop.js"), packaged("service.js", "graftwork.serving")
