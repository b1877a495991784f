"""Whether a database can serve Misto: its versions, its extension, whose it is. The judgement itself is pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg import errors as pg
from psycopg.rows import tuple_row

from store.connection import describe
from store.errors import (
    DatabaseReadOnly,
    DatabaseTooOld,
    MigrationsPending,
    NoTimescale,
    NotMistosDatabase,
    RightMissing,
    first_line,
)
from store.queries import sql

#: 17 is tested.
OLDEST_POSTGRES = 15
#: The first that takes `ON CONFLICT DO NOTHING` and DELETE in compressed chunks, which late readings and the claim of
#: a device come to (its release notes). The migrations themselves would run on 2.9, the first for PostgreSQL 15.
OLDEST_TIMESCALE = (2, 11)

_INSTALL = (
    "install TimescaleDB for this PostgreSQL, set shared_preload_libraries = 'timescaledb' and restart the server"
)


@dataclass(frozen=True)
class Facts:
    """What a database says of itself. `extension` and `available` are versions of TimescaleDB, in this database and on
    the server; `others`: up to three tables that are not Misto's, where there is no schema of Misto's."""

    place: str
    postgres: int
    extension: str | None
    available: str | None
    loaded: bool
    has_schema: bool
    read_only: bool
    others: list[str]


def facts(connection: Connection[Any]) -> Facts:
    """Ask the database. Raises `StoreError` where it does not even answer this."""
    place = describe(connection.info.dsn)
    try:
        row = connection.cursor(row_factory=tuple_row).execute(sql("migrate.facts")).fetchone()
    except pg.UndefinedFile as error:
        raise NoTimescale(
            f"the server of the database {place} lacks the TimescaleDB that the database was made with "
            f"({first_line(error)}); install that version's package, or run ALTER EXTENSION timescaledb UPDATE"
        ) from error
    except pg.InsufficientPrivilege as error:
        raise RightMissing(
            f"the role {connection.info.user} may not look into the database {place} ({first_line(error)}); "
            "take the role that docs/store.md names for this service"
        ) from error
    assert row is not None
    return Facts(place, connection.info.server_version // 10_000, *row)


def refuse_unfit(found: Facts, *, to_migrate: bool, writes: bool) -> None:
    """Raise a `StoreError` with a sentence unless Misto can work there, or `to_migrate`: can be brought there."""
    place = f"the database {found.place}"
    if found.postgres < OLDEST_POSTGRES:
        raise DatabaseTooOld(
            f"{place} is PostgreSQL {found.postgres}; Misto needs {OLDEST_POSTGRES} or newer, 17 is tested: "
            "upgrade the server, or point MISTO_DATABASE_URL at a newer one"
        )
    if not found.has_schema and found.others:
        raise NotMistosDatabase(
            f"{place} belongs to something else: it has the tables {', '.join(found.others)} and none of Misto's; "
            "check the name in MISTO_DATABASE_URL, or give Misto a database of its own (createdb) and run "
            "`misto migrate`"
        )
    _refuse_timescale(found, place, to_migrate)
    if found.read_only and (writes or to_migrate):
        raise DatabaseReadOnly(
            f"{place} is read-only, as a standby is; promote it, or point MISTO_DATABASE_URL at the primary"
        )
    if not found.has_schema and not to_migrate:
        raise MigrationsPending(f"{place} is empty; run `misto migrate` as its owner")


def _refuse_timescale(found: Facts, place: str, to_migrate: bool) -> None:
    version = found.extension or found.available
    if version is None:
        raise NoTimescale(f"{place} has no TimescaleDB, and its server does not offer it; {_INSTALL}")
    if _numbers(version) < OLDEST_TIMESCALE:
        wanted = ".".join(map(str, OLDEST_TIMESCALE))
        raise DatabaseTooOld(
            f"{place} has TimescaleDB {version}; Misto needs {wanted} or newer: install it, then run "
            "ALTER EXTENSION timescaledb UPDATE in this database"
        )
    if found.extension is None:
        if found.has_schema and not to_migrate:
            raise NoTimescale(
                f"{place} has lost the extension timescaledb, and the readings with it; restore the database from its "
                "backup (docs/store.md)"
            )
    elif not found.loaded:
        raise NoTimescale(
            f"{place} has TimescaleDB, but its server does not load it; set shared_preload_libraries = 'timescaledb' "
            "and restart the server"
        )


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 19) of "2.19.3" and of "2.20.0-dev"."""
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in version.split(".")[:2])
