"""The registry of devices on a real database: suggestions, claims, swaps, and the inventory that comes after them."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import httpx
import numpy as np
import psycopg
import pytest

from catalogue.inventory import Inventory
from dashboards.board.app import make_app
from dashboards.board.pages.claim import best_match
from dashboards.board.server import serve
from dashboards.board.visit import BoardConfig
from ingest.registry import CachedRegistry
from misto.keeper import Keeper, KeeperConfig
from store import devices
from store.connection import connect
from store.devices import DeviceRefused
from store.inventory_diff import file_of
from store.registry import load_registry, read_city, register_unclaimed, sync_inventory
from store.writer import ReadingBatch, ReadingWriter
from tests.cities import bins, building, found, inventory

Connect = Callable[[], psycopg.Connection[Any]]
Database = psycopg.Connection[Any]
ENERGY = 1
NOW_S = time.time() // 3600 * 3600
NEVER, ALWAYS = float("inf"), float("-inf")


def batch(rows: list[tuple[float, int, float]]) -> ReadingBatch:
    """Energy readings of (time in seconds, point, value)."""
    at, points, values = zip(*rows, strict=True)
    return ReadingBatch(
        (np.array(at) * 1e6).astype(np.int64), np.array(points, np.int32), np.full(len(at), ENERGY, np.int16),
        np.array(values, np.float64), np.zeros(len(at), np.int16), time.time(),
    )  # fmt: skip


def write(connection: Database, point: int, *readings: tuple[float, float]) -> None:
    """Store readings of (hours from now, value)."""
    ReadingWriter(connection).write(batch([(NOW_S + hours * 3600, point, value) for hours, value in readings]))


def moment(hours: float) -> datetime:
    return datetime.fromtimestamp(NOW_S + hours * 3600, UTC)


def unclaimed(connection: Database, address: str, kind: str = "electricity", **guess: Any) -> int:
    """An unclaimed device; returns its placeholder."""
    device = register_unclaimed(connection, address, profile=None, kind=kind, guess=guess)
    connection.commit()
    return device.assignments[0].point_id


def derive(url: str, connection: Database) -> None:
    keeper = Keeper(KeeperConfig(url, 36500, 7, 90), threading.Event())
    while keeper.derive(connection):
        pass


def consumed(database: Database, code: str) -> float:
    row = database.execute(
        "SELECT coalesce(sum(amount), 0) FROM consumption_hourly JOIN point USING (point_id) WHERE code = %s", [code]
    ).fetchone()
    assert row is not None
    return float(row[0])


def spans(database: Database, address: str) -> list[tuple[str, float, float, bool]]:
    """(point, from, to, by hand) with hours from now."""
    rows = database.execute(
        "SELECT p.code, (extract(epoch FROM a.valid_from) - %(now)s) / 3600,"
        " (extract(epoch FROM a.valid_to) - %(now)s) / 3600, a.by_hand"
        " FROM assignment AS a JOIN device AS d USING (device_id) JOIN point AS p USING (point_id)"
        " WHERE d.address = %(address)s ORDER BY a.valid_from",
        {"now": NOW_S, "address": address},
    ).fetchall()
    return [(row[0], round(float(row[1]), 3), round(float(row[2]), 3), row[3]) for row in rows]


def state(database: Database, address: str) -> str | None:
    row = database.execute("SELECT state FROM device WHERE address = %s", [address]).fetchone()
    return row[0] if row is not None else None


def times_at(database: Database, code: str) -> list[float]:
    rows = database.execute(
        "SELECT (extract(epoch FROM time) - %s) / 3600 FROM readings JOIN point USING (point_id)"
        " WHERE code = %s ORDER BY time",
        [NOW_S, code],
    ).fetchall()
    return [float(row[0]) for row in rows]


def lines(change: Any) -> list[str]:
    return [" ".join(str(difference).split()) for difference in change.differences]


# suggestions


def registry_of(database_url: str) -> CachedRegistry:
    return CachedRegistry(lambda: connect(database_url, service="test"))


def guess_of(database: Database, address: str) -> Any:
    row = database.execute("SELECT guess FROM device WHERE address = %s", [address]).fetchone()
    return row[0] if row is not None else None


def test_what_a_device_tells_before_it_sends_makes_no_point(
    database_url: str, database: Database, new_connection: Connect
) -> None:
    registry = registry_of(database_url)
    registry.announced("m-7", {"maker": "Kamstrup", "kind": "water", "site": "School", "envelope": "spoofed"})
    assert guess_of(database, "m-7") is None  # nothing waits for the database
    registry.suggestions.write(new_connection())
    assert guess_of(database, "m-7") == {"maker": "Kamstrup", "kind": "water", "site": "School"}
    assert database.execute("SELECT count(*) FROM point").fetchone() == (0,)
    registry.reload(database)
    assert registry.device("m-7") is None
    (row,) = devices.list_devices(database, ["unclaimed"])
    assert (row["point_id"], row["first_seen_at"], devices.seeming(row).kind) == (None, None, "water")

    # The first reading gives it a point, and what it told stays.
    its = registry.unclaimed("m-7", None, "weather", {"envelope": "sparkplug_b", "metrics": ["water_m3"]})
    assert len(its.assignments) == 1
    (row,) = devices.list_devices(database, ["unclaimed"])
    seems = devices.seeming(row)
    assert (seems.kind, seems.envelope, seems.metrics) == ("water", "sparkplug_b", ("water_m3",))
    assert seems.facts["maker"] == "Kamstrup"
    assert row["first_seen_at"] is not None
    registry.reload(database)
    assert registry.device("m-7") is not None


def test_facts_are_merged_at_most_once_an_hour(
    database_url: str, database: Database, new_connection: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_of(database_url)
    suggestions, connection = registry.suggestions, new_connection()
    clock = [0.0]
    monkeypatch.setattr(suggestions, "_clock", lambda: clock[0])
    registry.announced("m", {"name": "cellar"})
    assert suggestions.write(connection) == 1
    registry.announced("m", {"name": "cellar"})
    assert suggestions.write(connection) == 0
    registry.announced("m", {"name": "attic"})
    registry.announced("m", {"serial": "\0" + "9" * 500})
    clock[0] = 3599
    assert suggestions.write(connection) == 0
    clock[0] = 3601
    assert suggestions.write(connection) == 1
    connection.commit()
    guess = guess_of(database, "m")
    assert (guess["name"], len(guess["serial"])) == ("attic", 200)


def test_suggestions_are_bounded_and_kept_while_the_database_is_away(
    database_url: str, new_connection: Connect
) -> None:
    registry = registry_of(database_url)
    for number in range(12_000):
        registry.announced(f"m-{number}", {str(fact): "x" for fact in range(100)})
    waiting = registry.suggestions._waiting
    assert len(waiting) == 10_000
    assert {len(told) for told in waiting.values()} == {16}
    broken = new_connection()
    broken.close()
    with pytest.raises(psycopg.OperationalError):
        registry.suggestions.write(broken)
    assert registry.suggestions.write(new_connection()) == 10_000


def test_channels_get_what_their_device_tells(database_url: str, database: Database, new_connection: Connect) -> None:
    registry, connection = registry_of(database_url), new_connection()
    registry.announced("node/pump", {"site": "School"})
    registry.suggestions.write(connection)
    connection.commit()
    registry.unclaimed("node/pump/l1", None, "electricity", {"envelope": "x"})
    registry.announced("node/pump", {"maker": "ABB", "tags": "l1"})
    registry.suggestions._clock = lambda: time.monotonic() + 7200
    registry.suggestions.write(connection)
    connection.commit()
    assert guess_of(database, "node/pump/l1") == {"site": "School", "maker": "ABB", "tags": "l1", "envelope": "x"}
    assert [row["address"] for row in devices.list_devices(database, ["unclaimed"])] == ["node/pump/l1"]


def test_the_role_of_ingest_may_do_that_and_no_more(database_url: str, database: Database) -> None:
    found(database, building())
    database.execute("ALTER ROLE misto_ingest PASSWORD 'for-this-test'")
    registry = registry_of(as_role(database_url, "misto_ingest"))
    registry.announced("m", {"name": "cellar"})
    with connect(as_role(database_url, "misto_ingest"), service="test") as connection:
        registry.suggestions.write(connection)
        connection.commit()
        registry.unclaimed("m", None, "water", {"envelope": "x"})
        assert devices.settle_placed(connection) == 0
        connection.commit()
        for statement in (
            "UPDATE device SET state = 'claimed'",
            "DELETE FROM readings",
            "SELECT place_device('m', '', 'school-water', NULL, NULL, NULL)",
            "SELECT claim_unclaimed(1, 'school-water')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
            connection.rollback()


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:for-this-test@{parts.netloc.rpartition('@')[2]}"))


def test_the_role_of_the_board_claims_what_is_unclaimed_and_nothing_else(database_url: str, database: Database) -> None:
    found(database, building("school", electricity={}, water={"devices": []}))
    unclaimed(database, "new", "water")
    database.execute("ALTER ROLE misto_board PASSWORD 'for-this-test'")
    ids = dict(database.execute("SELECT address, device_id FROM device").fetchall())
    with psycopg.connect(as_role(database_url, "misto_board"), autocommit=True) as board:
        with pytest.raises(DeviceRefused) as refused:
            devices.claim_unclaimed(board, ids["school-electricity-meter"], "school-water")
        assert refused.value.why == "not_unclaimed"
        with pytest.raises(DeviceRefused) as refused:
            devices.claim_unclaimed(board, ids["new"], "school-electricity")
        assert (refused.value.why, refused.value.about) == ("occupied", "school-electricity-meter")
        assert devices.add_point(board, "school", "gas") == "school-gas"
        assert devices.add_point(board, "school", "gas") == "school-gas-2"
        for site, kind, fraction, code, why in (
            ("nowhere", "gas", None, None, "no_site"),
            ("school", "gas", None, "school-gas", "code_taken"),
            ("school", "bin", None, None, "wrong_point"),
            ("school", "gas", "paper", None, "wrong_point"),
            ("school", "gas", None, "Ї; DROP", "wrong_point"),
        ):
            with pytest.raises(DeviceRefused) as refused:
                devices.add_point(board, site, kind, fraction=fraction, code=code)
            assert refused.value.why == why
        devices.claim_unclaimed(board, ids["new"], "school-water")
        assert state(database, "new") == "claimed"
        for statement in (
            "UPDATE device SET state = 'claimed'",
            "INSERT INTO point (code, site_id, kind, interval_s) VALUES ('x', 'school', 'gas', 900)",
            "UPDATE assignment SET valid_to = now()",
            "DELETE FROM readings",
            "SELECT place_device('m', '', 'school-water', NULL, NULL, NULL)",
            "SELECT move_readings(1, 2, '-infinity', 'infinity')",
            "SELECT settle_placed_devices()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                board.execute(statement)


# claims


def test_a_claimed_device_brings_its_readings(database_url: str, database: Database, new_connection: Connect) -> None:
    found(database, building("school", electricity={"devices": []}))
    connection = new_connection()
    placeholder = unclaimed(connection, "new")
    write(connection, placeholder, (-5, 100), (-4, 102), (-3, 105))
    derive(database_url, new_connection())
    assert devices.claim(connection, "new", "school-electricity") == 3
    connection.commit()
    derive(database_url, new_connection())
    assert consumed(database, "school-electricity") == pytest.approx(5)
    assert spans(database, "new") == [("school-electricity", ALWAYS, NEVER, True)]
    assert state(database, "new") == "claimed"
    assert database.execute("SELECT count(*) FROM point_latest WHERE point_id = %s", [placeholder]).fetchone() == (0,)
    # What was on its way to the placeholder follows.
    write(connection, placeholder, (-2, 106))
    assert devices.settle_placed(connection) == 1
    connection.commit()
    assert times_at(database, "school-electricity") == [-5, -4, -3, -2]
    (assignment,) = load_registry(database)["new"].assignments
    assert assignment.valid_from == ALWAYS


def test_a_claim_after_a_release_counts_from_its_register(
    database_url: str, database: Database, new_connection: Connect
) -> None:
    """The new meter's readings were derived before anybody said that it follows the old one."""
    point = found(database, building())["school-electricity"]
    connection = new_connection()
    write(connection, point, (-6, 100), (-5, 104))
    devices.release(connection, OLD)
    connection.execute("UPDATE assignment SET valid_to = %s WHERE point_id = %s", [moment(-4), point])
    write(connection, unclaimed(connection, "new"), (-3, 95), (-2, 96))
    derive(database_url, new_connection())
    devices.claim(connection, "new", "school-electricity", since=moment(-4), register_start=93)
    connection.commit()
    derive(database_url, new_connection())
    assert consumed(database, "school-electricity") == pytest.approx(4 + 2 + 1)


