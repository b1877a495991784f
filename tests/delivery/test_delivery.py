"""A short run of the delivery proof, and that the proof itself finds what is wrong."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from ingest.batch import decode_batch
from ingest.decoder import Decoder
from ingest.envelopes import all_envelopes
from ingest.message import Message
from ingest.profile import load_profiles
from ingest.registry import CachedRegistry
from misto.runtime import Binaries
from rules.engine import Engine
from rules.loader import shipped_rules
from rules.record import change_of
from store import alerts
from store.migrate import migrate
from store.reading_log import BEGINNING, read_after
from store.writer import ReadingWriter
from tests.cities import found
from tests.delivery.account import Account, Published, settle_account
from tests.delivery.faults import names
from tests.delivery.messages import Kind, Plan
from tests.delivery.proxy import Line
from tests.delivery.run import RunConfig, run, schedule

_ZONE = ZoneInfo("Europe/Kyiv")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shared", [False, True], ids=["one worker", "shared subscription"])
def test_nothing_is_lost_or_doubled_and_each_alert_comes_once(
    binaries: Binaries, server_folder: Path, capsys: pytest.CaptureFixture[str], shared: bool
) -> None:
    folder = server_folder / f"delivery-{shared}"
    folder.mkdir(mode=0o755)
    chosen = names(shared=shared, longest_s=12)
    if shared:
        chosen = [*random.Random(1).sample(chosen, 5), "a second worker joins dies comes back and leaves"]
    config = RunConfig(seed=7, seconds=0, rate_per_s=600, names=sorted(set(chosen)), shared=shared, repeat=False)
    diary: list[str] = []
    account = run(config, folder, binaries, diary.append)
    with capsys.disabled():
        print(f"\n{diary[-1]}", end="")
    assert not account.wrong, "\n".join([*diary, f"seed {config.seed}", *account.wrong])
    assert account.alerts > 10
    assert account.quarantined > 10


def test_a_seed_makes_the_same_schedule_and_the_same_messages() -> None:
    config = RunConfig(5, 60, 1000, names(shared=False))
    assert schedule(config) == schedule(config)
    assert {fault.name for fault, _ in schedule(config)} == set(config.names)
    plan = Plan(5, 20, 1_790_000_000)
    messages = list(plan.messages())
    assert messages == list(plan.messages())
    assert messages != list(Plan(6, 20, 1_790_000_000).messages())
    assert [one.number for one in messages] == list(range(len(messages)))
    assert {one.kind for one in messages} == set(Kind)
    timed = [(address, metric, one.time_us) for one in messages if one.time_us for address, metric, _ in one.readings]
    assert len(timed) == len(set(timed))
    assert max(one.time_us for one in messages) <= plan.end_s * 1_000_000


Settle = Callable[[Published], Account]


@pytest.fixture
def delivered(database: psycopg.Connection[Any], empty_database_url: str) -> Iterator[tuple[Settle, Published]]:
    """A database into which a small plan has gone straight, judged; and how to settle the account."""
    plan = Plan(3, 12, int(time.time()))
    found(database, *plan.sites)
    messages = list(plan.messages())

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(database.info.dsn, password=database.info.password, options="-c TimeZone=UTC")

    with connect() as connection:
        registry = CachedRegistry(connect)
        registry.reload(connection)
        decoder = Decoder(all_envelopes(_ZONE), load_profiles(None, _ZONE), registry)
        now_us = time.time_ns() // 1000
        received = [Message(one.topic, one.payload, now_us + one.number) for one in messages]
        ReadingWriter(connection).write(decode_batch(received, decoder, {}).batch)
    engine = Engine(shipped_rules())
    engine.set_points(alerts.load_points(database), {})
    for batch in read_after(database, BEGINNING, 1_000_000):
        for one in engine.fold(batch)[0]:
            alerts.write_change(database, change_of(one, _ZONE))
    migrate(empty_database_url)
    published = Published(0.0, {one.number: 1.0 for one in messages}, {one.number: 1 for one in messages})
    with psycopg.connect(empty_database_url, autocommit=True, options="-c TimeZone=UTC") as reference:
        yield lambda published: settle_account(plan, published, database, reference), published


def test_the_account_is_right_where_all_is_there(delivered: tuple[Settle, Published]) -> None:
    settle, published = delivered
    account = settle(published)
    assert account.wrong == []
    assert min(account.readings, account.quarantined, account.alerts) > 5


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("DELETE FROM readings WHERE (time, point_id, metric_id) IN (SELECT time, point_id, metric_id FROM readings"
         " WHERE metric_id = 30 ORDER BY time LIMIT 1)", ["lost: message 0 (timed", "place in the log is wrong"]),
        ("UPDATE readings SET value = value + 1 WHERE ctid = (SELECT max(ctid) FROM readings)", ["lost: "]),
        ("INSERT INTO readings SELECT time + interval '1 s', point_id, metric_id, value, quality FROM readings"
         " WHERE metric_id = (SELECT metric_id FROM metric WHERE name = 'apparent_power_va') LIMIT 1",
         ["doubled: ", "place in the log is wrong"]),
        ("INSERT INTO readings SELECT time + interval '1 s', point_id, metric_id, value, quality FROM readings"
         " WHERE metric_id = 30 LIMIT 1", ["reading that nobody published"]),
        ("DELETE FROM quarantine WHERE ctid = (SELECT min(ctid) FROM quarantine)", ["lost: message"]),
        ("UPDATE quarantine SET topic = 'other' WHERE ctid = (SELECT min(ctid) FROM quarantine)",
         ["lost: message", "that is no poison"]),
        ("INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, \"values\", qualities)"
         " SELECT received_at, reading_count, times_us, point_ids, metric_ids, \"values\", qualities FROM reading_log",
         ["place in the log is wrong"]),
        ("TRUNCATE alert_episode CASCADE", ["alert missing"]),
        ("UPDATE alert_episode SET fired_at = fired_at + interval '1 min'", ["raised otherwise", "alert missing"]),
    ],
)  # fmt: skip
def test_the_account_finds_what_is_wrong(
    delivered: tuple[Settle, Published], database: psycopg.Connection[Any], harm: str, told: list[str]
) -> None:
    settle, published = delivered
    database.execute(harm)
    wrong = "\n".join(settle(published).wrong)
    for sentence in told:
        assert sentence in wrong


def test_a_half_open_line_is_deaf_to_tcp_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = Line(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", line.port)) as near:
            far, _ = server.accept()
            near.sendall(b"heard")
            assert far.recv(10) == b"heard"
            line.half_open()
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
            near.sendall(b"not heard")
            near.settimeout(20)
            with pytest.raises(TimeoutError, match="Connection timed out"):
                near.recv(10)
            far.settimeout(0.1)
            with pytest.raises(TimeoutError):
                far.recv(10)
            far.close()
        line.close()
