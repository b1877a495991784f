"""Connecting to the database."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from store.errors import DatabaseUnreachable, WrongDatabase


def connect(url: str, *, service: str, autocommit: bool = False, timeout_s: int = 10) -> Connection[Any]:
    """A connection in UTC, named after the service. Raises `StoreError` with a sentence."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise WrongDatabase(
            f"MISTO_DATABASE_URL is no database URL: {_first_line(error)}; "
            "expected postgresql://user:password@host:port/database"
        ) from None
    try:
        connection = psycopg.connect(
            url,
            autocommit=autocommit,
            connect_timeout=timeout_s,
            application_name=f"misto-{service}",
            client_encoding="UTF8",
            options="-c TimeZone=UTC",
            # A half-open line is noticed within a minute instead of after the kernel's two hours.
            keepalives_idle=20,
            keepalives_interval=10,
            keepalives_count=3,
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable(
            f"the database at {describe(url)} cannot be reached: {_first_line(error)}; "
            "check that PostgreSQL runs and that MISTO_DATABASE_URL is right"
        ) from error
    return connection


def describe(url: str) -> str:
    """Host, port and database of a URL, without its password."""
    parts = conninfo_to_dict(url)
    host = parts.get("host") or "the local socket"
    return f"{host}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
