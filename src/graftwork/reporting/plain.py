"""Pages without charts, such as the one where one drops images: each one file, filled for another package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graftwork.reporting.document import packaged, page_style


def plain_page(package: str, template: str, scripts: Sequence[str], **context: Any) -> str:
    """Fill a template of another package, which extends ``plain.html.jinja`` or ``drop.html.jinja`` of this one.

    Parameters
    ----------
    scripts
        In the order in which the page runs them. What extends ``drop.html.jinja`` begins with ``drop.js``, which
        defines ``graft``, and calls ``graft.start`` in a script of its own.
    context
        What else the template needs. Every text in it is escaped.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package, ""), jinja2.PackageLoader("graftwork.reporting", "")]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = Markup(page_style() + packaged("drop.css"))
    page = environment.get_template(template).render(
        style=style, scripts=[Markup(script) for script in scripts], **context
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # a name may hold bytes that are no text
