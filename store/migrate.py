"""Numbered SQL migrations, applied once, in order, each in a transaction of its own.

A file is `NNNN_name.sql`, or `NNNN_name.apache.sql` and `NNNN_name.community.sql` where TimescaleDB's editions differ.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, cast

import psycopg
from psycopg import Connection
from psycopg import errors as pg
from psycopg.rows import tuple_row

from catalogue.metrics import metrics
from store.connection import connect, describe
from store.errors import (
    MigrationError,
    MigrationsPending,
    NoTimescale,
    NotMistosDatabase,
    RightMissing,
    SchemaUnknown,
    first_line,
)
from store.fitness import facts, refuse_unfit
from store.queries import sql

Edition = Literal["apache", "community"]

_FILE = re.compile(r"^(?P<version>\d{4})_(?P<name>[a-z0-9_]+)(?:\.(?P<edition>apache|community))?\.sql$")

#: Any fixed number: one migration at a time in a database.
_LOCK = 0x4D6973746F

_ATTEMPTS = 10


@dataclass(frozen=True)
class Migration:
    """One migration file; `edition` is None where both editions take the same."""

    version: int
    name: str
    edition: Edition | None
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations(edition: Edition) -> list[Migration]:
    """All migrations for an edition, in order."""
    found = []
    for entry in files("store").joinpath("migrations").iterdir():
        match = _FILE.match(entry.name)
        if match is None:
            continue
        its_edition = cast(Edition | None, match["edition"])
        if its_edition in (None, edition):
            text = entry.read_text(encoding="utf-8")
            found.append(Migration(int(match["version"]), match["name"], its_edition, text))
    return sorted(found, key=lambda migration: migration.version)


def edition_of(connection: Connection[Any]) -> Edition:
    """The edition of TimescaleDB in this database, which has one."""
    row = connection.cursor(row_factory=tuple_row).execute(sql("migrate.license")).fetchone()
    return "community" if row == ("timescale",) else "apache"


def _applied(connection: Connection[Any]) -> dict[int, str]:
    """Version → digest of what has been applied."""
    try:
        return dict(connection.cursor(row_factory=tuple_row).execute(sql("migrate.applied")).fetchall())
    except pg.InsufficientPrivilege as error:
        raise RightMissing(
            f"the role {connection.info.user} may not read Misto's tables in {describe(connection.info.dsn)}; "
            "take the role that docs/store.md names for this service"
        ) from error
    except pg.UndefinedColumn as error:
        raise NotMistosDatabase(
            f"the table schema_migration of the database {describe(connection.info.dsn)} is not Misto's; "
            "check the name in MISTO_DATABASE_URL, or give Misto a database of its own"
        ) from error


def _pending(connection: Connection[Any], has_schema: bool) -> list[Migration]:
    """What is still to be applied. Raises `SchemaUnknown` where the database is newer or was changed."""
    known = migrations(edition_of(connection))
    done = _applied(connection) if has_schema else {}
    unknown = sorted(set(done) - {migration.version for migration in known})
    if unknown:
        raise SchemaUnknown(
            f"the database {describe(connection.info.dsn)} has migration {unknown[-1]:04d}, "
            "which this version of Misto does not know; install the newer Misto that made it"
        )
    for migration in known:
        if done.get(migration.version, migration.digest) != migration.digest:
            raise SchemaUnknown(
                f"migration {migration.version:04d}_{migration.name} was applied with another text than this "
                "version of Misto has; restore the file, or the database from its backup"
            )
    return [migration for migration in known if migration.version not in done]


def migrate(url: str) -> list[Migration]:
    """Apply what is pending and write the metric catalogue; returns what was applied.

    Needs the database's owner. Raises `StoreError` with a sentence; a failed migration leaves no trace.
    """
    with connect(url, service="migrate", autocommit=True) as connection:
        refuse_unfit(facts(connection), to_migrate=True, writes=True)
        connection.execute(sql("migrate.lock"), {"lock": _LOCK})
        _ensure_extension(connection, url)
        todo = _pending(connection, facts(connection).has_schema)
        for migration in todo:
            _apply(connection, migration)
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                sql("migrate.upsert_metric"),
                [metric.model_dump() | {"range": list(metric.range)} for metric in metrics().values()],
            )
    return todo


def _apply(connection: Connection[Any], migration: Migration) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute(migration.text)
                connection.execute(sql("migrate.ensure_table"))
                connection.execute(
                    sql("migrate.record"),
                    {"version": migration.version, "name": migration.name, "digest": migration.digest},
                )
            return
        except psycopg.Error as error:
            # Services that write meanwhile lock the same tables in another order: one of the two is undone.
            if isinstance(error, psycopg.errors.DeadlockDetected) and attempt + 1 < _ATTEMPTS:
                continue
            raise MigrationError(
                f"migration {migration.version:04d}_{migration.name} failed and was undone: {error}"
            ) from error


def set_role_password(url: str, role: str, password: str) -> None:
    """Give one of Misto's roles its password, so that it can log in from the network."""
    with connect(url, service="migrate") as connection:
        statement = psycopg.sql.SQL("ALTER ROLE {} PASSWORD {}")
        # Hashed here: the password itself stands in no log of the server.
        hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        connection.execute(statement.format(psycopg.sql.Identifier(role), psycopg.sql.Literal(hashed)))


def _ensure_extension(connection: Connection[Any], url: str) -> None:
    try:
        connection.execute(sql("migrate.ensure_extension"))
    except psycopg.Error as error:
        raise NoTimescale(
            f"TimescaleDB cannot be had in the database {describe(url)}: {first_line(error)}; install its package for "
            "this PostgreSQL, set shared_preload_libraries = 'timescaledb', restart the server, and migrate as a "
            "superuser or the database's owner"
        ) from error


def check_schema(connection: Connection[Any], *, writes: bool = False) -> None:
    """Raise a `StoreError` with a sentence if Misto cannot work with this database, to `writes` at all: every service
    calls it before it works."""
    refuse_unfit(facts(connection), to_migrate=False, writes=writes)
    todo = _pending(connection, has_schema=True)
    if todo:
        raise MigrationsPending(
            f"{len(todo)} migration(s) are pending, from {todo[0].version:04d}_{todo[0].name}; run `misto migrate`"
        )
