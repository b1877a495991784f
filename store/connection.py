"""Connecting to the database."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from store.errors import DatabaseLoginRefused, DatabaseUnreachable, NoSuchDatabase, WrongDatabaseUrl, first_line

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
        raise WrongDatabaseUrl(
            f"MISTO_DATABASE_URL is no database URL: {first_line(error)}; "
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
        raise _refusal(url, error) from error
    return connection


# libpq gives no SQLSTATE for a connection that was refused, only the server's words. Where those are in another
# language than English, it is "cannot be reached", with these words, and waited for.
_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects|"
    r"role \"[^\"]*\" does not exist|is not permitted to log in|permission denied for database"
)
_NO_DATABASE = re.compile(r"database \"[^\"]*\" does not exist")


def _refusal(url: str, error: psycopg.OperationalError) -> DatabaseUnreachable:
    place, text = describe(url), str(error)
    said = first_line(error)
    if _LOGIN.search(text):
        # The server's own words, without libpq's about the connection.
        said = said.rpartition("FATAL:")[2].strip() or said
        return DatabaseLoginRefused(
            f"the database at {place} refuses the login: {said}; check user and password in MISTO_DATABASE_URL "
            "(`misto migrate` makes Misto's roles and sets their passwords) and the server's pg_hba.conf"
        )
    if _NO_DATABASE.search(text):
        return NoSuchDatabase(
            f"the server at {place} has no database of this name; check the name in MISTO_DATABASE_URL, "
            "or make it (createdb) and run `misto migrate`"
        )
    return DatabaseUnreachable(
        f"the database at {place} cannot be reached: {said}; "
        "check that PostgreSQL runs and that MISTO_DATABASE_URL is right"
    )


def describe(url: str) -> str:
    """Host, port and database of a URL, without its password."""
    parts = conninfo_to_dict(url)
    host = parts.get("host") or "the local socket"
    return f"{host}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
