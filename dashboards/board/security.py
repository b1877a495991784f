"""What keeps other sites from acting through a reader's browser, and hostile input from becoming a page's content."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

#: Only the board's own files; no inline script or style, no other host, no framing.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

TOKEN_COOKIE = "misto_form"
TOKEN_FIELD = "token"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_BACK = re.compile(r"/(?:alerts/[0-9]{1,18})?(?:\?[A-Za-z0-9=&%._~+-]*)?")


def form_token(request: Request) -> tuple[str, bool]:
    """The token that this browser's forms carry, and whether it is new and its cookie still to be set."""
    known = request.cookies.get(TOKEN_COOKIE, "")
    if _TOKEN.fullmatch(known):
        return known, False
    return secrets.token_urlsafe(32), True


def token_is_right(request: Request, given: str) -> bool:
    """True if the form came from a page that this browser got from the board."""
    known = request.cookies.get(TOKEN_COOKIE, "")
    return bool(_TOKEN.fullmatch(known)) and secrets.compare_digest(known.encode(), given.encode())


def same_origin(request: Request) -> bool:
    """True if the browser says that the request comes from the board itself. Browsers name the origin of every POST."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    source = request.headers.get("origin") or request.headers.get("referer", "")
    host = request.headers.get("host", "")
    return bool(host) and urlsplit(source).netloc.lower() == host.lower()


def safe_back(target: str) -> str:
    """A page of the board to return to; the first page for anything else."""
    return target if _BACK.fullmatch(target) else "/"


def set_cookie(request: Request, response: Response, name: str, value: str, *, strict: bool = False) -> None:
    """A cookie for a year that scripts cannot read; over HTTPS only if the page came that way."""
    response.set_cookie(
        name,
        value,
        max_age=365 * 86400,
        httponly=True,
        secure=request.url.scheme == "https",
        samesite="strict" if strict else "lax",
    )
