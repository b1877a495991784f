"""A change of rules on running workers: checked, previewed, taken by all, and of what is not changed nothing is touched."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pytest

from misto.cli.rules_apply import _record
from rules.applied import digests, take
from rules.errors import RulesError
from rules.loader import shipped_rules
from rules.membership import Membership
from rules.service import RulesConfig, RulesService
from store import rules_applied
from store.migrate import migrate
from store.reading_log import lag
from store.rules_leases import put_in_force, worker_list
from store.service_state import beat
from store.writer import ReadingWriter
from tests.cities import bins, found
from tests.processes import Process, environment, wait_for
from tests.straight import Stream, alerts_in, straight

Connect = Callable[[], psycopg.Connection]
# Within the rules' memory of two days.
BINS, ROUNDS = 80, 90


def own_rule(above: float, title: str = "E", tests: str = "") -> str:
    return (
        f"version: 1\nrules:\n  - id: own\n    title: {{en: {title}, uk: Е}}\n    sentence: {{en: S, uk: Р}}\n"
        "    advice: {en: A, uk: П}\n    source: test\n    scope: {kind: [bin]}\n"
        f"    when: {{threshold: {{metric: fill_level_pct, above: {above}}}}}\n{tests}"
    )


class City:
    """A folder of own rules, and the command line on it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        folder.mkdir()

    def misto(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("misto"), "rules", *arguments],
            env=environment(database_url=self.url, rules_dir=self.folder),
            capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def write(self, text: str) -> None:
        (self.folder / "own.yaml").write_text(text)

    def worker(self, name: str, log: Path) -> Process:
        return Process(
            "rules", "run", log=log, port_setting="rules_metrics_port",
            database_url=self.url, rules_dir=self.folder, rules_worker=name,
        )  # fmt: skip


@pytest.fixture
def city(database_url: str, tmp_path: Path) -> City:
    return City(database_url, tmp_path / "rules")


@pytest.fixture
def reference(empty_database_url: str) -> Iterator[psycopg.Connection]:
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True, options="-c TimeZone=UTC") as connection:
        yield connection


def opened(database: psycopg.Connection) -> dict[str, int]:
    rows = database.execute("SELECT rule_id, count(*) FROM alert_episode WHERE state = 'firing' GROUP BY 1").fetchall()
    return dict(rows)


def in_force(database: psycopg.Connection) -> int:
    """The version whose rules all living workers judge by; 0 while they do not agree."""
    workers = [one for one in worker_list(database) if one.alive]
    agreed = workers and all(one.in_force for one in workers) and sum(one.partitions for one in workers) == 64
    sets = rules_applied.sets(database)
    return sets[-1].version if agreed and sets else 0


def test_two_workers_take_a_change_in_the_middle_of_a_stream(
    city: City, database: psycopg.Connection, new_connection: Connect, reference: psycopg.Connection, tmp_path: Path
) -> None:
    """The shipped rules, which are not changed, must make the very alerts that one engine makes; the own ones follow."""
    points = found(database, bins(BINS))
    stream = Stream([points[f"bin-{n}"] for n in range(BINS)], ROUNDS, seed=3)
    writer = ReadingWriter(new_connection())
    rounds = iter(range(len(stream.rounds)))
    ended = threading.Event()

    def write_on() -> None:
        for number in rounds:
            stream.write(writer, number)
            if ended.wait(0.05):
                break

    city.write(own_rule(150))
    with ExitStack() as stack:
        workers = [stack.enter_context(city.worker(name, tmp_path / f"{name}.log")) for name in "ab"]
        for worker in workers:
            worker.wait_well()

        def logs() -> str:
            return "\n".join(f"{one.log.name}: {one.log.read_text()[-1500:]}" for one in workers)

        wait_for(lambda: in_force(database) == 1, f"both have their share: {logs()}")
        # A point that was never heard begins with what is stored, and what fired and ended there is not told.
        for number in islice(rounds, 10):
            stream.write(writer, number)
        wait_for(lambda: lag(database, "rules").batches == 0, f"each point was heard: {logs()}")
        thread = threading.Thread(target=write_on)
        thread.start()
        try:
            city.write(own_rule(50))
            city.misto("apply", "--author", "Олена", "--note", "lower", "--yes")
            wait_for(lambda: in_force(database) == 2, f"both judge by version 2: {logs()}")
            wait_for(lambda: opened(database).get("own", 0) > 5, "the changed rule fires")
            city.misto("apply", "--version", "1", "--author", "Олена")
            wait_for(lambda: in_force(database) == 3, f"both judge by version 3: {logs()}")
            wait_for(lambda: "own" not in opened(database), "gone back, its alerts are resolved")
            city.misto("apply", "--yes")
            wait_for(lambda: in_force(database) == 4, f"both judge by version 4: {logs()}")
        finally:
            ended.set()
            thread.join(60)
        for number in rounds:
            stream.write(writer, number)
        wait_for(lambda: lag(database, "rules").batches == 0, f"all is judged: {logs()}")
        newest = dict(
            database.execute(
                "SELECT DISTINCT ON (point_id) point_id, value FROM readings ORDER BY 1, time DESC"
            ).fetchall()
        )
        full = {point for point, value in newest.items() if value > 50}

        def firing() -> set[int]:
            rows = database.execute("SELECT point_id FROM alert_episode WHERE rule_id = 'own' AND state = 'firing'")
            return {row[0] for row in rows}

        # What begins anew may be written after the last of the log is judged.
        wait_for(lambda: firing() == full, f"the own rule fires where it should: {logs()}")
        for worker in workers:
            assert worker.stop() == 0
        assert "Traceback" not in logs()
    made = [row for row in alerts_in(database) if row[0] != "own"]
    expected = straight(database, reference, bins(BINS))
    assert [row for row in made if row not in expected] == []
    assert [row for row in expected if row not in made] == []
    assert len(made) > BINS
    listed = city.misto("versions")
    assert [line.split()[0] for line in listed.splitlines()] == ["4", "3", "2", "1"]
    assert "Олена: back to version 1 (1 own rules)" in listed


