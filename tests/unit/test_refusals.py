"""What brokers and databases refuse: sentences, exit statuses, and which version of MQTT is tried next."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import errors as pg

from ingest import refusals
from ingest.pins import WrongPin
from ingest.protocol import Protocol
from misto.exit_status import EXIT_STATUSES, at_start, exit_status_of
from store import errors
from store.connection import _refusal
from store.fitness import Facts, refuse_unfit

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
URL = "postgresql://me:secret@db:5432/misto"


def statuses_table() -> str:
    """The table of docs/operations.md."""
    lines = ["| status | what it means | a service that starts | what to do |", "|---|---|---|---|"]
    for status in EXIT_STATUSES:
        lines.append(f"| {status.number} | {status.meaning} | {at_start(status)} | {status.remedy} |")
    return "\n".join(lines) + "\n"


def test_every_exit_status_is_described() -> None:
    page = OPERATIONS.read_text(encoding="utf-8")
    table = re.search(r"<!-- statuses:.*?-->\n(.*?)<!-- /statuses -->", page, re.DOTALL)
    assert table is not None
    assert table[1] == statuses_table(), "docs/operations.md is not what misto/exit_status.py says"


def test_numbers_are_distinct_and_every_refusal_has_one_of_its_own() -> None:
    numbers = [status.number for status in EXIT_STATUSES]
    assert numbers == sorted(set(numbers))
    assert max(numbers) < 64  # above begin those of shells, sysexits and systemd
    theirs = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.StoreError)]
    theirs += [kind for kind in vars(refusals).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    bases = {errors.StoreError, errors.WrongDatabase, refusals.IngestError}
    for kind in set(theirs) - bases:
        assert any(kind in status.errors for status in EXIT_STATUSES), kind


def test_numbers_stay() -> None:
    """Units, probes and people's scripts rely on them."""
    assert {status.number for status in EXIT_STATUSES} == {0, 1, 2, 3, *range(10, 22), 30, 31, 32}
    assert exit_status_of(errors.StoreError("x")) == 1
    assert exit_status_of(ValueError("x")) == 1
    assert exit_status_of(WrongPin("x")) == 3
    assert exit_status_of(errors.DatabaseLoginRefused("x")) == 11
    assert exit_status_of(errors.MigrationsPending("x")) == 15
    assert exit_status_of(errors.AnotherCity("x")) == 19
    assert exit_status_of(refusals.SubscriptionRefused("x")) == 31


RIGHT = Facts("db:5432/misto", 17, "2.19.3", "2.19.3", True, True, False, [])


@pytest.mark.parametrize(
    ("facts", "kind", "words"),
    [
        (replace(RIGHT, postgres=14), errors.DatabaseTooOld, r"is PostgreSQL 14; Misto needs 15 or newer"),
        (
            replace(RIGHT, extension="2.10.3"),
            errors.DatabaseTooOld,
            r"TimescaleDB 2\.10\.3; Misto needs 2\.11 .*UPDATE",
        ),
        (
            replace(RIGHT, extension=None, available="2.9.0", has_schema=False),
            errors.DatabaseTooOld,
            r"TimescaleDB 2\.9\.0; Misto needs 2\.11",
        ),
        (
            replace(RIGHT, extension=None, available=None, has_schema=False),
            errors.NoTimescale,
            r"has no TimescaleDB, and its server does not offer it; install",
        ),
        (replace(RIGHT, extension=None), errors.NoTimescale, r"lost the extension"),
        (replace(RIGHT, loaded=False), errors.NoTimescale, r"does not load it; set shared_preload_libraries"),
        (replace(RIGHT, has_schema=False, others=["a", "b"]), errors.NotMistosDatabase, r"the tables a, b and none"),
        (replace(RIGHT, has_schema=False), errors.MigrationsPending, r"is empty; run `misto migrate`"),
        (replace(RIGHT, read_only=True), errors.DatabaseReadOnly, r"is read-only, as a standby is; promote it"),
    ],
)
def test_what_is_wrong_with_a_database(facts: Facts, kind: type[errors.StoreError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        refuse_unfit(facts, to_migrate=False, writes=True)
    assert "db:5432/misto" in str(caught.value)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "facts",
    [
        RIGHT,
        replace(RIGHT, extension="2.11.0"),
        replace(RIGHT, extension="3.0.0-dev"),
        replace(RIGHT, postgres=15),
        replace(RIGHT, read_only=True),
    ],
)
def test_what_can_be_read_from(facts: Facts) -> None:
    refuse_unfit(facts, to_migrate=False, writes=False)


def test_what_can_be_migrated() -> None:
    refuse_unfit(replace(RIGHT, extension=None, loaded=False, has_schema=False), to_migrate=True, writes=True)
    refuse_unfit(replace(RIGHT, extension=None, loaded=False), to_migrate=True, writes=True)
    with pytest.raises(errors.DatabaseReadOnly):
        refuse_unfit(replace(RIGHT, has_schema=False, read_only=True), to_migrate=True, writes=True)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('FATAL:  password authentication failed for user "me"', errors.DatabaseLoginRefused),
        ('FATAL:  role "me" does not exist', errors.DatabaseLoginRefused),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "me"', errors.DatabaseLoginRefused),
        ("fe_sendauth: no password supplied", errors.DatabaseLoginRefused),
        ('FATAL:  permission denied for database "misto"', errors.DatabaseLoginRefused),
        ('FATAL:  database "misto" does not exist', errors.NoSuchDatabase),
        ("FATAL:  the database system is starting up", errors.DatabaseUnreachable),
        ("FATAL:  sorry, too many clients already", errors.DatabaseUnreachable),
        ("Connection refused", errors.DatabaseUnreachable),
    ],
)
def test_a_connection_that_is_refused(said: str, kind: type[errors.DatabaseUnreachable]) -> None:
    error = _refusal(URL, psycopg.OperationalError(f'connection to server at "db", port 5432 failed: {said}\n'))
    assert type(error) is kind
    assert error.waiting_helps == (kind is errors.DatabaseUnreachable)
    assert "db:5432/misto" in str(error)
    assert "secret" not in str(error)


