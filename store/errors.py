"""What can go wrong with the database, and whether waiting helps."""

from __future__ import annotations

import psycopg
from psycopg import errors as pg


class StoreError(Exception):
    """Base of everything that `store` raises. Its text is a sentence for a person."""


class DatabaseUnreachable(StoreError):
    """The server does not answer or refuses the connection; waiting may help."""


class WrongDatabase(StoreError):
    """The server answers, but this database cannot serve Misto; waiting does not help."""


class MigrationError(StoreError):
    """The schema is not what this version of Misto needs."""


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
