"""A process that works over one database connection, for as long as there is a database."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from typing import Any

import psycopg
from psycopg import Connection

from store.connection import connect
from store.errors import StoreError, in_words, is_temporary
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
        self._has_worked = False

    @abstractmethod
    def serve(self, connection: Connection[Any]) -> None:
        """Work over this connection until it breaks or `stop` is set."""

    def run(self) -> None:
        """Serve until `stop`. Raises `StoreError` at the start where waiting does not help; who has once found the
        database right goes on trying, and says why it cannot."""
        while not self._stop.is_set():
            try:
                with connect(self._url, service=self._service) as connection:
                    check_schema(connection, writes=True)
                    self._has_worked = True
                    self.serve(connection)
            except StoreError as error:
                if not (self._has_worked or error.waiting_helps):
                    raise
                self._failed(error)
            except psycopg.Error as error:
                if not is_temporary(error):
                    self._log.exception("a transaction failed and is tried again")
                self._failed(error)
            self._stop.wait(1)

    def _failed(self, error: Exception) -> None:
        sentence = in_words(error)
        if sentence != self.failure and not self._stop.is_set():
            self._log.warning("%s (trying again, nothing is lost meanwhile)", sentence)
        self.failure = sentence