def test_readings_from_before_a_claims_date_stay_away(database: Database, new_connection: Connect) -> None:
    found(database, building("school", electricity={"devices": []}))
    connection = new_connection()
    write(connection, unclaimed(connection, "new"), (-5, 900), (-4, 901), (-3, 0), (-2, 1))
    assert devices.claim(connection, "new", "school-electricity", since=moment(-3.5)) == 2
    connection.commit()
    assert times_at(database, "school-electricity") == [-3, -2]


def test_a_channel_is_claimed_under_either_name(database: Database, new_connection: Connect) -> None:
    found(database, building("school", electricity={"devices": []}, water={"devices": []}))
    connection = new_connection()
    write(connection, unclaimed(connection, "em/l1"), (-3, 1))
    write(connection, unclaimed(connection, "em/l2"), (-2, 1))
    assert devices.claim(connection, "em", "school-electricity", channel="l1") == 1
    assert devices.claim(connection, "em/l2", "school-water") == 1
    connection.commit()
    assert state(database, "em/l1") == "retired"
    assert [row["address"] for row in devices.list_devices(database, ["unclaimed"])] == []
    known = load_registry(database)
    assert [assignment.channel for assignment in known["em"].assignments] == ["l1"]


def test_a_claim_that_cannot_be_is_refused_and_leaves_nothing(database: Database) -> None:
    found(database, building(), building("other"))
    unclaimed(database, "new")
    for address, point, since, why in (
        ("new", "nowhere", None, "no_point"),
        ("new", "unclaimed:new", None, "no_point"),
        ("new", "school-electricity", None, "occupied"),
        ("school-electricity-meter", "school-electricity", None, "occupied"),
        ("new", "school-electricity", moment(24), "future"),
        ("never-heard", "nowhere", None, "no_point"),
    ):
        with pytest.raises(DeviceRefused) as refused:
            devices.claim(database, address, point, since=since)
        assert refused.value.why == why
    devices.release(database, "other-water-meter")
    with pytest.raises(DeviceRefused) as refused:
        devices.claim(database, "school-electricity-meter", "other-water")
    assert (refused.value.why, refused.value.about) == ("elsewhere", "school-electricity")
    assert state(database, "never-heard") is None
    assert state(database, "new") == "unclaimed"


