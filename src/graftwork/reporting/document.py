"""One HTML file that asks the network for nothing and runs no script but its own, which are named by hash."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graftwork.reporting import words
from graftwork.reporting.colours import light_to_dark, stylesheet

if TYPE_CHECKING:
    from bokeh.models.ui import UIElement


def document(template: str, charts: Mapping[str, UIElement], **context: Any) -> str:
    """Fill a template of this package.

    Parameters
    ----------
    charts
        Drawn into the elements ``chart-NAME`` of the template; a page without any runs no script.
    context
        What else the template needs. Every text in it is escaped: names of files and classes may be anything.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("graftwork", "reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {}  # unsorted: bokeh reads a model before the references to it
    environment.filters["one_line"] = words.one_line
    environment.filters["capital"] = words.capital
    environment.globals["words"] = words
    drawn: dict[str, Any] = {}
    scripts: list[str] = []
    if charts:
        from bokeh.embed import json_item
        from bokeh.resources import Resources

        drawn = {name: json_item(chart) for name, chart in charts.items()}
        scripts = [Resources(mode="inline", components=["bokeh"]).js_raw[0].strip(), packaged("page.js")]
    page = environment.get_template(template).render(
        **context,
        charts=drawn,
        dark=light_to_dark(),
        style=Markup(page_style()),
        scripts=[Markup(script) for script in scripts],
        policy=f"{script_policy(scripts)}; img-src data:",
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # a file's name may hold bytes that are no text


def page_style() -> str:
    """Return the style of every page: colours for light and dark, and what each element looks like."""
    return stylesheet() + packaged("page.css")


def script_policy(scripts: Sequence[str]) -> str:
    """Return a content security policy: a page may run these scripts and no other; bokeh sets styles of its own."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{h}'" for h in hashes) or "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def packaged(name: str, package: str = "graftwork.reporting") -> str:
    """Return the text of a file of a package, such as a script."""
    return (importlib.resources.files(package) / name).read_text(encoding="utf-8").strip()
