"""The quarantine on a real TimescaleDB: replayed, kept within its limits, shown."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import httpx
import numpy as np
import psycopg
import pytest
from prometheus_client import generate_latest

import store.migrate
from dashboards.board.app import make_app
from dashboards.board.server import serve
from dashboards.board.visit import BoardConfig
from ingest.batch import decode_batch
from ingest.decoder import Decoder
from ingest.envelopes import all_envelopes
from ingest.message import Message
from ingest.profile import load_profiles
from ingest.registry import CachedRegistry
from misto.quarantine.replay import Account, Replay, ReplayRefused
from misto.quarantine.retention import QuarantineLimit
from store import quarantine
from store.connection import connect
from store.maintenance import drop_old
from store.migrate import migrate, migrations
from store.quarantine import Selection
from store.reading_log import read_batches
from store.writer import ReadingBatch, ReadingWriter, Source, Unreadable
from tests.cities import building, found

Database = psycopg.Connection[Any]
Connect = Callable[[], psycopg.Connection[Any]]

NOW_US = time.time_ns() // 1000
DAY_US = 86_400_000_000
METER = "school-electricity-meter"
TOPIC = f"misto/{METER}/up"
PROFILE = """
version: 1
id: odd-meter
maker: Odd
model: Odd 1
kind: electricity
documentation: none
envelopes: [lorawan]
recognise: {names: [Odd 1]}
fields:
  odd_power: {metric: power_w, unit: kW}
examples:
  - topic: application/1/device/00a1/event/up
    payload: {deviceInfo: {devEui: 00a1, deviceProfileName: Odd 1}, object: {odd_power: 0.5}}
    readings: {power_w: 500}