def test_a_released_device_is_kept_and_can_come_back(
    database_url: str, database: Database, new_connection: Connect
) -> None:
    points = found(database, building("school", electricity={}, water={"devices": []}))
    connection = new_connection()
    address = "school-electricity-meter"
    write(connection, points["school-electricity"], (-5, 100), (-4, 104))
    assert devices.release(connection, address) == ["school-electricity"]
    connection.commit()
    assert state(database, address) == "unclaimed"
    (row,) = devices.list_devices(database, ["unclaimed"])
    assert row["placeholder_kind"] == "electricity"
    newest = load_registry(database)[address].assignments[0]
    assert newest.valid_to == NEVER
    with pytest.raises(DeviceRefused):
        devices.release(connection, address)
    connection.rollback()
    write(connection, newest.point_id, (1, 106))  # what it sends now
    assert devices.claim(connection, address, "school-electricity") == 1
    connection.commit()
    # Nobody else was there: it has been there all the time, and nothing of its consumption is lost.
    assert spans(database, address) == [("school-electricity", ALWAYS, NEVER, True)]
    derive(database_url, new_connection())
    assert consumed(database, "school-electricity") == pytest.approx(6)


# swaps

OLD = "school-electricity-meter"


@pytest.mark.parametrize(
    ("registers", "total"),
    [({"register_end": 105.0, "register_start": 3.0}, 8), ({}, 5), ({"register_end": 105.0}, 6)],
)
@pytest.mark.parametrize("late", [False, True], ids=["in-time", "told-late"])
def test_consumption_across_a_swap(
    database_url: str,
    database: Database,
    new_connection: Connect,
    registers: dict[str, float],
    total: float,
    late: bool,
) -> None:
    point = found(database, building())["school-electricity"]
    connection = new_connection()
    write(connection, point, (-6, 100), (-5, 104))
    if late:
        write(connection, unclaimed(connection, "new"), (-8, 900), (-3, 5), (-2, 6))
        derive(database_url, new_connection())
    done = devices.swap(connection, "school-electricity", "new", at=moment(-4), **registers)
    connection.commit()
    assert (done.old_address, done.moved) == (OLD, 2 if late else 0)
    if not late:
        write(connection, point, (-3, 5), (-2, 6))
    derive(database_url, new_connection())
    # 4 until the old one's last reading, 1 to its end, 2 from the new one's start, 1 after.
    assert consumed(database, "school-electricity") == pytest.approx(total)
    assert spans(database, OLD) == [("school-electricity", ALWAYS, -4, True)]
    assert spans(database, "new") == [("school-electricity", -4, NEVER, True)]
    assert state(database, OLD) == "retired"


