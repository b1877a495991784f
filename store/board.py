"""What the board reads and writes: rows as dictionaries whose keys are the columns of `store/sql/board.sql`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal

from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from store.errors import StoreError
from store.queries import sql

Row = DictRow
BoardConnection = Connection[Row]
BoardPool = ConnectionPool[BoardConnection]

#: A service that has not said for this long that it is alive is taken for dead. They say so every 5 seconds.
DEAD_AFTER_S = 30.0

#: A bin this full is full: nothing is to be forecast.
FULL_PCT = 95.0

BATTERY_LOW_PCT = 20.0

_LIMIT = 200
_QUARANTINE_AT_MOST = 20_000


def open_pool(url: str) -> BoardPool:
    """A pool of connections in UTC that opens when the database is there, and mends itself when it comes back.

    Taking a connection raises `psycopg_pool.PoolTimeout` after 3 seconds; a statement is cut off after 10.
    """
    return ConnectionPool(
        url,
        min_size=1,
        max_size=6,
        timeout=3.0,
        reconnect_timeout=10.0,
        max_waiting=50,
        check=ConnectionPool.check_connection,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "connect_timeout": 5,
            "application_name": "misto-board",
            "options": "-c TimeZone=UTC -c statement_timeout=10s",
        },
        name="board",
        open=True,
    )


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts to show; None means all."""

    kind: str | None = None
    zone: str | None = None
    contractor: str | None = None


@dataclass(frozen=True)
class BinFilter:
    """Which bins to show; None means all."""

    zone: str | None = None
    contractor: str | None = None
    fraction: str | None = None


