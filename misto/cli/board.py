"""`misto board`: the web pages."""

from __future__ import annotations

import logging
import socket
import threading
from datetime import UTC, datetime

import psycopg
import typer

from dashboards.board.app import make_app
from dashboards.board.server import BoardError, serve
from dashboards.board.visit import BoardConfig
from misto.rules_board import Rules
from misto.service import set_up_logging, stop_on_signals
from misto.settings import Settings
from store.connection import connect
from store.errors import StoreError, in_words, is_temporary
from store.migrate import check_schema
from store.service_state import beat

log = logging.getLogger("misto.board")

_BEAT_S = 5.0
_RETRY_S = 2.0


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("board")(board)


def board() -> None:
    """Serve the board's pages until stopped."""
    settings = Settings()
    set_up_logging(settings.log_level)
    # The pool says the same every second while the database is away; `_stay_alive` says it once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    stop = stop_on_signals()
    config = BoardConfig(
        database_url=settings.database_url,
        default_language=settings.board_language,
        grafana_url=settings.grafana_url,
        time_zone=settings.time_zone,
        rules=Rules(settings.time_zone),
    )
    try:
        with serve(make_app(config), settings.board_host, settings.board_port) as port:
            log.info("the board is at http://%s:%d/", settings.board_host, port)
            _stay_alive(settings.database_url, socket.gethostname(), stop)
    except BoardError as error:
        typer.echo(f"misto: {error}", err=True)
        raise typer.Exit(1) from None


def _stay_alive(database_url: str, worker: str, stop: threading.Event) -> None:
    """Say every few seconds that the board is alive, until `stop`. Pages explain by themselves why they are empty.

    Raises `StoreError` at the start where waiting does not help. A read-only database is one to be read.
    """
    started_at = datetime.now(UTC)
    told = ""
    has_worked = False

    def tell(sentence: str) -> None:
        nonlocal told
        if sentence != told:
            log.warning("%s (trying again)", sentence)
            told = sentence

    while not stop.is_set():
        try:
            with connect(database_url, service="board-heartbeat", autocommit=True) as connection:
                check_schema(connection)
                has_worked = True
                while not stop.is_set():
                    beat(connection, "board", worker, started_at, {})
                    if told:
                        log.info("the database is there again")
                    told = ""
                    stop.wait(_BEAT_S)
        except StoreError as error:
            if not (has_worked or error.waiting_helps):
                stop.set()
                raise
            tell(in_words(error))
            stop.wait(_RETRY_S)
        except psycopg.Error as error:
            if not is_temporary(error):
                raise
            tell(in_words(error))
            stop.wait(_RETRY_S)