def test_a_swap_that_is_told_when_its_readings_are_there_already(
    database_url: str, database: Database, new_connection: Connect
) -> None:
    """Two meters under one address: the fall looked like a reset until the registers were told."""
    point = found(database, building())["school-electricity"]
    connection = new_connection()
    write(connection, point, (-6, 100), (-5, 104), (-3, 50), (-2, 51))
    derive(database_url, new_connection())
    assert consumed(database, "school-electricity") == pytest.approx(4 + 50 + 1)
    swapped = [
        {"address": OLD, "valid_to": moment(-4).isoformat(), "register_end": 105},
        {"address": OLD, "valid_from": moment(-4).isoformat(), "register_start": 48},
    ]
    sync_inventory(connection, inventory(building("school", electricity={"devices": swapped}, water={})))
    connection.commit()
    derive(database_url, new_connection())
    assert consumed(database, "school-electricity") == pytest.approx(4 + 1 + 2 + 1)


def test_without_a_time_a_swap_is_when_the_new_one_was_first_heard(database: Database, new_connection: Connect) -> None:
    point = found(database, building())["school-electricity"]
    connection = new_connection()
    write(connection, point, (-6, 100), (-5, 104))
    write(connection, unclaimed(connection, "new"), (-7, 0), (-3, 1), (-2, 2))
    done = devices.swap(connection, "school-electricity", "new")
    assert (done.at, done.moved) == (moment(-3), 2)
    connection.commit()
    assert times_at(database, "school-electricity") == [-6, -5, -3, -2]
    again = devices.swap(connection, "school-electricity", "third")
    assert datetime.now(UTC) - again.at < timedelta(minutes=1)
    connection.commit()


