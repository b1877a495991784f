"""The board as an ASGI application."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import psycopg
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from psycopg_pool import PoolTimeout, TooManyRequests
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.board import metrics, security
from dashboards.board.pages import alerts, bins, buildings, care, claim, devices, quarantine, rules, silences
from dashboards.board.visit import BoardConfig, Visit, make_templates
from store.board import BoardPool, check_alive, open_pool
from store.errors import StoreError, is_temporary
from store.migrate import check_schema

log = logging.getLogger("misto.board")

Page = Callable[[Visit], Response]

#: A form is a name, a note and a token.
_FORM_MAX_BYTES = 16_384


class Board:
    """Answers pages from a pool of connections."""

    def __init__(self, config: BoardConfig) -> None:
        self._config = config
        self._templates = make_templates()
        self._pool: BoardPool | None = None

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Opens the pool, which does not wait for the database, and closes it."""
        self._pool = open_pool(self._config.database_url)
        try:
            yield
        finally:
            await run_in_threadpool(self._pool.close)

    def page(self, name: str, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for a page; `name` is its label in the metrics."""

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(self._answer, name, page, request)

        return endpoint

    def form(
        self, name: str, page: Callable[[Visit, dict[str, str]], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for a form that was sent."""

        async def endpoint(request: Request) -> Response:
            body = b""
            async for chunk in request.stream():
                body += chunk
                if len(body) > _FORM_MAX_BYTES:
                    raise HTTPException(413)
            form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
            return await run_in_threadpool(self._answer, name, lambda visit: page(visit, form), request)

        return endpoint

    def _answer(self, name: str, page: Page, request: Request) -> Response:
        started = time.perf_counter()
        status = 500
        try:
            response = self._with_connection(page, request)
            status = response.status_code
        except HTTPException as error:
            status = error.status_code
            raise
        finally:
            metrics.requests.labels(name, str(status)).inc()
            metrics.request_seconds.labels(name).observe(time.perf_counter() - started)
        return response

    def _with_connection(self, page: Page, request: Request) -> Response:
        assert self._pool is not None, "the application has been started"
        try:
            with self._pool.connection() as connection:
                return page(self._visit(request, connection))
        except (PoolTimeout, TooManyRequests) as error:
            log.warning("no connection to the database for %s: %s", request.url.path, error)
        except psycopg.Error as error:
            if not is_temporary(error):
                raise
            log.warning("the database did not answer for %s: %s", request.url.path, error)
        return self._visit(request).error("away", 503, {"Retry-After": "10"})

    def _visit(self, request: Request, connection: Any = None) -> Visit:
        return Visit(request, self._config, self._templates, connection)

    def healthz(self, request: Request) -> Response:
        """200 while pages can be made."""
        assert self._pool is not None, "the application has been started"
        try:
            with self._pool.connection() as connection:
                check_alive(connection)
                check_schema(connection)
        except StoreError as error:
            return PlainTextResponse(f"{error}\n", 503)
        except (psycopg.Error, PoolTimeout, TooManyRequests):
            return PlainTextResponse("the database cannot be reached\n", 503)
        return PlainTextResponse("the board answers and so does its database\n")

    async def http_error(self, request: Request, error: Exception) -> Response:
        """A page for what the address names but does not exist."""
        assert isinstance(error, HTTPException)
        name = {404: "not_found", 405: "method"}.get(error.status_code, "method")
        return self._visit(request).error(name, error.status_code, error.headers)

    async def internal_error(self, request: Request, error: Exception) -> Response:
        """A page with a sentence; the stack goes to the log only."""
        log.error("cannot answer %s %r", request.method, request.url.path, exc_info=error)
        response = self._visit(request).error("internal", 500)
        # This answer is made outside of the other middleware.
        response.headers.update(security.HEADERS)
        return response


class SecurityHeaders:
    """Puts the same headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(security.HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _prometheus(request: Request) -> Response:
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _to_alert(request: Request) -> Response:
    """Reloading after a form that failed leads to the alert."""
    return RedirectResponse(f"/alerts/{request.path_params['episode_id']}", 303)


def _to_device(request: Request) -> Response:
    """Reloading after a form that failed leads to the device."""
    return RedirectResponse(f"/devices/{request.path_params['device_id']}", 303)


def _to_silences(request: Request) -> Response:
    """Reloading after a form that failed leads to the list."""
    return RedirectResponse("/silences", 303)


def make_app(config: BoardConfig) -> Starlette:
    """The application: pages, `/healthz`, `/metrics` and the static files."""
    board = Board(config)
    return Starlette(
        routes=[
            Route("/", board.page("alerts", alerts.alert_list)),
            Route("/alerts/{episode_id:int}", board.page("alert", alerts.one_alert)),
            Route("/alerts/{episode_id:int}/acknowledge", _to_alert, methods=["GET"]),
            Route(
                "/alerts/{episode_id:int}/acknowledge",
                board.form("acknowledge", care.acknowledge),
                methods=["POST"],
            ),
            Route("/alerts/{episode_id:int}/withdraw", _to_alert, methods=["GET"]),
            Route("/alerts/{episode_id:int}/withdraw", board.form("withdraw", care.withdraw), methods=["POST"]),
            Route("/alerts/{episode_id:int}/feedback", _to_alert, methods=["GET"]),
            Route("/alerts/{episode_id:int}/feedback", board.form("feedback", care.feedback), methods=["POST"]),
            Route("/silences", board.page("silences", silences.silence_page), methods=["GET"]),
            Route("/silences", board.form("silence", silences.add), methods=["POST"]),
            Route("/silences/{silence_id:int}/end", _to_silences, methods=["GET"]),
            Route("/silences/{silence_id:int}/end", board.form("silence_end", silences.end), methods=["POST"]),
            Route("/bins", board.page("bins", bins.bin_list)),
            Route("/bins/{code}", board.page("bin", bins.one_bin)),
            Route("/buildings", board.page("buildings", buildings.building_list)),
            Route("/buildings/{site_id}", board.page("building", buildings.one_building)),
            Route("/devices", board.page("devices", devices.device_page)),
            Route("/devices/quarantine", board.page("quarantine", quarantine.quarantine_page)),
            Route("/devices/quarantine/{entry_id:int}", board.page("unreadable", quarantine.unreadable_page)),
            Route("/devices/{device_id:int}", board.page("claim", claim.claim_page)),
            Route("/devices/{device_id:int}/claim", _to_device, methods=["GET"]),
            Route("/devices/{device_id:int}/claim", board.form("place", claim.claim), methods=["POST"]),
            Route("/rules", board.page("rules", rules.rule_list)),
            Route("/rules/{rule_id}", board.page("rule", rules.one_rule)),
            Route("/healthz", board.healthz),
            Route("/metrics", _prometheus),
            Mount("/static", StaticFiles(packages=[("dashboards.board", "static")]), name="static"),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={HTTPException: board.http_error, Exception: board.internal_error},
        lifespan=board.lifespan,
    )
