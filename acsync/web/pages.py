"""Render the templates: the pages, the live part of the dashboard, and the badge."""

from datetime import UTC, datetime
from typing import Any

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from acsync.spelling import spell_count

# A letter of the badge's font is 6.6 pixels wide on average.
LETTER_WIDTH, MARGIN = 6.6, 12

TEMPLATES = Environment(
    loader=PackageLoader("acsync.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def time_tag(moment: datetime, form: str = "%Y-%m-%d %H:%M UTC") -> Markup:
    """Return a time in UTC as an element; page.js adds the reader's local time."""
    utc = moment.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(utc.isoformat(), utc.strftime(form))


TEMPLATES.filters["time"] = time_tag
TEMPLATES.filters["spelled"] = spell_count
TEMPLATES.globals["root"] = ""  # the way from the page to the addresses of the service

# Loaded now, because later callers may have taken all file descriptors.
for template in TEMPLATES.list_templates():
    TEMPLATES.get_template(template)


def render_page(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page, or a part of one."""
    return HTMLResponse(TEMPLATES.get_template(name).render(values), status)


def render_badge(text: str, colour: str) -> Response:
    """Return a picture of a text."""
    width = round(len(text) * LETTER_WIDTH) + MARGIN
    picture = TEMPLATES.get_template("badge.svg").render(text=text, colour=colour, width=width)
    return Response(picture, media_type="image/svg+xml")