def test_a_swap_that_cannot_be_is_refused(database: Database) -> None:
    found(database, building("school", electricity={}, water={"devices": []}), building("other"))
    for point, address, at, why in (
        ("nowhere", "new", None, "no_point"),
        ("school-water", "new", None, "empty"),
        ("school-electricity", OLD, None, "same"),
        ("school-electricity", "new", moment(24), "future"),
        ("school-electricity", "other-water-meter", None, "elsewhere"),
    ):
        with pytest.raises(DeviceRefused) as refused:
            devices.swap(database, point, address, at=at)
        assert refused.value.why == why
    devices.swap(database, "school-electricity", "new", at=moment(-4))
    with pytest.raises(DeviceRefused) as refused:
        devices.swap(database, "school-electricity", "newer", at=moment(-5))
    assert refused.value.why == "before"
    assert spans(database, "newer") == []


# the inventory after them


def test_what_was_made_by_hand_survives_a_file_that_does_not_know_it(
    database: Database, new_connection: Connect
) -> None:
    city = inventory(building(), bins(2))
    connection = new_connection()
    sync_inventory(connection, city)
    unclaimed(connection, "gas-new", "gas")
    devices.swap(connection, "school-electricity", "new", at=moment(-4), register_end=104.0)
    devices.add_point(connection, "school", "gas")
    devices.claim(connection, "gas-new", "school-gas")
    devices.release(connection, "dev-0")
    connection.commit()
    before = (spans(database, OLD), spans(database, "new"), spans(database, "gas-new"), spans(database, "dev-0"))
    change = sync_inventory(connection, city)
    connection.commit()
    assert lines(change) == [
        "by hand point school-gas: at the site school",
        f"by hand device {OLD} at school-electricity: since ever until {kyiv(-4)}",
        f"by hand device dev-0 at bin-0: since ever until {change.differences[2].detail[-25:]}",
        f"by hand device new at school-electricity: since {kyiv(-4)}",
        "by hand device gas-new at school-gas: since ever",
    ]
    assert before == (
        spans(database, OLD),
        spans(database, "new"),
        spans(database, "gas-new"),
        spans(database, "dev-0"),
    )
    assert [state(database, each) for each in (OLD, "new", "gas-new", "dev-0")] == [
        "retired", "claimed", "claimed", "unclaimed",
    ]  # fmt: skip

    # The export knows it all: loading it changes nothing but the mark.
    export = Inventory.model_validate(file_of(read_city(database)))
    assert lines(sync_inventory(connection, export)) == []
    connection.commit()
    assert database.execute("SELECT count(*) FROM assignment WHERE by_hand").fetchone() == (0,)
    assert spans(database, "new") == [("school-electricity", -4, NEVER, False)]
    assert database.execute("SELECT bool_or(by_hand), bool_or(retired) FROM point WHERE site_id IS NOT NULL").fetchone() == (False, False)  # fmt: skip
    change = sync_inventory(connection, city)
    assert "retired point school-gas" in lines(change)


def kyiv(hours: float) -> str:
    return moment(hours).astimezone(ZoneInfo("Europe/Kyiv")).isoformat()


def test_exact_takes_it_back(database: Database, new_connection: Connect) -> None:
    city = inventory(building())
    connection = new_connection()
    sync_inventory(connection, city)
    devices.swap(connection, "school-electricity", "new", at=moment(-4))
    devices.add_point(connection, "school", "gas")
    devices.claim(connection, "gas-new", "school-gas")
    connection.commit()
    dry = lines(sync_inventory(connection, city, exact=True, dry_run=True))
    connection.commit()
    assert state(database, "new") == "claimed"
    assert lines(sync_inventory(connection, city, exact=True)) == dry
    connection.commit()
    assert [line.split(",")[0].split(": since")[0] for line in dry] == [
        "retired point school-gas",
        f"swapped point school-electricity: new → {OLD}",
        "retired device gas-new at school-gas: it ends now",
    ]
    assert [state(database, each) for each in (OLD, "new", "gas-new")] == ["claimed", "retired", "retired"]
    first, second = spans(database, OLD)
    assert first[:3] == ("school-electricity", ALWAYS, -4)
    assert second[1] == spans(database, "new")[0][2]
    assert second[2] == NEVER