def test_what_is_not_changed_is_not_touched(
    city: City, database: psycopg.Connection, new_connection: Connect, tmp_path: Path
) -> None:
    points = found(database, bins(2))
    writer = ReadingWriter(new_connection())
    stream = Stream([points["bin-0"], points["bin-1"]], 20, seed=1)
    city.write(own_rule(-1))
    with city.worker("a", tmp_path / "a.log") as worker:
        worker.wait_well()
        for number in range(len(stream.rounds)):
            stream.write(writer, number)
        wait_for(lambda: lag(database, "rules").batches == 0 and opened(database).get("own") == 2, "both fire")

        def kept() -> dict[str, list[Any]]:
            rows = database.execute("SELECT rule_id, point_id, rule_hash, state, xmin FROM rule_state ORDER BY 1, 2")
            states: dict[str, list[Any]] = {}
            for rule_id, *rest in rows:
                states.setdefault(rule_id, []).append(rest)
            return states

        before, told = kept(), alerts_in(database)
        city.write(own_rule(-1, title="Another"))
        assert "own  other texts" in city.misto("apply")
        wait_for(lambda: in_force(database) == 2, "the texts are taken")
        assert kept() == before
        city.write(own_rule(-2, title="Another"))
        assert "opens 0, closes 0, keeps 2" in city.misto("apply")
        wait_for(lambda: in_force(database) == 3, "the limit is taken")
        wait_for(lambda: kept()["own"] != before["own"], "the changed rule began anew")
        assert {rule: state for rule, state in kept().items() if rule != "own"} == {
            rule: state for rule, state in before.items() if rule != "own"
        }
    now = alerts_in(database)
    assert [row for row in now if row[0] != "own"] == [row for row in told if row[0] != "own"]
    assert [row[:4] for row in now] == [row[:4] for row in told], "no alert is doubled or closed"


def test_a_mistake_changes_nothing_and_stops_nobody(
    city: City, database: psycopg.Connection, new_connection: Connect, tmp_path: Path
) -> None:
    points = found(database, bins(1))
    city.write(own_rule(-1))
    with city.worker("a", tmp_path / "a.log") as worker:
        worker.wait_well()
        wait_for(lambda: in_force(database) == 1, "the first start takes the folder")
    city.write(own_rule(-1).replace("fill_level_pct", "fill_levle_pct"))
    told = city.misto("apply", status=1)
    assert "own.yaml:9" in told
    assert "fill_levle_pct" in told
    city.write(own_rule(90, tests="    tests:\n      - {name: t, readings: {fill_level_pct: '95 95'}, expect: []}\n"))
    told = city.misto("apply", status=1)
    assert "own: test 't': expected nothing, got fires at 0m" in told
    assert "nothing was applied" in told
    assert rules_applied.newest(database) == 1
    city.write("version: 1\nrules:\n  - id: own\n    titel: x\n")
    told = city.misto("list")
    assert "version 1 is in force; the files of" in told
    assert "own " in told
    with city.worker("b", tmp_path / "b.log") as worker:
        worker.wait_well()
        Stream([points["bin-0"]], 1, seed=1).write(ReadingWriter(new_connection()), 0)
        wait_for(lambda: opened(database) == {"own": 1}, f"the last applied version goes on: {worker.log.read_text()}")
        log = worker.log.read_text()
    assert "own.yaml:3" in log or "own.yaml:4" in log
    assert "titel" in log
    assert "mend them, then `misto rules apply`" in log
    city.write(own_rule(99))
    with city.worker("c", tmp_path / "c.log") as worker:
        worker.wait_well()
        assert "others than those in force; `misto rules apply` takes them" in worker.log.read_text()
        assert rules_applied.newest(database) == 1
    assert "`misto rules apply` takes the files of" in city.misto("list")


