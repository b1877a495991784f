"""One request for a page: who reads it, in which language, and how it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dashboards.board import security
from dashboards.board.formatting import Formatter, plain
from dashboards.board.messages import LANGUAGES, Language, choose_language
from dashboards.board.rulebook import RuleBook
from store import board as store
from store.board import BoardConnection, Row
from store.redaction import hidden_topic

LANGUAGE_COOKIE = "misto_language"
NAME_COOKIE = "misto_name"

#: Services without which the pages are out of date.
ESSENTIAL_SERVICES = ("ingest", "rules", "keeper")

#: Meters send every quarter of an hour, so half an hour without any reading means that something is broken.
_STALE_AFTER = timedelta(minutes=30)


@dataclass(frozen=True)
class BoardConfig:
    """What the board is told. `time_zone` and `currency` hold until the inventory names the city's own; without `rules`
    there are no pages about them."""

    database_url: str
    default_language: Language = "uk"
    grafana_url: str | None = None
    time_zone: str = "Europe/Kyiv"
    currency: str = "UAH"
    rules: RuleBook | None = None


def make_templates() -> Environment:
    """Templates in which everything is escaped and a missing name is an error."""
    environment = Environment(
        loader=PackageLoader("dashboards.board"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    environment.filters["topic"] = hidden_topic
    return environment


def language_of(request: Request, default: Language) -> Language:
    """The reader's language."""
    return choose_language(
        request.query_params.get("lang"),
        request.cookies.get(LANGUAGE_COOKIE),
        request.headers.get("accept-language", ""),
        default,
    )


@dataclass
class Visit:
    """What a page's function gets. `connection` is None while the database is away."""

    request: Request
    config: BoardConfig
    templates: Environment
    connection_or_none: BoardConnection | None
    overview: Row | None = None
    services: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.connection_or_none is not None:
            self.overview = store.overview(self.connection)
            self.services = store.services(self.connection)
        city = (self.overview or {}).get("city")
        self.language = language_of(self.request, self.config.default_language)
        self.formatter = Formatter(
            self.language,
            ZoneInfo(city["time_zone"] if city else self.config.time_zone),
            self.overview["now"] if self.overview else datetime.now(UTC),
            city["currency"] if city else self.config.currency,
        )

    @property
    def connection(self) -> BoardConnection:
        """The connection of this request."""
        assert self.connection_or_none is not None, "only error pages are made without a connection"
        return self.connection_or_none

    def choice(self, name: str, allowed: list[str]) -> str | None:
        """The query parameter `name` if it is one of `allowed`."""
        value = self.request.query_params.get(name)
        return value if value in allowed else None

    def warnings(self) -> list[str]:
        """What is wrong with Misto itself now."""
        if self.overview is None:
            return []
        write = self.formatter
        found = []
        beats = {row["service"]: row for row in self.services}
        for service in ESSENTIAL_SERVICES:
            row = beats.get(service)
            if row is not None and not row["alive"]:
                effect = write.text(f"effect.{service}")
                found.append(
                    write.text("header.service_dead", service=service, time=write.time(row["beat_at"]), effect=effect)
                )
        last = self.overview["last_received_at"]
        if last is not None and write.now - last > _STALE_AFTER:
            found.append(write.text("header.stale", time=write.time(last)))
        return found

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """The finished page."""
        token, token_is_new = security.form_token(self.request)
        write = self.formatter
        html = self.templates.get_template(template).render(
            visit=self,
            f=write,
            t=write.text,
            pick=write.pick,
            lang=self.language,
            overview=self.overview,
            warnings=self.warnings(),
            grafana_url=_web_address(self.config.grafana_url),
            token=token,
            my_name=plain(unquote(self.request.cookies.get(NAME_COOKIE, "")), 80),
            path=self.request.url.path,
            here=self._here(),
            **values,
        )
        response = HTMLResponse(html, status)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Accept-Language, Cookie"
        if token_is_new and self.connection_or_none is not None:
            security.set_cookie(self.request, response, security.TOKEN_COOKIE, token, strict=True)
        if self.request.query_params.get("lang") in LANGUAGES:
            security.set_cookie(self.request, response, LANGUAGE_COOKIE, self.language)
        return response

    def _here(self) -> str:
        """This address without the choice of language."""
        pairs = [(key, value) for key, value in self.request.query_params.multi_items() if key != "lang"]
        return self.request.url.path + (f"?{urlencode(pairs)}" if pairs else "")

    def in_language(self, language: Language) -> str:
        """This address in another language."""
        here = self._here()
        return f"{here}{'&' if '?' in here else '?'}lang={language}"

    def error(self, name: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
        """A page with the sentence `error.<name>`."""
        write = self.formatter
        values = {"time": write.exact(write.now)} if name == "internal" else {}
        response = self.page(
            "error.html",
            status=status,
            title=write.text(f"error.{name}.title"),
            sentence=write.text(f"error.{name}.text", **values),
            retry_s=10 if name == "away" else None,
        )
        response.headers.update(headers or {})
        return response


def not_found() -> HTTPException:
    """For what the address names but the database does not have."""
    return HTTPException(404)


def _web_address(url: str | None) -> str | None:
    """The URL if it is one of the web: a link must not run anything."""
    return url if url and url.startswith(("https://", "http://")) else None
