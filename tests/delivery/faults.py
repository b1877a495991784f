"""What breaks. Each fault claims the parts that it breaks, breaks them, and leaves them whole."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from store import migrate as migration
from tests.delivery.world import AUTOSAVE_S, World
from tests.processes import wait_for

Run = Callable[[World, random.Random], None]

#: Parts that faults claim; two faults at a time never break the same.
PARTS = ("ingest", "second worker", "rules", "broker", "broker line", "database", "database line", "clock")


@dataclass(frozen=True)
class Fault:
    """`long_s` is how long it takes at the longest, about. `shared`: only with, or only without a shared subscription.

    Mosquitto does not save shared subscriptions: started again it drops what comes until the workers are back. So a
    city with Mosquitto has one worker (docs/delivery.md), and only that one is run against a broker that ends.
    """

    name: str
    claims: frozenset[str]
    long_s: float
    shared: bool | None
    run: Run


FAULTS: dict[str, Fault] = {}


def fault(*claims: str, long_s: float = 5, shared: bool | None = None) -> Callable[[Run], Run]:
    """Register a function as a fault, under its name with blanks."""
    assert set(claims) <= set(PARTS)

    def register(run: Run) -> Run:
        name = run.__name__.replace("_", " ")
        FAULTS[name] = Fault(name, frozenset(claims), long_s, shared, run)
        return run

    return register


@fault("ingest", long_s=15)
def ingest_killed_again_and_again(world: World, chance: random.Random) -> None:
    for _ in range(chance.randint(3, 5)):
        time.sleep(chance.uniform(0, 3))
        world.workers["one"].kill()
        world.start_worker("one")


@fault("ingest")
def ingest_told_to_stop_in_the_middle_of_a_batch(world: World, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.3))
    assert world.workers["one"].stop() == 0
    world.start_worker("one")


@fault("ingest")
def ingest_put_to_sleep(world: World, chance: random.Random) -> None:
    world.workers["one"].pause()
    time.sleep(chance.uniform(1, 6))
    world.workers["one"].wake()


@fault("second worker", long_s=20, shared=True)
def a_second_worker_joins_dies_comes_back_and_leaves(world: World, chance: random.Random) -> None:
    world.start_worker("two")
    time.sleep(chance.uniform(2, 5))
    world.workers["two"].kill()
    time.sleep(chance.uniform(0, 2))
    # The broker keeps its share for it.
    world.start_worker("two")
    time.sleep(chance.uniform(2, 5))
    assert world.workers["two"].stop(60) == 0
    del world.workers["two"]
    world.leave("two")


@fault("rules", long_s=12)
def rules_killed(world: World, chance: random.Random) -> None:
    for _ in range(2):
        time.sleep(chance.uniform(0, 3))
        world.rules["one"].kill()
        world.start_rules("one")


@fault("rules", long_s=20)
def a_second_rules_worker_joins_and_one_sleeps(world: World, chance: random.Random) -> None:
    world.start_rules("two")
    time.sleep(chance.uniform(2, 4))
    world.rules["one"].pause()
    time.sleep(chance.uniform(3, 9))
    world.rules["one"].wake()
    world.rules["two"].kill()
    del world.rules["two"]


@fault("broker", long_s=8, shared=False)
def broker_restarted(world: World, chance: random.Random) -> None:
    world.mosquitto.stop()
    time.sleep(chance.uniform(0, 3))
    world.start(world.mosquitto)


@fault(
    "broker", "ingest", "second worker", "broker line", "database", "database line", "clock", long_s=12, shared=False
)
def broker_killed(world: World, chance: random.Random) -> None:
    """kill -9 with persistence on. Mosquitto acknowledges before it saves, so that what it took since is forgotten
    unless it was delivered; gateways send their last seconds again."""
    for worker in world.workers.values():
        worker.wait_well(60)
    time.sleep(1 + AUTOSAVE_S * chance.uniform(0, 1))
    since = time.monotonic() - AUTOSAVE_S - 1
    world.mosquitto.kill()
    world.forgettable.append((since, time.monotonic()))
    time.sleep(chance.uniform(0, 1))
    world.start(world.mosquitto)
    again = world.publisher.repeat(since=since)
    world.say(f"{again} messages sent again, as a gateway does")


@fault("database", long_s=10)
def database_killed(world: World, chance: random.Random) -> None:
    """Immediate shutdown: recovery from the log at the next start."""
    world.postgres.kill()
    time.sleep(chance.uniform(0, 3))
    world.start(world.postgres)


@fault("database", long_s=200)
def database_away_for_minutes(world: World, chance: random.Random) -> None:
    world.postgres.stop()
    world.ending.wait(chance.uniform(60, 180))
    world.start(world.postgres)


@fault("database", long_s=10)
def tables_locked(world: World, chance: random.Random) -> None:
    table = chance.choice(["readings", "reading_log", "quarantine", "delivery", "device", "rule_state"])
    world.say(f"{table} is locked")
    with world.database() as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        time.sleep(chance.uniform(1, 6))


@fault("database", "database line", "ingest", "second worker", "rules", long_s=10)
def schema_migrated(world: World, chance: random.Random) -> None:
    """As a newer version's migration would, with its locks, under the older version's processes; then undone, for those
    that are started later would rightly refuse it."""
    text = (
        f"ALTER TABLE readings ADD COLUMN newer_{chance.randrange(10**6)} integer;"
        "ALTER TABLE quarantine ADD COLUMN newer text; CREATE INDEX newer ON reading_log (received_at);"
        f"SELECT pg_sleep({chance.uniform(0.2, 2):.2f});"
    )
    known = migration.migrations

    def with_newer(edition: migration.Edition) -> list[migration.Migration]:
        return [*known(edition), migration.Migration(9999, "newer", None, text)]

    with mock.patch.object(migration, "migrations", with_newer):
        assert [one.version for one in migration.migrate(world.postgres.url)] == [9999]
    with world.database() as connection:
        connection.execute("DELETE FROM schema_migration WHERE version = 9999")
        connection.execute("ALTER TABLE quarantine DROP COLUMN newer")
        connection.execute("DROP INDEX newer")


@fault("database", "database line", long_s=25)
def disk_full(world: World, chance: random.Random) -> None:
    """Nothing is left on the database's disk; somebody makes room, and starts the server if it has given up."""
    if world.small_disk is None:
        world.say("left out: only root can give the database a small disk of its own")
        return
    filler = world.small_disk / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        except OSError:
            pass
    time.sleep(chance.uniform(4, 10))
    filler.unlink()
    time.sleep(0.5)
    if world.postgres.ended() is not None:
        world.say("the server has given up and is started again")
        world.start(world.postgres)


