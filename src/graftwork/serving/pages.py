"""The page where one drops images, and the page that describes the API: each one file that asks no other host."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping
from typing import Any

import jinja2
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from graftwork.reporting.document import page_style, script_policy


def drop_page() -> str:
    """Return the page at ``/``; it asks the service for everything that depends on the model."""
    return _rendered("drop.html.jinja", scripts=(_packaged("drop.js"),))


def api_page(description: Mapping[str, Any]) -> str:
    """Return a page of an OpenAPI description: every address, what it takes, and what it answers."""
    return _rendered("api.html.jinja", api=description)


def response(page: str) -> HTMLResponse:
    """Return a page as it is sent: it may show what it holds and ask this service, and nobody may frame it."""
    policy = (
        f"{script_policy((_packaged('drop.js'),))}; img-src blob: data:; connect-src 'self'; frame-ancestors 'none'"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})


def _rendered(template: str, *, scripts: tuple[str, ...] = (), **context: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("graftwork", "serving"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = Markup(page_style() + _packaged("drop.css"))
    return environment.get_template(template).render(style=style, scripts=[Markup(one) for one in scripts], **context)


@functools.cache
def _packaged(name: str) -> str:
    return (importlib.resources.files("graftwork.serving") / name).read_text(encoding="utf-8").strip()