def test_the_file_wins_where_it_names_the_device_elsewhere(database: Database, new_connection: Connect) -> None:
    connection = new_connection()
    sync_inventory(connection, inventory(building("school", electricity={"devices": []}, water={"devices": []})))
    unclaimed(connection, "new")
    devices.claim(connection, "new", "school-electricity")
    connection.commit()
    change = sync_inventory(
        connection,
        inventory(building("school", electricity={"devices": []}, water={"devices": [{"address": "new"}]})),
    )
    connection.commit()
    (line,) = lines(change)
    assert line.startswith("moved device new: school-electricity → school-water, since ")
    first, second = spans(database, "new")
    assert (first[0], second[0], first[2]) == ("school-electricity", "school-water", second[1])


def test_a_device_replaced_in_the_file_without_dates_begins_now(
    database_url: str, database: Database, new_connection: Connect
) -> None:
    connection = new_connection()
    sync_inventory(connection, inventory(building()))
    connection.commit()
    point = found_id(database, "school-electricity")
    write(connection, point, (-6, 100), (-5, 104))
    write(connection, unclaimed(connection, "new"), (-3, 5), (-2, 6))
    other = inventory(building("school", electricity={"devices": [{"address": "new"}]}, water={}))
    assert lines(sync_inventory(connection, other, dry_run=True)) == [
        f"swapped point school-electricity: {OLD} → new, since {kyiv(-3)}"
    ]
    assert spans(database, OLD) == [("school-electricity", ALWAYS, NEVER, False)]
    sync_inventory(connection, other)
    connection.commit()
    assert spans(database, OLD) == [("school-electricity", ALWAYS, -3, False)]
    assert spans(database, "new") == [("school-electricity", -3, NEVER, False)]
    derive(database_url, new_connection())
    assert consumed(database, "school-electricity") == pytest.approx(5)
    assert lines(sync_inventory(connection, other)) == []
    # And back again: a new time there, the old ones stay.
    sync_inventory(connection, inventory(building()))
    connection.commit()
    assert spans(database, OLD)[0][:2] == ("school-electricity", ALWAYS)
    assert len(spans(database, OLD)) == 2
    assert lines(sync_inventory(connection, inventory(building()))) == []


def found_id(database: Database, code: str) -> int:
    row = database.execute("SELECT point_id FROM point WHERE code = %s", [code]).fetchone()
    assert row is not None
    return int(row[0])


def test_a_dry_run_lists_every_change_and_makes_none(database: Database, new_connection: Connect) -> None:
    connection = new_connection()
    first = sync_inventory(connection, inventory(building(), bins(2)))
    connection.commit()
    assert "added point bin-0: at the site stand" in lines(first)
    assert "added device dev-0 at bin-0: since ever" in lines(first)
    stand = bins(3, interval="15m")
    stand["points"] = stand["points"][1:]
    stand["points"][0]["contractor"] = None
    other = inventory(building(), building("library", water={}), stand)
    before = dump(database)
    dry = sync_inventory(connection, other, dry_run=True)
    connection.commit()
    assert dump(database) == before
    assert lines(dry) == [
        "added site library: Library",
        "added point library-water: at the site library",
        "changed point bin-1: interval 30m → 15m, contractor clean → —",
        "added point bin-2: at the site stand",
        "retired point bin-0",
        "added device library-water-meter at library-water: since ever",
        "added device dev-2 at bin-2: since ever",
        "retired device dev-0 at bin-0: it ends now",
    ]
    assert lines(sync_inventory(connection, other)) == lines(dry)
    connection.commit()
    assert lines(sync_inventory(connection, other)) == []
    back = lines(sync_inventory(connection, inventory(building(), bins(2))))
    assert "restored point bin-0" in back
    assert "retired site library" in back


def dump(database: Database) -> list[Any]:
    return [
        database.execute(f"SELECT t::text FROM {table} AS t ORDER BY 1").fetchall()
        for table in ("city", "zone", "contractor", "tariff", "site", "point", "device", "assignment")
    ]


