"""A process that works over one database connection, for as long as there is a database."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from typing import Any

import psycopg
from psycopg import Connection

from store.connection import connect
from store.errors import DatabaseUnreachable, is_temporary
from store.migrate import check_schema


class DatabaseService(ABC):
    """Runs until `stop` is set. A subclass does its work in `serve`, clears `failure` once it does, and must have no
    state but what it reads there: a lost connection or a failed transaction begins it anew."""

    def __init__(self, url: str, stop: threading.Event, *, service: str) -> None:
        self._url = url
        self._stop = stop
        self._service = service
        self._log = logging.getLogger(f"misto.{service}")
        self.failure = "it has not connected to the database yet"

    @abstractmethod
    def serve(self, connection: Connection[Any]) -> None:
        """Work over this connection until it breaks or `stop` is set."""

    def run(self) -> None:
        """Serve until `stop`. Raises `StoreError` where waiting does not help."""
        while not self._stop.is_set():
            try:
                with connect(self._url, service=self._service) as connection:
                    check_schema(connection)
                    self.serve(connection)
            except DatabaseUnreachable as error:
                self._failed(str(error))
            except psycopg.Error as error:
                if not is_temporary(error):
                    self._log.exception("a transaction failed and is tried again")
                self._failed(str(error).strip() or type(error).__name__)
            self._stop.wait(1)

    def _failed(self, sentence: str) -> None:
        if sentence != self.failure and not self._stop.is_set():
            self._log.warning("the database is away: %s; nothing is lost meanwhile", sentence)
        self.failure = sentence
