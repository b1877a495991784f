"""Connecting to the database."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from store.errors import DatabaseUnreachable, WrongDatabase

# A line that is half open is noticed at both ends within a minute, not after the kernel's two hours. The server must
# notice too: a transaction that nobody will end holds its keys, and the rules read nothing that is younger than it.
_LINE: dict[str, Any] = {
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 40_000,
}
_SERVER_LINE = (
    "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 -c tcp_user_timeout=40000"
)


def connect(
    url: str, *, service: str, autocommit: bool = False, timeout_s: int = 10, idle_transaction_s: int = 0
) -> Connection[Any]:
    """A connection in UTC, named after the service. Raises `StoreError` with a sentence.

    The server ends it when it stands still in a transaction for `idle_transaction_s`; 0 is never.
    """
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
            options=f"-c TimeZone=UTC -c idle_in_transaction_session_timeout={idle_transaction_s}s {_SERVER_LINE}",
            **_LINE,
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