"""


def put(
    database: Database,
    topic: str,
    payload: bytes | str,
    reason: str,
    *,
    ago_us: int = DAY_US,
    device: str | None = None,
    retained: bool = False,
    detail: str = "as it was then",
) -> int:
    """A quarantined message; returns its number."""
    content = payload.encode() if isinstance(payload, str) else payload
    row = database.execute(
        "INSERT INTO quarantine (received_at, topic, payload, reason, detail, device_address, digest, retained)"
        " VALUES (to_timestamp(0) + %s * interval '1 microsecond', %s, %s, %s, %s, %s, %s, %s) RETURNING quarantine_id",
        [NOW_US - ago_us, topic, content, reason, detail, device, quarantine.digest(topic, content, reason), retained],
    ).fetchone()
    assert row is not None
    return int(row[0])


def everything(database: Database, **chosen: Any) -> Selection:
    return Selection(quarantine.newest_id(database), **chosen)


def replayed(
    url: str, chosen: Selection, *, profiles: Path | None = None, stop: threading.Event | None = None
) -> Account:
    with Replay(url, "Europe/Kyiv", profiles) as replay:
        replay.run(chosen, stop or threading.Event(), lambda account: None)
        return replay.account


def readings(database: Database) -> list[tuple[int, str, float]]:
    """(microseconds since 1970, metric, value)."""
    rows = database.execute(
        "SELECT (extract(epoch FROM r.time) * 1000000)::bigint, m.name, r.value FROM readings AS r"
        " JOIN metric AS m USING (metric_id) ORDER BY 1, 2"
    ).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def entries(database: Database) -> list[tuple[int, str]]:
    rows = database.execute("SELECT quarantine_id, reason FROM quarantine ORDER BY 1").fetchall()
    return [(row[0], row[1]) for row in rows]


def gone(database: Database) -> dict[tuple[str, str], int]:
    return {(row["reason"], row["cause"]): row["messages"] for row in quarantine.gone(database)}


def as_role(url: str, database: Database, role: str) -> str:
    """The database's URL for one of Misto's roles."""
    database.execute(f"ALTER ROLE {role} PASSWORD 'for-this-test'")  # type: ignore[arg-type]
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:for-this-test@{parts.netloc.rpartition('@')[2]}"))


# replay


def test_what_a_new_profile_reads_is_stored_at_its_time_of_reception(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    found(database, building())
    payload = json.dumps({"deviceInfo": {"devEui": METER, "deviceProfileName": "Odd 1"}, "object": {"odd_power": 1.5}})
    topic = f"application/1/device/{METER}/event/up"
    first = put(database, topic, payload, "unknown_profile", ago_us=DAY_US + 7)
    account = replayed(database_url, everything(database))
    assert (account.read, account.failing) == (0, {"unknown_profile": 1})
    assert entries(database) == [(first, "unknown_profile")]
    assert "no profile knows" in quarantine.samples(database, everything(database), 1)[0]["detail"]

    (tmp_path / "odd-meter.yaml").write_text(PROFILE, encoding="utf-8")
    account = replayed(database_url, everything(database), profiles=tmp_path)
    assert (account.read, account.stored_readings, account.failing.total()) == (1, 1, 0)
    assert readings(database) == [(NOW_US - DAY_US - 7, "power_w", 1500)]
    assert entries(database) == []
    assert gone(database) == {("unknown_profile", "replayed"): 1}
    (logged,) = read_batches(database, "reader", 10)
    assert logged.received_at == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=NOW_US - DAY_US - 7)
    status = database.execute("SELECT last_received_at, message_count FROM device_status").fetchall()
    assert status == [(logged.received_at, 0)]
    again = replayed(database_url, everything(database), profiles=tmp_path)
    assert again == Account()


def test_only_what_is_missing_of_a_partly_read_message_is_added(
    database_url: str, database: Database, new_connection: Connect
) -> None:
    found(database, building())
    received_us = NOW_US - DAY_US
    registry = CachedRegistry(new_connection)
    registry.reload(database)
    live = Decoder(all_envelopes(ZoneInfo("Europe/Kyiv")), load_profiles(), registry)
    part = Message(TOPIC, b'{"voltage_v": 230}', received_us)
    ReadingWriter(new_connection()).write(decode_batch([part], live, {}).batch)
    put(database, TOPIC, '{"voltage_v": 230, "power_w": 5}', "bad_value", device=METER)
    account = replayed(database_url, everything(database))
    assert (account.read, account.stored_readings, account.known_readings) == (1, 1, 1)
    assert readings(database) == [(received_us, "power_w", 5), (received_us, "voltage_v", 230)]
    assert sum(len(batch) for batch in read_batches(database, "reader", 10)) == 2
    # The entry as it was: nothing is stored twice.
    put(database, TOPIC, '{"voltage_v": 230, "power_w": 5}', "bad_value", device=METER)
    account = replayed(database_url, everything(database))
    assert (account.read, account.stored_readings, account.known_readings) == (1, 0, 2)
    assert len(readings(database)) == 2


def test_what_ingest_quarantines_is_replayed_under_the_same_key(
    database_url: str, database: Database, new_connection: Connect
) -> None:
    """Whatever the microsecond: the readings stored then are found again."""
    found(database, building())
    registry = CachedRegistry(new_connection)
    registry.reload(database)
    live = Decoder(all_envelopes(ZoneInfo("Europe/Kyiv")), load_profiles(), registry)
    messages = [Message(TOPIC, b'{"power_w": "x", "voltage_v": 231}', NOW_US + step * 1_000_003) for step in range(300)]
    result = ReadingWriter(new_connection()).write(decode_batch(messages, live, {}).batch)
    assert (result.stored, result.quarantined) == (300, 300)
    before = entries(database)
    account = replayed(database_url, everything(database))
    assert (account.stored_readings, account.known_readings) == (0, 300)
    assert account.failing == {"bad_value": 300}
    assert entries(database) == before
    mine = {
        bytes(row[3])
        for row in database.execute("SELECT topic, payload, reason, digest FROM quarantine").fetchall()
        if quarantine.digest(row[0], bytes(row[1]), row[2]) == bytes(row[3])
    }
    assert len(mine) == 1


def test_what_still_fails_keeps_its_entry_with_the_new_reason(database_url: str, database: Database) -> None:
    found(database, building())
    rubbish = put(database, TOPIC, "hello", "decoder_failed")
    future = put(database, TOPIC, json.dumps({"time": (NOW_US / 1e6) + 3600, "power_w": 1}), "bad_structure")
    join = put(database, "application/1/device/aa/event/join", "{}", "not_json")
    good = put(database, TOPIC, '{"power_w": 1}', "not_assigned")
    account = replayed(database_url, everything(database))
    assert (account.read, account.no_reading, account.entries) == (1, 1, 4)
    assert account.failing == {"not_json": 1, "time_in_future": 1}
    assert entries(database) == [(rubbish, "not_json"), (future, "time_in_future")]
    assert gone(database) == {("not_json", "no_reading"): 1, ("not_assigned", "replayed"): 1}
    assert {join, good}.isdisjoint(dict(entries(database)))
    again = replayed(database_url, everything(database))
    assert (again.entries, again.failing) == (2, account.failing)


def test_only_what_was_chosen_is_replayed(database_url: str, database: Database) -> None:
    found(database, building())
    ids = [put(database, TOPIC, f'{{"power_w": {n}}}', "bad_value", ago_us=n, device=METER) for n in (1, 2, 3)]
    other = put(database, "misto/x/up", '{"power_w": 4}', "not_json", ago_us=4)
    later = everything(database)
    late = put(database, TOPIC, '{"power_w": 5}', "bad_value", ago_us=5)
    assert replayed(database_url, Selection(later.until_id, ids=(ids[0], 10**12))).read == 1
    assert replayed(database_url, Selection(later.until_id, reason="not_json", source=METER)).entries == 0
    assert replayed(database_url, Selection(later.until_id, source=METER.upper())).read == 2
    assert entries(database) == [(other, "not_json"), (late, "bad_value")]
    assert replayed(database_url, Selection(later.until_id, source="misto/x/up")).read == 1
    assert replayed(database_url, later).entries == 0
    assert entries(database) == [(late, "bad_value")]


def test_a_retained_message_without_a_time_is_no_reading_on_replay_either(
    database_url: str, database: Database
) -> None:
    found(database, building())
    put(database, TOPIC, '{"power_w": 1}', "bad_structure", retained=True)
    moment = datetime.fromtimestamp(NOW_US // 1_000_000, UTC) - timedelta(days=2)
    put(database, TOPIC, json.dumps({"power_w": 2, "time": moment.isoformat()}), "bad_structure", retained=True)
    account = replayed(database_url, everything(database))
    assert (account.read, account.no_reading) == (1, 1)
    assert [row[2] for row in readings(database)] == [2]


def test_what_the_database_refuses_stays_until_it_takes_it(database_url: str, database: Database) -> None:
    found(database, building())
    database.execute("ALTER TABLE readings ADD CONSTRAINT poison CHECK (value <> 5)")
    was = put(database, TOPIC, '{"power_w": 5, "voltage_v": 230}', "not_json", device=METER)
    also = put(database, TOPIC, '{"power_w": 6}', "not_json", ago_us=DAY_US - 1)
    account = replayed(database_url, everything(database))
    assert (account.read, account.failing) == (1, {"unstorable": 1})
    assert entries(database) == [(was, "unstorable")]
    assert also not in dict(entries(database))
    assert [row[1:] for row in readings(database)] == [("voltage_v", 230), ("power_w", 6)]
    assert replayed(database_url, everything(database)).failing == {"unstorable": 1}
    assert entries(database) == [(was, "unstorable")]
    database.execute("ALTER TABLE readings DROP CONSTRAINT poison")
    account = replayed(database_url, everything(database))
    assert (account.read, account.stored_readings, account.known_readings) == (1, 1, 1)
    assert entries(database) == []


def test_two_entries_of_a_message_that_fail_alike_become_one(database_url: str, database: Database) -> None:
    older = put(database, TOPIC, "hello", "bad_structure")
    put(database, TOPIC, "hello", "empty")
    another_time = put(database, TOPIC, "hello", "empty", ago_us=5)
    account = replayed(database_url, everything(database))
    assert account.failing == {"not_json": 3}
    assert entries(database) == [(older, "not_json"), (another_time, "not_json")]


def test_an_unknown_device_is_kept_with_what_it_sent(database_url: str, database: Database) -> None:
    put(database, "misto/stranger/up", '{"power_w": 5}', "not_json")
    assert replayed(database_url, everything(database)).read == 1
    assert database.execute("SELECT address, state FROM device").fetchall() == [("stranger", "unclaimed")]
    assert len(readings(database)) == 1


def test_an_alias_of_sparkplug_is_not_taken_for_that_of_another_birth(database_url: str, database: Database) -> None:
    """Between the two there was a birth that could be read, and is not in quarantine."""

    def message(kind: str, seq: int, metric: dict[str, Any], ago_us: int) -> None:
        content = {"timestamp": (NOW_US - ago_us) // 1000, "seq": seq, "metrics": [metric]}
        put(database, f"spBv1.0/city/{kind}/node/meter", json.dumps(content), "bad_structure", ago_us=ago_us)

    birth = {"name": "Power", "alias": 1, "datatype": "Double", "value": 5.0, "properties": {"engUnit": "W"}}
    message("DBIRTH", 0, birth, DAY_US)
    message("DDATA", 57, {"alias": 1, "datatype": "Double", "value": 48.0}, DAY_US - 1_000_000)
    account = replayed(database_url, everything(database))
    assert account.failing.get("bad_structure", 0) >= 1
    assert 48.0 not in [row[2] for row in readings(database)]


def test_silence_is_judged_by_when_each_was_received(database_url: str, database: Database) -> None:
    """What was received far apart is not logged as one batch."""
    found(database, building())
    for minutes in (0, 10, 20):
        for part_us in (0, 1, 4_999_999):
            ago_us = DAY_US - minutes * 60_000_000 - part_us
            put(database, TOPIC, f'{{"power_w": {minutes}}}', "not_json", ago_us=ago_us)
    replayed(database_url, everything(database))
    received = [batch.received_at for batch in read_batches(database, "reader", 100)]
    assert len(received) == 3
    assert [round((late - received[0]).total_seconds() / 60) for late in received] == [0, 10, 20]


def test_many_are_replayed_in_batches_and_a_stop_leaves_the_rest(database_url: str, database: Database) -> None:
    found(database, building())
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quarantine (received_at, topic, payload, reason, detail, digest)"
            " VALUES (now() - %s * interval '10 s', %s, %s, 'not_json', '', %s)",
            [(n, TOPIC, f'{{"power_w": {n}}}'.encode(), n.to_bytes(4)) for n in range(1300)],
        )
    stop = threading.Event()
    with Replay(database_url, "Europe/Kyiv", None) as replay:
        replay.run(everything(database), stop, lambda account: stop.set())
        assert replay.account.read == 500
        with pytest.raises(ReplayRefused, match="another replay is running"):
            Replay(database_url, "Europe/Kyiv", None)
    assert len(entries(database)) == len(readings(database)) + 300 == 800
    assert replayed(database_url, everything(database)).read == 800
    assert (len(entries(database)), len(readings(database))) == (0, 1300)


def test_replay_goes_by_the_formats_that_the_city_has_fixed(database_url: str, database: Database) -> None:
    put(database, "tele/odd/SENSOR", '{"device": "m1", "power_w": 5}', "bad_structure")
    put(database, "cameras/1", b"\xff\xd8", "unknown_envelope")
    kept = put(database, "other", b"\xff\xd8", "unknown_envelope")
    with Replay(database_url, "Europe/Kyiv", None, "tele/odd/#=plain_json, cameras/#=ignore") as replay:
        replay.run(everything(database), threading.Event(), lambda account: None)
    assert (replay.account.read, replay.account.no_reading) == (1, 1)
    assert [(metric, value) for _, metric, value in readings(database)] == [("power_w", 5)]
    assert entries(database) == [(kept, "unknown_envelope")]


def test_replay_goes_on_beside_whoever_drops(database_url: str, database: Database) -> None:
    found(database, building())
    ids = [put(database, TOPIC, f'{{"power_w": {n}}}', "not_json", ago_us=n * 20_000_000) for n in range(200)]
    dropper = threading.Thread(
        target=lambda: [dropped(database_url, (number,)) for number in ids[::3]]  # type: ignore[func-returns-value]
    )
    dropper.start()
    account = replayed(database_url, everything(database))
    dropper.join()
    assert entries(database) == []
    by_hand = gone(database).get(("not_json", "by_hand"), 0)
    assert account.read + by_hand == 200
    assert account.read == gone(database)[("not_json", "replayed")]


def dropped(url: str, ids: tuple[int, ...]) -> int:
    with connect(url, service="test") as connection:
        return quarantine.drop(connection, Selection(2**60, ids=ids))


# limits


def test_what_is_too_old_goes_and_is_counted(database: Database) -> None:
    put(database, TOPIC, "x", "not_json", ago_us=91 * DAY_US)
    put(database, TOPIC, "", "empty", ago_us=95 * DAY_US)
    young = put(database, TOPIC, "y", "not_json", ago_us=89 * DAY_US)
    done = drop_old(database, readings_days=36500, log_days=7, quarantine_days=90)
    assert done["quarantined_messages"] == 2
    assert entries(database) == [(young, "not_json")]
    assert drop_old(database, readings_days=36500, log_days=7, quarantine_days=80)["quarantined_messages"] == 1
    assert gone(database) == {("not_json", "too_old"): 2, ("empty", "too_old"): 1}


def test_one_mad_device_does_not_push_out_the_others(database: Database, new_connection: Connect) -> None:
    """3 MB of a mad device and 100 kB of others into 1 MB."""
    others = [
        put(database, f"misto/d{n % 10}/up", b"x" * 1000, "not_json", ago_us=80 * DAY_US + n, device=f"d{n % 10}")
        for n in range(50)
    ]
    others += [put(database, f"t/{n}", b"x" * 1000, "unknown_envelope", ago_us=85 * DAY_US + n) for n in range(50)]
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quarantine (received_at, topic, payload, reason, detail, device_address, digest)"
            " VALUES (now() - %s * interval '1 s', 'misto/mad/up', %s, 'not_json', '', 'mad', %s)",
            [(n, b"y" * 1000, n.to_bytes(4)) for n in range(3000)],
        )
    limit = QuarantineLimit(1)
    removed = limit.keep(new_connection())
    sizes = quarantine.sizes(database)
    assert 0.85 * 2**20 < sum(its_bytes for _, its_bytes in sizes.values()) <= 2**20
    assert set(others) <= set(dict(entries(database))), "what others sent is older, and stays"
    row = database.execute(
        "SELECT count(*), max(received_at) > now() - interval '1 min', min(received_at) > now() - interval '20 min'"
        " FROM quarantine WHERE device_address = 'mad'"
    ).fetchone()
    assert row == (3000 - removed, True, True), "the newest of the mad one's stay"
    assert gone(database) == {("not_json", "too_much"): removed}
    assert limit.keep(new_connection()) == 0, "not again within a minute"
    assert QuarantineLimit(1).enforce(new_connection()) == 0


def test_the_figures_for_prometheus(database: Database, new_connection: Connect) -> None:
    number = put(database, TOPIC, "x" * 100, "not_json")
    put(database, TOPIC, "", "empty")
    limit = QuarantineLimit(7)
    limit.enforce(new_connection())
    text = generate_latest().decode()
    assert 'misto_keeper_quarantine_messages{reason="not_json"} 1.0' in text
    size = 100 + len(TOPIC) + len("as it was then") + 200
    assert f'misto_keeper_quarantine_bytes{{reason="not_json"}} {size}.0' in text
    assert f"misto_keeper_quarantine_limit_bytes {7.0 * 2**20}" in text.replace("7.340032e+06", str(7.0 * 2**20))
    quarantine.drop(new_connection(), everything(database, ids=(number,)))
    limit.enforce(new_connection())
    text = generate_latest().decode()
    assert 'misto_keeper_quarantine_messages{reason="not_json"} 0.0' in text
    assert 'misto_keeper_quarantine_removed_total{cause="by_hand",reason="not_json"} 1.0' in text


# schema and roles


def test_a_database_that_had_messages_is_migrated_to_the_same_schema(
    empty_database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def until_seven(edition: store.migrate.Edition) -> list[store.migrate.Migration]:
        return [migration for migration in migrations(edition) if migration.version <= 7]

    with monkeypatch.context() as patch:
        patch.setattr(store.migrate, "migrations", until_seven)
        migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as old:
        old.execute(
            "INSERT INTO quarantine (received_at, topic, payload, reason, detail, digest)"
            " VALUES (now(), 't', 'x', 'not_json', 'd', 'd')"
        )
        migrate(empty_database_url)
        assert old.execute("SELECT topic, retained FROM quarantine").fetchall() == [("t", False)]
        assert described(old) == described(database)


def described(connection: Database) -> list[tuple[Any, ...]]:
    """Columns, indexes and rights of what belongs to the quarantine."""
    found: list[tuple[Any, ...]] = []
    for query in (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_name LIKE 'quarantine%' ORDER BY 1, ordinal_position",
        "SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'quarantine%' ORDER BY 1",
        "SELECT grantee, table_name, column_name, privilege_type FROM information_schema.column_privileges"
        " WHERE table_name LIKE 'quarantine%' AND grantee LIKE 'misto\\_%' ORDER BY 1, 2, 3, 4",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid::regclass::text LIKE 'quarantine%'"
        " ORDER BY 1",
        "SELECT pg_get_viewdef('quarantine_entry'::regclass)",
    ):
        found += connection.execute(query).fetchall()
    assert len(found) > 40
    return found


def test_nobody_gets_more_than_it_needs(database_url: str, database: Database) -> None:
    put(database, TOPIC, "x", "not_json")
    for role in ("misto_ingest", "misto_rules", "misto_board", "misto_read"):
        with psycopg.connect(as_role(database_url, database, role), autocommit=True) as its:
            assert its.execute("SELECT count(*) FROM quarantine WHERE received_at < now()").fetchone() == (1,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                its.execute("DELETE FROM quarantine")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                its.execute("UPDATE quarantine_gone SET messages = 0")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                its.execute("UPDATE quarantine SET reason = 'x'")
            if role == "misto_board":
                assert quarantine.payloads(its, [1], 5) == {1: b"x"}
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    its.execute("SELECT payload FROM quarantine")


def test_the_role_of_ingest_still_writes(database_url: str, database: Database) -> None:
    with connect(as_role(database_url, database, "misto_ingest"), service="test") as its:
        nothing = ReadingBatch(
            np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int16), np.empty(0, np.float64),
            np.empty(0, np.int16), time.time(),
        )  # fmt: skip
        nothing.unreadable = [Unreadable(Source("t", b"x", 1.77e9), "not_json", "no JSON")]
        for _ in range(2):
            ReadingWriter(its).write(nothing)
    assert len(entries(database)) == 1


# the board


@contextmanager
def board(url: str) -> Iterator[httpx.Client]:
    with (
        serve(make_app(BoardConfig(url, default_language="en")), "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as browser,
    ):
        yield browser


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


@pytest.mark.parametrize("language", ["en", "uk"])
def test_pages_of_the_board(database_url: str, database: Database, language: str) -> None:
    found(database, building())
    secret = put(
        database, TOPIC, '{"power_w": "x", "appKey": "0011223344"}', "bad_value", ago_us=60_000_000, device=METER
    )
    binary = put(database, "misto/<script>/up", b"\xff\xfe\x00\x01", "not_json", ago_us=2 * 3_600_000_000)
    put(database, "old/topic", "{}", "unknown_envelope", ago_us=30 * DAY_US)
    odd = put(database, "t", "\u202ex", "<b>odd</b>", ago_us=10)
    with board(as_role(database_url, database, "misto_board")) as browser:
        page = browser.get("/devices/quarantine", params={"lang": language})
        assert page.status_code == 200, page.text[:500]
        text = words(page.text)
        assert ("Unreadable messages" if language == "en" else "Нерозпізнані повідомлення") in text
        assert METER in text
        assert "old/topic" not in text
        assert "0011223344" not in page.text
        assert "ff fe 00 01" in text
        assert "<script>/up" not in page.text
        assert "<b>odd" not in page.text
        assert "old/topic" in words(browser.get("/devices/quarantine?period=all").text)
        only = words(browser.get(f"/devices/quarantine?reason=bad_value&device={METER}").text).partition("Newest")
        chosen = browser.get(f"/devices/quarantine?reason=bad_value&device={METER}&lang={language}").text
        rows = re.findall(r'<tr id="unread-(\d+)"', chosen)
        assert rows == [str(secret)]
        assert ("What to do" if language == "en" else "Що робити") in words(chosen)
        assert only[1] or language == "uk"
        for period in ("hour", "day", "week", "all", "%00", "x"):
            assert browser.get(f"/devices/quarantine?period={period}&reason=%00&device=%00").status_code == 200
        for number in (secret, binary, odd):
            one = browser.get(f"/devices/quarantine/{number}", params={"lang": language})
            assert one.status_code == 200
            assert "0011223344" not in one.text
            assert "<script>/up" not in one.text
            assert "\u202e" not in one.text
        assert '"appKey": "***"' in unescape(browser.get(f"/devices/quarantine/{secret}").text)
        for missing in ("999999", str(10**30), "-1", "x"):
            assert browser.get(f"/devices/quarantine/{missing}").status_code == 404
        assert "0011223344" not in browser.get("/devices").text


def test_a_board_that_may_not_read_contents_shows_the_rest(database_url: str, database: Database) -> None:
    number = put(database, TOPIC, "some content", "not_json", ago_us=1, device=METER)
    url = as_role(database_url, database, "misto_board")
    database.execute("REVOKE SELECT ON quarantine FROM misto_board")
    database.execute("GRANT SELECT (quarantine_id, received_at, reason) ON quarantine TO misto_board")
    with board(url) as browser:
        for path in ("/devices", "/devices/quarantine", f"/devices/quarantine/{number}"):
            page = browser.get(path)
            assert page.status_code == 200, path
            assert "some content" not in page.text
            assert "as it was then" in page.text
        assert "may not read contents" in page.text


def test_a_flood_hides_no_others_and_is_not_counted_to_its_end(database_url: str, database: Database) -> None:
    put(database, "t/rare", "x", "unknown_profile", ago_us=3_600_000_000)
    database.execute(
        "INSERT INTO quarantine (received_at, topic, payload, reason, detail, digest)"
        " SELECT now() - n * interval '1 ms', 'flood/' || n % 500, 'x', 'not_json', '', n::text::bytea"
        " FROM generate_series(1, 100000) AS n"
    )
    database.execute("ANALYZE quarantine")
    with board(database_url) as browser:
        page = browser.get("/devices/quarantine?reason=unknown_profile")
        assert "t/rare" in words(page.text)
        assert "2,000+" in words(browser.get("/devices").text)
