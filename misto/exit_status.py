"""The exit statuses of `misto`: one number for one cause, held for ever. docs/operations.md lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from ingest.pins import WrongPin
from ingest.refusals import BrokerRefused, LoginRefused, NoSharedSubscriptions, SubscriptionRefused
from store.errors import (
    AnotherCity,
    DatabaseLoginRefused,
    DatabaseReadOnly,
    DatabaseTooOld,
    DatabaseUnreachable,
    MigrationError,
    MigrationsPending,
    NoSuchDatabase,
    NoTimescale,
    NotMistosDatabase,
    RightMissing,
    SchemaUnknown,
    WrongDatabaseUrl,
)


@dataclass(frozen=True)
class ExitStatus:
    """`errors` end a process with `number`. `remedy` is for people; `of_commands`: no service ends so."""

    number: int
    meaning: str
    remedy: str
    errors: tuple[type[Exception], ...] = ()
    of_commands: bool = False


EXIT_STATUSES = (
    ExitStatus(0, "done, or stopped by a signal", ""),
    ExitStatus(1, "anything else; the sentence says what", "as it says"),
    ExitStatus(2, "the command line is wrong", "`misto COMMAND --help`"),
    ExitStatus(
        3, "a setting is wrong", "mend the variable that it names", (ValidationError, WrongDatabaseUrl, WrongPin)
    ),
    ExitStatus(
        10,
        "the database cannot be reached",
        "start it; check `MISTO_DATABASE_URL` and the network",
        (DatabaseUnreachable,),
    ),
    ExitStatus(
        11,
        "the database refuses the login",
        "check user and password in `MISTO_DATABASE_URL`; `misto migrate` makes the roles and their passwords",
        (DatabaseLoginRefused,),
    ),
    ExitStatus(
        12, "there is no such database", "check the name in `MISTO_DATABASE_URL`, or `createdb`", (NoSuchDatabase,)
    ),
    ExitStatus(
        13, "PostgreSQL or TimescaleDB is too old", "PostgreSQL 15, TimescaleDB 2.11 or newer", (DatabaseTooOld,)
    ),
    ExitStatus(
        14,
        "TimescaleDB is missing or not loaded",
        "install it, set `shared_preload_libraries`, restart",
        (NoTimescale,),
    ),
    ExitStatus(15, "migrations are pending", "`misto migrate`", (MigrationsPending,)),
    ExitStatus(
        16,
        "the schema is a newer Misto's, or was made by another text of a migration",
        "install the newer Misto, or restore the database",
        (SchemaUnknown,),
    ),
    ExitStatus(
        17,
        "a migration failed and was undone",
        "its sentence says why; then `misto migrate`",
        (MigrationError,),
        of_commands=True,
    ),
    ExitStatus(18, "the database belongs to something else", "give Misto a database of its own", (NotMistosDatabase,)),
    ExitStatus(
        19,
        "the database holds another city than the inventory",
        "load it into that city's own database, or with `--other-city`",
        (AnotherCity,),
        of_commands=True,
    ),
    ExitStatus(
        20,
        "the database is read-only",
        "promote the standby, or point `MISTO_DATABASE_URL` at the primary",
        (DatabaseReadOnly,),
    ),
    ExitStatus(
        21, "the database role lacks a right", "take the role that [store.md](store.md#roles) names", (RightMissing,)
    ),
    ExitStatus(
        30, "the broker refuses the login", "check user and password in `MISTO_MQTT_URL`", (BrokerRefused, LoginRefused)
    ),
    ExitStatus(
        31, "the broker refuses the subscription", "let the user read `MISTO_MQTT_TOPICS`", (SubscriptionRefused,)
    ),
    ExitStatus(
        32,
        "the broker has no shared subscriptions",
        "leave `MISTO_MQTT_SHARE` empty and run one ingest worker, or take a broker with MQTT 5",
        (NoSharedSubscriptions,),
    ),
)

_OTHER = 1
_NUMBERS = {error: status.number for status in EXIT_STATUSES for error in status.errors}


def exit_status_of(error: BaseException) -> int:
    """The number of an error, by the nearest of its classes that has one; else 1."""
    return next((_NUMBERS[its] for its in type(error).__mro__ if its in _NUMBERS), _OTHER)


def at_start(status: ExitStatus) -> Literal["", "waits", "ends"]:
    """What a service does that meets this at its start; commands always end."""
    if not status.errors or status.of_commands:
        return ""
    return "waits" if any(getattr(error, "waiting_helps", False) for error in status.errors) else "ends"