@contextmanager
def _broken(line: Any) -> Iterator[Any]:
    try:
        yield line
    finally:
        line.open()


@fault("broker line")
def broker_line_reset(world: World, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        world.broker_line.reset()
        time.sleep(chance.uniform(0.2, 1.5))


@fault("broker line")
def broker_line_cut(world: World, chance: random.Random) -> None:
    with _broken(world.broker_line) as line:
        line.refuse()
        time.sleep(chance.uniform(0.5, 4))


@fault("broker line")
def broker_line_slow(world: World, chance: random.Random) -> None:
    with _broken(world.broker_line) as line:
        line.slow(chance.uniform(20_000, 100_000))
        time.sleep(chance.uniform(2, 5))


@fault("broker line", "ingest", long_s=130)
def broker_line_half_open(world: World, chance: random.Random) -> None:
    """Neither end hears of the other any more; the worker notices by the keep-alive and connects anew."""
    log = world.workers["one"].log
    before = log.read_text().count("connected to the broker")
    began = time.monotonic()
    world.broker_line.half_open()
    wait_for(lambda: log.read_text().count("connected to the broker") > before, "the worker connects anew", 125)
    world.say(f"the worker connected anew {time.monotonic() - began:.0f} s after its line went half open")


@fault("database line")
def database_line_reset(world: World, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        world.database_line.reset()
        time.sleep(chance.uniform(0.2, 1.5))


@fault("database line")
def database_line_cut(world: World, chance: random.Random) -> None:
    with _broken(world.database_line) as line:
        line.refuse()
        time.sleep(chance.uniform(0.5, 4))


@fault("database line")
def database_line_slow(world: World, chance: random.Random) -> None:
    with _broken(world.database_line) as line:
        line.slow(chance.uniform(50_000, 200_000))
        time.sleep(chance.uniform(2, 5))


@fault("database line", "ingest", "database", long_s=130)
def database_line_half_open(world: World, chance: random.Random) -> None:
    """In the middle of transactions: both ends must notice, or its keys stay locked and the rules stand still."""
    began, stored = time.monotonic(), world.stored_count()
    world.database_line.half_open()
    wait_for(lambda: world.stored_count() > stored + 5_000, "readings come in again", 125)
    world.say(f"readings came in again {time.monotonic() - began:.0f} s after the line went half open")


@fault("clock", long_s=12)
def clock_steps(world: World, chance: random.Random) -> None:
    """Forward and back again; back by less than messages may lie ahead, for those would wait in quarantine."""
    for offset_s in (chance.uniform(60, 7200), chance.uniform(-200, -1), 0):
        world.clock.write_text(f"{offset_s:.3f}")
        time.sleep(chance.uniform(1, 3))


@fault("broker", "broker line", long_s=1)
def sent_again(world: World, chance: random.Random) -> None:
    """A gateway repeats itself: to the broker these are new messages, without the duplicate flag."""
    world.publisher.repeat(count=chance.randint(100, 2_000))


@fault("ingest", "second worker", "broker", "broker line", "database", "database line", "clock", long_s=15)
def session_lost(world: World, chance: random.Random) -> None:
    """The broker forgets the sessions, at a moment when nothing waits in them: the workers must subscribe again."""
    world.publisher.pause()
    world.settle(60)
    for name in world.workers:
        _forget_session(f"worker-{name}", world.mosquitto.port)
    for worker in world.workers.values():
        log = worker.log
        wait_for(
            lambda log=log: log.read_text().rstrip().rpartition("connected to the broker")[2].endswith("session new"),
            f"{log.name}: a new session", 30,
        )  # fmt: skip
    world.publisher.resume()


def _forget_session(client_id: str, port: int) -> None:
    done = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    client.on_connect = lambda *unused: done.set()
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 0
    client.connect("127.0.0.1", port, clean_start=True, properties=properties)
    client.loop_start()
    assert done.wait(10)
    client.disconnect()
    client.loop_stop()


@fault("database", long_s=8)
def database_sessions_ended(world: World, chance: random.Random) -> None:
    """An administrator ends all sessions of the services, some of them in the middle of a transaction."""
    for _ in range(chance.randint(1, 5)):
        with world.database() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'misto-%'"
            )
        time.sleep(chance.uniform(0.2, 1.5))


@fault("database", long_s=8)
def database_stands_still(world: World, chance: random.Random) -> None:
    """All its processes sleep: connections stand and nobody answers."""
    with world.database() as connection:
        pids = [row[0] for row in connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'misto-%'"
        )]  # fmt: skip
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    time.sleep(chance.uniform(1, 6))
    for pid in pids:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    if Path(f"/proc/{pid}").exists():
        os.kill(pid, number)


def names(*, shared: bool, longest_s: float = float("inf")) -> list[str]:
    """Faults that fit."""
    return [
        one.name for one in FAULTS.values() if one.shared in (None, shared) and one.long_s <= longest_s
    ]  # fmt: skip


def all_whole(world: World) -> None:
    """Everything that a fault may have left broken is whole again."""
    world.clock.write_text("0")
    for line in (world.broker_line, world.database_line):
        line.open()
    if world.small_disk is not None:
        (world.small_disk / "filler").unlink(missing_ok=True)
    if world.postgres.ended() is not None:
        world.start(world.postgres)
    with psycopg.connect(world.postgres.url):
        pass
