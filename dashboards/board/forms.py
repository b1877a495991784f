"""What all forms about alerts share: who may send them, who sends them, and how one is refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from dashboards.board import security
from dashboards.board.visit import NAME_COOKIE, Visit

NAME_LENGTH, NOTE_LENGTH = 80, 1000


def refused(visit: Visit, why: str, status: int, **values: str) -> Response:
    """A page with the sentence `ack.error.<why>`."""
    write = visit.formatter
    return visit.page(
        "error.html",
        status=status,
        title=write.text("ack.error.title"),
        sentence=write.text(f"ack.error.{why}", **values),
        retry_s=None,
    )


def signed(visit: Visit, form: Mapping[str, str]) -> tuple[str, str] | Response:
    """Name and note of who sends a form of the board's own, or why it is refused."""
    if not security.same_origin(visit.request):
        return refused(visit, "origin", 403)
    if not security.token_is_right(visit.request, form.get(security.TOKEN_FIELD, "")):
        return refused(visit, "token", 403)
    name, note = one_line(form.get("name", "")), one_line(form.get("note", ""))
    if not name:
        return refused(visit, "name", 400)
    if len(name) > NAME_LENGTH or len(note) > NOTE_LENGTH:
        return refused(visit, "long", 400)
    return name, note


def done(visit: Visit, back: str, name: str) -> Response:
    """Back to the page, which will know the name."""
    response = RedirectResponse(back, 303)
    security.set_cookie(visit.request, response, NAME_COOKIE, quote(name))
    return response


def one_line(text: str) -> str:
    """Without control characters, and blanks as one."""
    return " ".join("".join(" " if unicodedata.category(c) in {"Cc", "Cs"} else c for c in text).split())