def test_a_date_that_is_mended_mends_the_row(database: Database, new_connection: Connect) -> None:
    connection = new_connection()

    def load(at: float) -> list[str]:
        swapped = [
            {"address": OLD, "valid_to": moment(at).isoformat()},
            {"address": "new", "valid_from": moment(at).isoformat()},
        ]
        change = sync_inventory(connection, inventory(building("school", electricity={"devices": swapped})))
        connection.commit()
        return lines(change)

    load(-4)
    assert load(-6) == [
        f"changed device {OLD} at school-electricity: valid_to {kyiv(-4)} → {kyiv(-6)}",
        f"changed device new at school-electricity: valid_from {kyiv(-4)} → {kyiv(-6)}",
    ]
    assert spans(database, "new") == [("school-electricity", -6, NEVER, False)]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_done_every_point_has_one_device_at_a_time(
    database: Database, new_connection: Connect, seed: int
) -> None:
    """Files, claims, swaps and releases in any order: no two at a point, none at two, and a load is done once."""
    chance = random.Random(seed)
    connection = new_connection()
    addresses = ["a", "b", "c", "d"]

    def some_city() -> Inventory:
        free = chance.sample(addresses, 4)
        points: dict[str, Any] = {}
        for kind in chance.sample(["electricity", "water", "gas"], 2):
            listed = [{"address": free.pop()} for _ in range(chance.choice([0, 1, 1, 2]))]
            if len(listed) == 2:
                listed[0]["valid_to"] = listed[1]["valid_from"] = moment(-chance.randrange(1, 9)).isoformat()
            points[kind] = {"devices": listed}
        return inventory(building("school", **points))

    city = some_city()
    for _ in range(30):
        done = chance.choice(["load", "reload", "export", "exact", "swap", "claim", "release"])
        address, code = chance.choice(addresses), "school-" + chance.choice(["electricity", "water", "gas"])
        at = chance.choice([None, moment(-chance.randrange(0, 9))])
        try:
            if done in ("load", "reload", "exact"):
                city = some_city() if done == "load" else city
                sync_inventory(connection, city, exact=done == "exact")
                connection.commit()
                again = lines(sync_inventory(connection, city))
                assert [line for line in again if not line.startswith("by hand")] == []
                assert done != "exact" or again == []
            elif done == "export":
                export = (
                    Inventory.model_validate(file_of(read_city(connection))) if read_city(connection).city else city
                )
                sync_inventory(connection, export)
                assert lines(sync_inventory(connection, export)) == []
            elif done == "swap":
                devices.swap(connection, code, address, at=at)
            elif done == "claim":
                devices.claim(connection, address, code, since=at)
            else:
                devices.release(connection, address)
            connection.commit()
        except DeviceRefused:
            connection.rollback()
        double = database.execute(
            "SELECT a, b FROM assignment AS a JOIN assignment AS b ON a.assignment_id < b.assignment_id"
            " AND (a.point_id = b.point_id OR (a.device_id, a.channel) = (b.device_id, b.channel))"
            " AND a.valid_from < b.valid_to AND b.valid_from < a.valid_to"
        ).fetchall()
        assert double == [], f"after {done}"
        claimed = database.execute(
            "SELECT d.address FROM device AS d WHERE (d.state = 'claimed') <> EXISTS (SELECT FROM assignment AS a"
            " JOIN point AS p USING (point_id) WHERE a.device_id = d.device_id AND p.site_id IS NOT NULL"
            " AND NOT p.retired AND a.valid_to > now())"
        ).fetchall()
        assert claimed == [], f"after {done}"


# the board


