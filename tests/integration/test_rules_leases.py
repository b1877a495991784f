"""Rules workers on a real database: who holds what, and that nobody else writes for it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import errors

import store.migrate
from rules.leases import Partition
from rules.loader import shipped_rules
from rules.membership import Membership
from rules.model import Rule
from store import rules_leases
from store.maintenance import drop_old
from store.migrate import Edition, Migration, check_schema, migrate
from store.reading_log import BEGINNING, Position, lag, position_of
from store.rules_leases import Fenced, change_hands, fence, move, unheld, worker_list
from tests.cities import bins, found
from tests.processes import wait_for

Connect = Callable[[], psycopg.Connection]
RULES = shipped_rules()
FEWER = RULES[:-3]
LONG_S = 600.0


class Workers:
    """Workers on connections of their own; `close` is the end of a process that was killed."""

    def __init__(self, url: str, connect: Connect, stack: ExitStack) -> None:
        self._url, self._connect, self._stack = url, connect, stack

    def begin(self, name: str, rules: list[Rule] = RULES, lease_s: float = LONG_S) -> Worker:
        return Worker(self._stack, self._connect(), Membership(self._url, name, rules, lease_s))


class Worker:
    def __init__(self, stack: ExitStack, connection: psycopg.Connection, membership: Membership) -> None:
        self.connection, self.membership = connection, membership
        self.life = membership.on(connection)
        self.life.__enter__()
        stack.callback(self._end)
        self.held: dict[int, Partition] = {}

    def tend(self) -> int:
        self.held = self.membership.tend(self.connection)
        return len(self.held)

    def tokens(self) -> list[tuple[int, int]]:
        return [(one.number, one.token) for one in self.held.values()]

    def _end(self) -> None:
        # The thread ends as it does after a failure of the database: without leaving.
        self.life.__exit__(errors.AdminShutdown, errors.AdminShutdown(), None)  # type: ignore[arg-type]


@pytest.fixture
def workers(database_url: str, new_connection: Connect) -> Iterator[Workers]:
    with ExitStack() as stack:
        yield Workers(database_url, new_connection, stack)


def holders(database: psycopg.Connection) -> Counter[int]:
    return Counter(row[0] for row in database.execute("SELECT holder FROM rules_partition"))


def expire(database: psycopg.Connection, name: str) -> None:
    """What time does to a worker that stands still."""
    database.execute("UPDATE rules_worker SET lease_until = now() - INTERVAL '1 s' WHERE name = %s", [name])


def test_points_are_spread_evenly(database: psycopg.Connection) -> None:
    for step in (1, 2, 4, 7, 64):
        rows = database.execute(
            "SELECT rules_partition_of(n), count(*) FROM generate_series(%s::integer, %s::integer, %s::integer) AS n GROUP BY 1",
            [step, step * 6400, step],
        ).fetchall()
        assert sorted(row[0] for row in rows) == list(range(64))
        assert max(row[1] for row in rows) < 130, step


def test_one_holds_all_and_a_second_gets_half(workers: Workers, database: psycopg.Connection) -> None:
    one = workers.begin("one")
    assert one.tend() == 64
    first = dict(one.tokens())
    other = workers.begin("other")
    assert other.tend() == 0, "nothing is taken from one that lives"
    assert one.tend() == 32
    assert other.tend() == 32
    assert not one.held.keys() & other.held.keys()
    assert all(other.held[number].token > first[number] for number in other.held)
    assert [(one.name, one.alive, one.in_force, one.partitions) for one in worker_list(database)] == [
        ("one", True, True, 32), ("other", True, True, 32),
    ]  # fmt: skip
    assert unheld(database) == 0


def test_one_that_is_killed_is_followed_at_once(workers: Workers, database: psycopg.Connection) -> None:
    one, other = workers.begin("one"), workers.begin("other")
    one.tend(), other.tend(), one.tend(), other.tend()
    one.connection.close()
    wait_for(lambda: other.tend() == 64, "the other takes all, though the lease goes on for long")
    assert unheld(database) == 0
    other.tend()
    assert [state.name for state in worker_list(database)] == ["other"]


def test_one_that_ends_well_is_followed_at_once(workers: Workers) -> None:
    one, other = workers.begin("one"), workers.begin("other")
    one.tend(), other.tend(), one.tend()
    one.life.__exit__(None, None, None)
    assert other.tend() == 64


def test_a_sleeper_s_write_is_refused_and_leaves_no_trace(workers: Workers, database: psycopg.Connection) -> None:
    sleeper = workers.begin("sleeper")
    assert sleeper.tend() == 64
    other = workers.begin("other")
    expire(database, "sleeper")
    assert other.tend() == 64
    states = {number: (one.token, one.position) for number, one in other.held.items()}

    def write(connection: psycopg.Connection, begin: Callable[[], None]) -> None:
        with connection.transaction():
            connection.execute("INSERT INTO rule_state VALUES ('x', 1, 'h', '{}')")
            begin()

    for begin in (
        lambda: fence(sleeper.connection, sleeper.tokens()),
        lambda: move(sleeper.connection, sleeper.tokens(), Position(9, 9)),
        lambda: fence(sleeper.connection, sleeper.tokens()[:1]),
    ):
        with pytest.raises(Fenced):
            write(sleeper.connection, begin)
    assert database.execute("SELECT count(*) FROM rule_state").fetchone() == (0,)
    assert {number: (one.token, one.position) for number, one in other.held.items()} == states
    write(other.connection, lambda: move(other.connection, other.tokens(), Position(9, 9)))
    assert position_of(database, "rules") == Position(9, 9)
    assert sleeper.tend() == 0, "awake again, it waits for its share"
    assert other.tend() == 32
    assert sleeper.tend() == 32


def test_one_lost_partition_of_many_refuses_the_whole_write(workers: Workers, database: psycopg.Connection) -> None:
    one = workers.begin("one")
    one.tend()
    database.execute("UPDATE rules_partition SET token = token + 1 WHERE partition = 63")
    with pytest.raises(Fenced), one.connection.transaction():
        move(one.connection, one.tokens(), Position(9, 9))
    assert position_of(database, "rules") == BEGINNING
    assert one.tend() == 64
    with one.connection.transaction():
        move(one.connection, one.tokens(), Position(9, 9))


def test_nothing_is_taken_in_the_middle_of_a_write(workers: Workers, database: psycopg.Connection) -> None:
    one = workers.begin("one")
    one.tend()
    other = workers.begin("other")
    with one.connection.transaction():
        move(one.connection, one.tokens()[:10], Position(5, 5))
        expire(database, "one")
        assert other.tend() == 54, "what is being written is left"
        assert other.tend() == 54
    assert other.tend() == 64
    assert sorted(state.position for state in other.held.values()) == [BEGINNING] * 54 + [Position(5, 5)] * 10


def test_a_write_that_waits_for_a_take_over_is_refused(workers: Workers, database: psycopg.Connection) -> None:
    one = workers.begin("one")
    one.tend()
    other = workers.begin("other")
    refused: list[Exception] = []

    def write() -> None:
        try:
            with one.connection.transaction():
                move(one.connection, one.tokens(), Position(5, 5))
        except Fenced as error:
            refused.append(error)

    with other.connection.transaction():
        assert len(change_hands(other.connection, 2, one.tokens())) == 64
        thread = threading.Thread(target=write)
        thread.start()
        wait_for(
            lambda: database.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (0,),
            "the write waits",
        )
    thread.join(30)
    assert len(refused) == 1
    assert position_of(database, "rules") == BEGINNING


def test_one_that_stands_still_within_a_write_is_ended(workers: Workers, database: psycopg.Connection) -> None:
    one = workers.begin("one", lease_s=1.0)
    one.tend()
    other = workers.begin("other")

    def stand_still() -> None:
        with one.connection.transaction():
            fence(one.connection, one.tokens())
            one.connection.execute("INSERT INTO rule_state VALUES ('x', 1, 'h', '{}')")
            # Another thread goes on renewing the lease, and the rows are locked: only the session's end frees them.
            wait_for(lambda: other.tend() == 64, "the other takes all")
            one.connection.execute("SELECT 1")

    with pytest.raises(errors.IdleInTransactionSessionTimeout):
        stand_still()
    assert database.execute("SELECT count(*) FROM rule_state").fetchone() == (0,)


def test_one_that_stands_still_within_a_statement_is_ended(workers: Workers, database: psycopg.Connection) -> None:
    one = workers.begin("one")
    one.connection.execute("SET application_name = 'misto-rules'")
    one.connection.commit()
    one.tend()
    other = workers.begin("other", lease_s=1.0)
    ended: list[Exception] = []

    def stand_still() -> None:
        try:
            with one.connection.transaction():
                fence(one.connection, one.tokens())
                one.connection.execute("SELECT pg_sleep(100)")
        except psycopg.Error as error:
            ended.append(error)

    thread = threading.Thread(target=stand_still, daemon=True)
    thread.start()
    expire(database, "one")
    wait_for(lambda: other.tend() == 64, "the other takes all")
    thread.join(30)
    assert [type(error) for error in ended] == [errors.AdminShutdown]


def test_signs_of_life_keep_the_lease(workers: Workers, database: psycopg.Connection) -> None:
    one = workers.begin("one", lease_s=1.5)
    one.tend()
    other = workers.begin("other")
    (before,) = database.execute("SELECT lease_until FROM rules_worker WHERE name = 'one'").fetchone() or (None,)
    time.sleep(3)
    (after,) = database.execute("SELECT lease_until FROM rules_worker WHERE name = 'one'").fetchone() or (None,)
    assert after > before
    assert other.tend() == 0


def test_newer_rules_take_over_and_older_ones_wait(workers: Workers, database: psycopg.Connection) -> None:
    (point,) = found(database, bins(1)).values()
    old = workers.begin("old", FEWER)
    assert old.tend() == 64
    new_id = RULES[-1].id
    for rule_id in ("forgotten", FEWER[1].id):
        database.execute("INSERT INTO rule_state VALUES (%s, %s, 'h', '{}')", [rule_id, point])

    def states() -> list[str]:
        return [row[0] for row in database.execute("SELECT rule_id FROM rule_state ORDER BY 1")]

    new = workers.begin("new", RULES)
    assert new.tend() == 64, "at once: the old worker's tokens are void"
    assert states() == [FEWER[1].id], "states of rules that are no longer in force are dropped"
    with pytest.raises(Fenced), old.connection.transaction():
        fence(old.connection, old.tokens())
    database.execute("INSERT INTO rule_state VALUES (%s, %s, 'h', '{}')", [new_id, point])
    assert old.tend() == 0
    assert old.membership.waits
    assert workers.begin("old again", FEWER).tend() == 0, "nor does its restart undo the upgrade"
    assert new.tend() == 64
    assert sorted(states()) == sorted([FEWER[1].id, new_id])
    new.connection.close()
    wait_for(lambda: len([one for one in worker_list(database) if one.alive]) == 2, "it is dead")
    assert old.tend() == 0
    assert workers.begin("back", FEWER).tend() > 0, "started afterwards, and no newer ones live: they are wanted back"
    assert states() == [FEWER[1].id]
    assert old.tend() > 0, "whoever waited with them works again"
    assert not old.membership.waits


def test_the_log_is_kept_for_the_slowest_partition(workers: Workers, database: psycopg.Connection) -> None:
    for age in (30, 20, 10):
        database.execute(
            'INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, "values", qualities)'
            " VALUES (now() - make_interval(days => %s), 0, '{}', '{}', '{}', '{}', '{}')",
            [age],
        )
    places = [
        Position(*row) for row in database.execute("SELECT xid::text::bigint, seq FROM reading_log ORDER BY 1, 2")
    ]
    one = workers.begin("one")
    one.tend()

    def kept() -> int:
        with one.connection.transaction():
            drop_old(one.connection, readings_days=365, log_days=7, quarantine_days=90)
        return (database.execute("SELECT count(*) FROM reading_log").fetchone() or (0,))[0]

    with one.connection.transaction():
        move(one.connection, one.tokens()[1:], places[2])
    assert kept() == 3
    assert lag(database, "rules").batches == 3
    with one.connection.transaction():
        move(one.connection, one.tokens()[:1], places[0])
    assert kept() == 2
    assert lag(database, "rules").batches == 2
    with one.connection.transaction():
        move(one.connection, one.tokens()[:1], places[2])
    assert kept() == 0


def test_the_place_in_the_log_survives_the_migration(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    all_of_them = store.migrate.migrations

    def until_nine(edition: Edition) -> list[Migration]:
        return [migration for migration in all_of_them(edition) if migration.version < 10]

    monkeypatch.setattr(store.migrate, "migrations", until_nine)
    migrate(empty_database_url)
    monkeypatch.undo()
    advance = (
        "INSERT INTO log_cursor (reader, xid, seq) VALUES ('rules', '77', 5) ON CONFLICT (reader) DO UPDATE SET seq = 6"
    )
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(advance)
        migrate(empty_database_url)
        check_schema(connection)
        assert position_of(connection, "rules") == Position(77, 5)
        assert connection.execute("SELECT count(DISTINCT (xid, seq)) FROM rules_partition").fetchone() == (1,)
        with pytest.raises(errors.CheckViolation):
            connection.execute(advance)


def test_a_role_may_be_a_worker(workers: Workers, database: psycopg.Connection) -> None:
    rows = database.execute(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = 'misto_rules' AND table_name IN ('rules_partition', 'rules_worker', 'rule_set')"
    ).fetchall()
    assert ("rules_partition", "INSERT") not in rows
    assert ("rules_partition", "DELETE") not in rows
    assert rules_leases.partitions(database)[0][0] == 0