def _rows(connection: BoardConnection, name: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
    return connection.execute(sql(f"board.{name}"), parameters).fetchall()


def _row(connection: BoardConnection, name: str, parameters: Mapping[str, Any] | None = None) -> Row | None:
    return connection.execute(sql(f"board.{name}"), parameters).fetchone()


def check_alive(connection: BoardConnection) -> None:
    """Raise psycopg.Error if the database does not answer."""
    _row(connection, "alive")


def overview(connection: BoardConnection) -> Row:
    """city (its row or None), now, last_received_at, open_alerts."""
    row = _row(connection, "overview")
    if row is None:
        raise StoreError("the database gave no overview")
    return row


def services(connection: BoardConnection) -> list[Row]:
    """One row a service: service, worker, started_at, beat_at, info, alive, workers_alive."""
    return _rows(connection, "services", {"dead_after_s": DEAD_AFTER_S})


def zones(connection: BoardConnection) -> list[Row]:
    """id, name_en, name_uk."""
    return _rows(connection, "zones")


def contractors(connection: BoardConnection) -> list[Row]:
    """id, name_en, name_uk."""
    return _rows(connection, "contractors")


AlertSection = Literal["open", "acknowledged", "silenced"]


def open_alerts(connection: BoardConnection, chosen: AlertFilter, section: AlertSection) -> list[Row]:
    """Firing alerts that no other hides, worst and newest first: the columns of `alert_list`, and `total` before the
    limit. A silenced one that somebody has taken over counts as acknowledged."""
    return _rows(connection, "open_alerts", asdict(chosen) | {"section": section, "limit": _LIMIT})


def hidden_alerts(connection: BoardConnection) -> list[Row]:
    """Firing alerts that another one hides: the columns of `alert_list`."""
    return _rows(connection, "hidden_alerts", {"limit": _LIMIT})


def ended_alerts(connection: BoardConnection, chosen: AlertFilter, limit: int = 20) -> list[Row]:
    """Alerts that ended in the last 7 days, newest first: the columns of `alert_list`."""
    return _rows(connection, "ended_alerts", asdict(chosen) | {"limit": limit})


def place_alerts(
    connection: BoardConnection, *, site: str | None = None, point: int | None = None, limit: int = 20
) -> list[Row]:
    """Alerts of a site or a point: open ones first, then those of the last 30 days."""
    return _rows(connection, "place_alerts", {"site": site, "point": point, "limit": limit})


def alert(connection: BoardConnection, episode_id: int) -> Row | None:
    """One alert: the columns of `alert_list`, the rule's `definition` and the point's `interval_s`."""
    return _row(connection, "alert", {"episode_id": episode_id})


def course(connection: BoardConnection, episode_id: int) -> list[Row]:
    """What happened to the alert and what people did, oldest first: what (transition, ack, mark, feedback, told),
    at, who, verb, before, text, until, number, row_id."""
    return _rows(connection, "course", {"episode_id": episode_id})


def acknowledge(connection: BoardConnection, episode_id: int, acked_by: str, note: str, hours: int | None) -> bool:
    """Write down that somebody takes care of a firing alert, for some hours or until it ends.

    False if there is no such alert or it has ended already.
    """
    parameters = {"episode_id": episode_id, "acked_by": acked_by, "note": note, "hours": hours}
    return _row(connection, "acknowledge", parameters) is not None


def withdraw(connection: BoardConnection, episode_id: int, by: str, note: str) -> bool:
    """Take back that somebody takes care; False if nobody does."""
    parameters = {"episode_id": episode_id, "acked_by": by, "note": note}
    return _row(connection, "withdraw", parameters) is not None


def give_feedback(connection: BoardConnection, episode_id: int, verdict: str, given_by: str, note: str) -> bool:
    """Keep what somebody says of an alert; False if there is none."""
    parameters = {"episode_id": episode_id, "verdict": verdict, "given_by": given_by, "note": note}
    return _row(connection, "give_feedback", parameters) is not None


def rule_counts(connection: BoardConnection) -> list[Row]:
    """rule_id, open_now, fired_30_days, was_right, was_false, for every rule that has ever raised an alert."""
    return _rows(connection, "rule_counts")


def point_by_code(connection: BoardConnection, code: str) -> Row | None:
    """point_id, kind and interval_s of a point in use."""
    return _row(connection, "point_by_code", {"code": code})


def rule_alerts(connection: BoardConnection, rule_id: str, limit: int = 20) -> list[Row]:
    """A rule's last alerts, newest first: the columns of `alert_list`."""
    return _rows(connection, "rule_alerts", {"rule_id": rule_id, "limit": limit})


def bins(connection: BoardConnection, chosen: BinFilter) -> list[Row]:
    """Bins, soonest full first: the columns of `bin_status`."""
    return _rows(connection, "bins", asdict(chosen) | {"full_pct": FULL_PCT})


def bin_by_code(connection: BoardConnection, code: str) -> Row | None:
    """One bin: the columns of `bin_status`, bin_volume_l, device_address."""
    return _row(connection, "bin", {"code": code})


def collections(connection: BoardConnection, point_id: int, start: datetime) -> list[Row]:
    """Emptyings since `start`, newest first: time, fill_before_pct, fill_after_pct."""
    return _rows(connection, "collections", {"point_id": point_id, "start": start})


def series(
    connection: BoardConnection, point_id: int, metric_id: int, start: datetime, stop: datetime, bucket_s: float
) -> list[Row]:
    """time, value: the last reading of each `bucket_s` seconds that is not suspect."""
    return _rows(
        connection,
        "series",
        {"point_id": point_id, "metric_id": metric_id, "start": start, "stop": stop, "bucket_s": bucket_s},
    )


def hourly(connection: BoardConnection, point_id: int, metric_id: int, start: datetime, stop: datetime) -> list[Row]:
    """time (start of the hour), value: what a meter counted in each hour."""
    return _rows(connection, "hourly", {"point_id": point_id, "metric_id": metric_id, "start": start, "stop": stop})


def daily(connection: BoardConnection, point_id: int, metric_id: int, start: datetime, time_zone: str) -> list[Row]:
    """day (the city's), amount, quality: what a meter counted on each day from `start` on."""
    return _rows(
        connection, "daily", {"point_id": point_id, "metric_id": metric_id, "start": start, "time_zone": time_zone}
    )


def buildings(connection: BoardConnection, site: str | None = None) -> list[Row]:
    """All buildings, or one, by name."""
    return _rows(connection, "buildings", {"site": site})


def consumption(
    connection: BoardConnection,
    counters: Mapping[str, int],
    *,
    time_zone: str,
    today: date,
    start: datetime,
    site: str | None = None,
) -> list[Row]:
    """Per building and kind of meter: today, month (30 full days), before (the 30 before those), with costs.

    `counters` gives for each kind of meter the metric that counts; `start` is the first moment of `today` - 60 days.
    """
    return _rows(
        connection,
        "consumption",
        {
            "kinds": list(counters),
            "metric_ids": list(counters.values()),
            "time_zone": time_zone,
            "today": today,
            "start": start,
            "site": site,
        },
    )


def meters(connection: BoardConnection, site: str, kinds: list[str]) -> list[Row]:
    """A site's points of these kinds, in the order of `kinds`."""
    return _rows(connection, "meters", {"site": site, "kinds": kinds})


def rooms(connection: BoardConnection, site: str, metrics: list[str]) -> list[Row]:
    """A site's indoor points with the newest values of these metrics, and when the newest of them was measured."""
    return _rows(connection, "rooms", {"site": site, "metrics": metrics})


@dataclass(frozen=True)
class DeviceHealth:
    """Devices that need somebody; each list holds columns of `device_health`, at most 200 rows."""

    counts: Row
    silent: list[Row]
    unclaimed: list[Row]
    battery_low: list[Row]
    unknown_fields: list[Row]


def device_health(connection: BoardConnection) -> DeviceHealth:
    """What is wrong with the devices now."""
    limit = {"limit": _LIMIT}
    counts = _row(connection, "device_counts")
    return DeviceHealth(
        counts=counts or {},
        silent=_rows(connection, "devices_silent", limit),
        unclaimed=_rows(connection, "devices_unclaimed", limit),
        battery_low=_rows(connection, "devices_battery_low", limit | {"battery_pct": BATTERY_LOW_PCT}),
        unknown_fields=_rows(connection, "devices_unknown_fields", limit),
    )


def quarantine(connection: BoardConnection) -> list[Row]:
    """Unreadable messages of the last 7 days: per reason how many, and the newest one."""
    return _rows(connection, "quarantine", {"at_most": _QUARANTINE_AT_MOST})