def test_a_flood_and_an_empty_folder_need_a_yes(
    city: City, database: psycopg.Connection, new_connection: Connect
) -> None:
    points = found(database, bins(25))
    stream = Stream(list(points.values()), 3, seed=2)
    for number in range(len(stream.rounds)):
        stream.write(ReadingWriter(new_connection()), number)
    city.write(own_rule(-1))
    assert "25 alerts would open at once; with --yes" in city.misto("apply", status=1)
    assert "nothing was applied" in city.misto("apply", "--dry-run")
    assert rules_applied.newest(database) == 0
    assert "opens 25, closes 0" in city.misto("apply", "--yes")
    (city.folder / "own.yaml").unlink()
    assert "no own rule would be left" in city.misto("apply", status=1)
    city.misto("apply", "--yes")
    assert rules_applied.versions(database)[0].files == {}
    assert "there is no version 9" in city.misto("apply", "--version", "9", status=1)
    assert "nothing is changed" in city.misto("apply")
    listed = json.loads(city.misto("versions", "--json"))
    assert [one["version"] for one in listed] == [2, 1]
    assert "above: -1" in city.misto("versions", "1")


def test_an_upgrade_brings_its_shipped_rules_under_the_same_own_ones(city: City, database: psycopg.Connection) -> None:
    """Other shipped rules are another set of the same version; the city's own of the same id still replaces."""
    found(database, bins(1))
    first = shipped_rules()
    own = own_rule(10).replace("id: own", f"id: {first[0].id}")
    one_changed = [rule.model_copy(update={"held_for": 12345.0}) for rule in shipped_rules()[:2]]
    changed = one_changed + first[2:]
    for number, shipped in enumerate((first, changed), 1):
        stop = threading.Event()
        config = RulesConfig(city.url, lambda local, its=shipped: its, "Europe/Kyiv", own={"own.yaml": own})
        thread = threading.Thread(target=RulesService(config, stop).run)
        thread.start()
        try:
            wait_for(lambda n=number: len(rules_applied.sets(database)) == n, "its rules are in force")  # type: ignore[misc]
        finally:
            stop.set()
            thread.join(30)
    one, other = rules_applied.sets(database)
    assert (one.version, other.version) == (1, 1)
    differ = {rule_id for rule_id in one.rules if one.rules[rule_id] != other.rules[rule_id]}
    assert differ == {first[1].id}
    assert dict(other.rules) == digests(take(database, lambda local: changed, "Europe/Kyiv").rules)


def test_a_version_of_a_newer_misto_is_left_to_those_who_can_read_it(
    city: City, database: psycopg.Connection, tmp_path: Path
) -> None:
    city.write(own_rule(10))
    with city.worker("a", tmp_path / "a.log") as worker:
        worker.wait_well()
        wait_for(lambda: in_force(database) == 1, "version 1 is in force")
        text = own_rule(10).replace("threshold", "of_the_future")
        rules_applied.record(database, "newer", "", {"own.yaml": text})
        wait_for(lambda: "version 2 of the rules cannot be read" in worker.log.read_text(), "it says so")
        wait_for(lambda: in_force(database) == 1, "version 1 goes on while nobody has put version 2 in force")
        put_in_force(database, "of a newer worker")
        wait_for(lambda: "newer rules are in force" in worker.health()[1], "it makes way")


def test_a_worker_that_slept_puts_no_older_version_in_force(
    city: City, database: psycopg.Connection, new_connection: Connect
) -> None:
    """It has read version 1, and has not come to put it in force when version 2 is applied."""
    rules_applied.record(database, "first", "", {"own.yaml": own_rule(10)})
    connection = new_connection()
    taken = take(connection, shipped_rules, "Europe/Kyiv")
    connection.commit()
    sleeper = Membership(city.url, "sleeper", shipped_rules(), 600).with_rules(taken)
    with sleeper.on(connection):
        rules_applied.record(database, "second", "", {"own.yaml": own_rule(20)})
        assert sleeper._me is not None
        with connection.transaction():
            sleeper._lead(connection, sleeper._me)
        assert database.execute("SELECT count(*) FROM rule_set").fetchone() == (0,)
        assert sleeper.tend(connection) == {}
        assert sleeper.outdated


def test_two_changes_at_once_are_not_lost(city: City, database: psycopg.Connection) -> None:
    """Who has looked at an older version than the newest is asked to look again."""
    with psycopg.connect(city.url) as connection:
        assert _record(connection, "a", "", {"a.yaml": own_rule(10)}, seen=0) == 1
        with pytest.raises(RulesError, match="version 1 was applied meanwhile"):
            _record(connection, "b", "", {"b.yaml": own_rule(20)}, seen=0)
    assert rules_applied.newest(database) == 1


def test_the_preview_counts_silence_by_the_clock(city: City, database: psycopg.Connection) -> None:
    found(database, bins(3))
    database.execute(
        "INSERT INTO device_status (device_id, last_received_at) SELECT device_id, now() - "
        "CASE address WHEN 'dev-0' THEN INTERVAL '1 hour' ELSE INTERVAL '1 minute' END FROM device"
    )
    silent = own_rule(0).replace("threshold: {metric: fill_level_pct, above: 0}", "absent: {after: 10m}")
    city.write(silent)
    assert "opens 0, closes 0" in city.misto("apply", "--dry-run"), "while ingest is away nobody knows"
    beat(database, "ingest", "w", datetime.now(UTC), {})
    assert "opens 1, closes 0" in city.misto("apply", "--dry-run")