@pytest.fixture
def board(database_url: str, database: Database) -> Iterator[httpx.Client]:
    """A browser without scripts at a board that has its own role's rights."""
    database.execute("ALTER ROLE misto_board PASSWORD 'for-this-test'")
    config = BoardConfig(as_role(database_url, "misto_board"), default_language="en")
    with (
        serve(make_app(config), "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as browser,
    ):
        yield browser


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def chosen(html: str, name: str) -> str | None:
    """What is preselected in a select."""
    select = re.search(rf'<select name="{name}".*?</select>', html, re.DOTALL)
    assert select is not None
    value = re.search(r'<option value="([^"]*)" selected', select[0])
    return value[1] if value is not None else None


def send(board: httpx.Client, device_id: int, **fields: str) -> httpx.Response:
    page = board.get(f"/devices/{device_id}").text
    match = re.search(r'name="token" value="([^"]+)"', page)
    fields.setdefault("token", match[1] if match else "")
    origin = fields.pop("origin", str(board.base_url).rstrip("/"))
    return board.post(f"/devices/{device_id}/claim", data=fields, headers={"Origin": origin})


def id_of(database: Database, address: str) -> int:
    row = database.execute("SELECT device_id FROM device WHERE address = %s", [address]).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("language", ["en", "uk"])
def test_the_board_lists_what_devices_seem_to_be_with_the_form_filled(
    board: httpx.Client, database_url: str, database: Database, new_connection: Connect, language: str
) -> None:
    found(database, building("school", electricity={}, water={"devices": []}), building("library", water={}))
    registry = registry_of(database_url)
    registry.announced("m-1", {"maker": "Kamstrup", "kind": "water", "site": "School", "model": "<b>flowIQ</b>\u202e"})
    registry.announced("m-2", {"name": "library boiler room", "kind": "heat"})
    registry.suggestions.write(connection := new_connection())
    connection.commit()
    listed = board.get("/devices", params={"lang": language}).text
    assert "Kamstrup" in listed
    assert "<b>flowIQ" not in listed
    assert ("seems to be a water meter" if language == "en" else "схоже на лічильник води") in words(listed)
    first, second = id_of(database, "m-1"), id_of(database, "m-2")
    assert f'href="/devices/{first}"' in listed
    page = board.get(f"/devices/{first}").text
    assert (chosen(page, "point"), chosen(page, "site"), chosen(page, "kind")) == ("school-water", "school", "water")
    assert 'value="point" id="claim-place-point" checked' in page
    assert "<b>flowIQ" not in page
    assert "\u202e" not in page
    page = board.get(f"/devices/{second}").text
    assert (chosen(page, "point"), chosen(page, "site"), chosen(page, "kind")) == (None, "library", "heat")
    assert 'value="new" id="claim-place-new" checked' in page


def test_claiming_on_the_board(board: httpx.Client, database: Database, new_connection: Connect) -> None:
    found(database, building("school", electricity={"devices": []}), bins(1))
    connection = new_connection()
    write(connection, unclaimed(connection, "new"), (-3, 5), (-2, 6))
    unclaimed(connection, "bin-new", "bin")
    answer = send(board, id_of(database, "new"), place="point", point="school-electricity", site="school")
    assert (answer.status_code, answer.headers["location"]) == (303, "/devices")
    assert times_at(database, "school-electricity") == [-3, -2]
    answer = send(board, id_of(database, "bin-new"), place="new", site="stand", kind="bin", fraction="glass")
    assert answer.status_code == 303
    assert spans(database, "bin-new") == [("stand-glass", ALWAYS, NEVER, True)]
    assert database.execute("SELECT fraction, interval_s, by_hand FROM point WHERE code = 'stand-glass'").fetchone() == (
        "glass", 1800, True,
    )  # fmt: skip
    assert board.get(f"/devices/{id_of(database, 'new')}").status_code == 404
    assert "misto_board_claims_total 2.0" in board.get("/metrics").text


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"place": "point", "point": "school-water", "origin": "https://evil.example"}, 403, "did not come from"),
        ({"place": "point", "point": "school-water", "token": "x" * 43}, 403, "out of date"),
        ({"place": "point", "point": ""}, 400, "Choose a point"),
        ({"place": "new", "point": "school-water"}, 400, "Choose a point"),
        ({"place": "x", "point": "school-water"}, 400, "Choose a point"),
        ({"place": "point", "point": "school\0"}, 400, "no longer in the inventory"),
        ({"place": "point", "point": "nowhere"}, 409, "no longer in the inventory"),
        ({"place": "point", "point": "school-electricity"}, 409, "Another device is at this point"),
        ({"place": "new", "site": "nowhere", "kind": "gas"}, 409, "site is no longer"),
        ({"place": "new", "site": "school", "kind": "bin"}, 409, "a bin needs its fraction"),
        ({"place": "new", "site": "school", "kind": "rocket"}, 409, "no such point"),
    ],
)
def test_a_claim_that_the_board_refuses_writes_nothing(
    board: httpx.Client, database: Database, fields: dict[str, str], status: int, sentence: str
) -> None:
    found(database, building("school", electricity={}, water={"devices": []}))
    unclaimed(database, "new")
    before = dump(database)
    answer = send(board, id_of(database, "new"), **fields)
    assert (answer.status_code, sentence in answer.text) == (status, True), words(answer.text)
    assert dump(database) == before
    assert board.get(f"/devices/{10**12}").status_code == 404
    assert send(board, 10**12, place="point", point="school-water").status_code in (403, 404)


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ({"site": "school-5"}, "school-5"),
        ({"site": "Школа № 5"}, "school-5"),
        ({"name": "Water meter, School 5, cellar"}, "school-5"),
        ({"name": "School 55"}, None),
        ({"tags": "School 5, School 6"}, None),
        ({"site": "School 6", "name": "School 5"}, None),
        ({}, None),
    ],
)
def test_the_place_that_a_device_names(told: dict[str, str], place: str | None) -> None:
    seems = devices.Seeming("water", None, None, (), (), told)
    places = [("school-5", ("School 5", "Школа № 5")), ("school-6", ("School 6", "Школа № 6")), ("x", ("", "№"))]
    assert best_match(seems, places) == place