def test_errors_of_the_server_are_understood() -> None:
    assert isinstance(errors.understood(pg.ReadOnlySqlTransaction("cannot execute INSERT")), errors.DatabaseReadOnly)
    assert isinstance(errors.understood(pg.InsufficientPrivilege("no")), errors.RightMissing)
    assert isinstance(errors.understood(pg.AdminShutdown("terminating")), errors.DatabaseUnreachable)
    assert errors.understood(pg.SyntaxError("at or near")) is None
    assert "promote the standby" in errors.in_words(pg.ReadOnlySqlTransaction("cannot execute INSERT"))
    assert errors.in_words(pg.DiskFull("could not extend file\n")) == "could not extend file"
    assert errors.in_words(psycopg.OperationalError()) == "OperationalError"


@pytest.mark.parametrize("code", [133, 134, 135, 138, 140])
def test_a_login_that_a_person_must_mend(code: int) -> None:
    refusal = refusals.of_login(code, "Words")
    assert refusal.lasting is refusals.LoginRefused
    assert re.fullmatch(r"refuses the login \(Words\); .+", refusal.sentence)


@pytest.mark.parametrize("code", [128, 136, 137, 151, 159])
def test_a_login_that_may_be_taken_later(code: int) -> None:
    assert refusals.of_login(code, "Words") == refusals.Refusal("cannot take the session now (Words)")


def test_subscriptions() -> None:
    assert refusals.of_subscription([]) is None
    one = refusals.of_subscription([("a/#", 135, "Not authorized"), ("b", 135, "Not authorized")])
    assert one is not None
    assert one.lasting is refusals.SubscriptionRefused
    assert one.sentence.startswith(
        "refuses the subscription to a/# (Not authorized), b (Not authorized); let this user"
    )
    shared = refusals.of_subscription([("$share/w/#", 158, "Shared subscriptions not supported")])
    assert shared is not None
    assert shared.lasting is refusals.NoSharedSubscriptions
    later = refusals.of_subscription([("#", 151, "Quota exceeded")])
    assert later is not None
    assert later.lasting is None


def test_ends_of_sessions() -> None:
    taken = refusals.of_end(142, "Session taken over")
    assert taken.is_patient
    assert "same MISTO_MQTT_CLIENT_ID: give each its own" in taken.sentence
    assert "raise its max_packet_size" in refusals.of_end(149, "Packet too large").sentence
    assert refusals.of_end(139, "Server shutting down") == refusals.Refusal("ended the session (Server shutting down)")


def test_packets() -> None:
    assert refusals.about_packets(None) is None
    assert refusals.about_packets(65_536) is None
    assert "2,000 bytes at the most" in str(refusals.about_packets(2000))
    filters = ["misto/+/up"] * 3
    assert refusals.of_size(None, filters) is None
    assert refusals.of_size(47, filters) is None
    refusal = refusals.of_size(46, filters)
    assert refusal is not None
    assert refusal.lasting is refusals.SubscriptionRefused


def test_a_broker_that_says_it_has_no_mqtt_5() -> None:
    protocol = Protocol(sharing=False)
    assert protocol.refused()
    assert not protocol.five
    protocol.worked()
    assert not protocol.ended(silent=False)
    assert not protocol.five  # it said so: 3.1.1 from now on


def test_a_broker_that_is_silent_at_mqtt_5() -> None:
    protocol = Protocol(sharing=False)
    assert not protocol.ended(silent=True)
    assert protocol.five  # it may be just starting
    assert protocol.ended(silent=True)
    assert not protocol.five
    protocol.worked()
    assert not protocol.ended(silent=False)
    assert protocol.five  # it may be another one now
    assert protocol.ended(silent=True)
    assert not protocol.five


def test_silence_at_both_versions_is_no_version() -> None:
    protocol = Protocol(sharing=False)
    tried = []
    for _ in range(6):
        tried.append(protocol.five)
        protocol.ended(silent=True)
    assert tried == [True, True, False, True, True, False]


def test_a_broker_that_has_shown_mqtt_5_is_not_tried_with_less() -> None:
    protocol = Protocol(sharing=False)
    protocol.worked()
    for _ in range(5):
        assert not protocol.ended(silent=True)
    assert protocol.five


def test_workers_that_share_stay_with_mqtt_5() -> None:
    protocol = Protocol(sharing=True)
    assert not protocol.refused()
    for _ in range(5):
        assert not protocol.ended(silent=True)
    assert protocol.five
