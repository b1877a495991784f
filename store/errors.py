"""What can go wrong with the database, and whether waiting helps."""

from __future__ import annotations

from typing import ClassVar

import psycopg
from psycopg import errors as pg


class StoreError(Exception):
    """Base of everything that `store` raises. Its text is a sentence for a person.

    `waiting_helps`: a service that starts waits; otherwise a person must change something, and it ends.
    """

    waiting_helps: ClassVar[bool] = False


class WrongDatabaseUrl(StoreError):
    """MISTO_DATABASE_URL cannot be read."""


class DatabaseUnreachable(StoreError):
    """The server does not answer or refuses the connection."""

    waiting_helps = True


class DatabaseLoginRefused(DatabaseUnreachable):
    """The server answers, and does not take this user with this password from this address."""

    waiting_helps = False


class NoSuchDatabase(DatabaseUnreachable):
    """The server answers, and has no database of this name."""

    waiting_helps = False


class WrongDatabase(StoreError):
    """The server answers, but this database cannot serve Misto."""


class DatabaseTooOld(WrongDatabase):
    """PostgreSQL or TimescaleDB is older than what Misto needs."""


class NoTimescale(WrongDatabase):
    """TimescaleDB is not installed, not made in this database, or not loaded by the server."""


class NotMistosDatabase(WrongDatabase):
    """The database is that of something else."""


class DatabaseReadOnly(WrongDatabase):
    """Nothing can be written: a standby before it is promoted, or a primary that was closed for writing."""

    waiting_helps = True


class RightMissing(WrongDatabase):
    """The role of MISTO_DATABASE_URL may not do what it must."""


class AnotherCity(StoreError):
    """The database holds another city than the inventory that is to be loaded."""


class MigrationError(StoreError):
    """A migration failed and was undone."""


class MigrationsPending(MigrationError):
    """The schema is older than this version of Misto needs, or there is none yet: `misto migrate` makes it."""

    waiting_helps = True


class SchemaUnknown(MigrationError):
    """The schema was made by a newer Misto, or by a migration of another text."""


# Classes of SQLSTATE after which the same statement may succeed later. 08 connection, 40 rollback
# (serialization, deadlock), 53 insufficient resources (disk full, too many connections), 55 object not in the
# required state (a lock not granted), 57 operator intervention (shutdown, crash, cancel), 58 system error (I/O).
# Everything else (22 bad data, 23 constraint, 42 wrong SQL or missing table) fails again the same way. If the guess
# is wrong, a permanent error taken as temporary stops the queue visibly, while a temporary one taken as permanent
# would quarantine good readings: the doubtful classes therefore count as temporary.
_TEMPORARY_CLASSES = frozenset({"08", "40", "53", "55", "57", "58"})

# 25006: the server is read-only, as a standby is until it is promoted. 42501: a right that an administrator grants.
# 42P01: a table that a migration is about to make. 25P03: the session stood still in a transaction and was ended.
_TEMPORARY_STATES = frozenset({"25006", "25P03", "42501", "42P01"})


# 22 bad data, 23 constraint, 54 too long or too complex: the fault of a row, so the other rows of its batch may pass.
_DATA_CLASSES = frozenset({"22", "23", "54"})


def is_about_data(error: psycopg.Error) -> bool:
    """True if the values themselves are refused. All other errors would meet every row alike.

    What psycopg itself cannot send (a zero character in text) has no SQLSTATE.
    """
    if error.sqlstate is None:
        return isinstance(error, psycopg.DataError)
    return error.sqlstate[:2] in _DATA_CLASSES


def is_temporary(error: psycopg.Error) -> bool:
    """True if the same work may succeed later: the connection is lost or the SQLSTATE says so."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | pg.InterfaceError)
    return state[:2] in _TEMPORARY_CLASSES or state in _TEMPORARY_STATES


def understood(error: psycopg.Error) -> StoreError | None:
    """The same as an error of Misto's, with what to do; None where the server's own words say most."""
    said = first_line(error)
    if isinstance(error, pg.ReadOnlySqlTransaction):
        return DatabaseReadOnly(
            f"the database is read-only ({said}); promote the standby, point MISTO_DATABASE_URL at the primary, "
            "or open it for writing"
        )
    if isinstance(error, pg.InsufficientPrivilege):
        return RightMissing(
            f"the database role of MISTO_DATABASE_URL lacks a right: {said}; "
            "take the role that docs/store.md names for this, or run `misto migrate` as the owner"
        )
    if is_temporary(error):
        return DatabaseUnreachable(f"the database could not go on: {said}; try again once it can")
    return None


def in_words(error: Exception) -> str:
    """One sentence for a log and for /healthz."""
    if isinstance(error, pg.ReadOnlySqlTransaction | pg.InsufficientPrivilege):
        return str(understood(error))
    return str(error).strip() or type(error).__name__


def first_line(error: Exception) -> str:
    """What a server said, without its hints and its place in the statement."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
