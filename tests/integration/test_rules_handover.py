"""Points change hands between two rules services: in the middle of a batch, and with what was worked out lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

import rules.service
from rules.loader import shipped_rules
from rules.service import RulesConfig, RulesService
from store.migrate import migrate
from store.reading_log import lag
from store.rules_leases import worker_list
from store.writer import ReadingWriter
from tests.cities import bins, found
from tests.processes import wait_for
from tests.straight import Stream, alerts_in, straight

Connect = Callable[[], psycopg.Connection]
BINS, ROUNDS = 80, 60


class Sleeper(RulesService):
    """Falls asleep before it writes what it has worked out, as often as `naps` says."""

    naps: list[Callable[[], None]] = []

    def _write(self, *arguments: Any) -> None:
        if len(arguments) > 3 and self.naps:
            self.naps.pop(0)()
        super()._write(*arguments)


@contextmanager
def running(url: str, name: str, kind: type[RulesService] = RulesService) -> Iterator[RulesService]:
    stop = threading.Event()
    # Nothing renews so long a lease while a test lasts.
    service = kind(RulesConfig(url, shipped_rules, "Europe/Kyiv", name, lease_s=600), stop)
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield service
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def fenced() -> float:
    return REGISTRY.get_sample_value("misto_rules_fenced_total") or 0


@pytest.fixture
def reference(empty_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True, options="-c TimeZone=UTC") as connection:
        yield connection


@pytest.mark.parametrize("seed", [1, 2])
def test_what_a_sleeper_has_worked_out_is_not_written(
    database_url: str, database: psycopg.Connection, new_connection: Connect, reference: psycopg.Connection, seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # Few batches at a time, so that there is always a write that the sleeper can miss.
    monkeypatch.setattr(rules.service, "_BATCHES", 3)
    points = found(database, bins(BINS))
    writer, stream = ReadingWriter(new_connection()), Stream([points[f"bin-{n}"] for n in range(BINS)], ROUNDS, seed)
    before = fenced()
    for number in range(ROUNDS // 2):
        stream.write(writer, number)

    def held_by_other() -> bool:
        return any(one.name == "other" and one.partitions == 64 for one in worker_list(database))

    def nap() -> None:
        database.execute("UPDATE rules_worker SET lease_until = now() WHERE name = 'sleeper'")
        wait_for(held_by_other, "the other takes all")
        for number in range(ROUNDS // 2, len(stream.rounds)):
            stream.write(writer, number)
        wait_for(lambda: lag(database, "rules").batches == 0, "the other judges all")

    Sleeper.naps = [lambda: None, nap]
    with ExitStack() as stack:
        stack.enter_context(running(database_url, "sleeper", Sleeper))
        # Else the other may have judged all before the sleeper has anything to write.
        wait_for(lambda: any(one.partitions for one in worker_list(database)), "the sleeper is the first")
        stack.enter_context(running(database_url, "other"))
        wait_for(lambda: fenced() > before, "the sleeper's write is refused")
        wait_for(
            lambda: [one.partitions for one in worker_list(database)] == [32, 32], "awake, it has its share again", 60
        )
        wait_for(lambda: lag(database, "rules").batches == 0, "all is judged")
    made = alerts_in(database)
    assert made == straight(database, reference, bins(BINS))
    assert len(made) > BINS
    assert {one[3] for one in made} - {"retracted"} == {"firing", "resolved"}


def test_points_that_come_and_go_are_watched_by_who_holds_them(
    database_url: str, database: psycopg.Connection, new_connection: Connect, reference: psycopg.Connection
) -> None:
    for connection in (database, reference):
        found(connection, bins(20))
    writer = ReadingWriter(new_connection())
    with running(database_url, "one") as one, running(database_url, "other") as other:
        wait_for(lambda: [each.partitions for each in worker_list(database)] == [32, 32], "both have their share")
        points = found(database, bins(40))
        states = "SELECT count(DISTINCT point_id) FROM rule_state"

        def watched() -> set[int]:
            return {key[1] for service in (one, other) for key in list(service._engine.machines)}

        wait_for(lambda: watched() == set(points.values()), "the new points are watched")
        stream = Stream(sorted(points.values()), 30, 3)
        for number in range(len(stream.rounds)):
            stream.write(writer, number)
        wait_for(lambda: lag(database, "rules").batches == 0, "all is judged")
        assert alerts_in(database) == straight(database, reference, bins(40))
        (firing,) = database.execute("SELECT count(*) FROM alert_episode WHERE state = 'firing'").fetchone() or (0,)
        assert firing > 0
        found(database, bins(1))
        others = (
            "SELECT count(*) FROM alert_episode JOIN point USING (point_id) WHERE state = 'firing' AND code <> 'bin-0'"
        )
        wait_for(lambda: database.execute(others).fetchone() == (0,), "alerts of points that are gone are closed")
        wait_for(lambda: database.execute(states).fetchone() == (1,), "and their states are gone")


@pytest.mark.parametrize("late", [False, True])
def test_what_waits_in_the_log_is_told_also_of_points_that_are_judged_for_the_first_time(
    database_url: str, database: psycopg.Connection, new_connection: Connect, reference: psycopg.Connection, late: bool
) -> None:
    """While no rules process runs, bins send for the first time, and their alerts come and go."""
    points = found(database, bins(2 * BINS))
    writer = ReadingWriter(new_connection())
    first = Stream([points[f"bin-{n}"] for n in range(BINS)], ROUNDS, seed=1)
    second = Stream([points[f"bin-{n}"] for n in range(BINS, 2 * BINS)], ROUNDS, seed=2)
    if not late:
        # As it is when devices send what they measure: a batch holds nothing that is older than the one before.
        for stream in (first, second):
            shift = 1800 * (ROUNDS + 10)
            stream.rounds = [[(at + shift, *rest) for at, *rest in rows] for rows in stream.rounds]
    for number in range(len(first.rounds)):
        first.write(writer, number)
    with running(database_url, "one"):
        wait_for(lambda: lag(database, "rules").batches == 0, "all is judged")
    for number in range(len(second.rounds)):
        second.write(writer, number)
    with running(database_url, "two"):
        wait_for(lambda: lag(database, "rules").batches == 0, "all is judged")
    expected = straight(database, reference, bins(2 * BINS))
    assert sum(row[1] in {points[f"bin-{n}"] for n in range(BINS, 2 * BINS)} for row in expected) > BINS
    assert alerts_in(database) == expected
