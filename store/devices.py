"""Devices one by one: what they seem to be, and placing, swapping and releasing them by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row, tuple_row

from catalogue.inventory import PointKind
from store.errors import StoreError
from store.queries import sql
from store.registry import REGISTRY_CHANNEL

Row = DictRow

POINT_KINDS: tuple[str, ...] = get_args(PointKind)

#: How often a new point is expected to be heard, if nobody says.
USUAL_INTERVAL_S = {"bin": 1800.0}
_INTERVAL_S = 900.0

#: SQLSTATEs of the functions of migration 0009.
_REFUSALS = {
    "MI001": "no_site",
    "MI002": "code_taken",
    "MI003": "wrong_point",
    "MI004": "no_point",
    "MI005": "occupied",
    "MI006": "elsewhere",
    "MI007": "future",
    "MI008": "not_unclaimed",
}


class DeviceRefused(StoreError):
    """A device cannot be placed so. `why` is one of a closed list, `about` the device or point that is in the way."""

    def __init__(self, why: str, sentence: str, about: str = "") -> None:
        super().__init__(sentence)
        self.why = why
        self.about = about


def write_suggestions(connection: Connection[Any], told: Sequence[tuple[str, Mapping[str, str]]]) -> None:
    """Merge what devices told about themselves into their guesses; an unknown one is kept as unclaimed, without a point
    until it sends a reading."""
    parameters = {
        "addresses": [address for address, _ in told],
        "facts": [json.dumps(facts) for _, facts in told],
    }
    with connection.transaction():
        connection.execute(sql("devices.suggest"), parameters)
        connection.execute(sql("devices.suggest_channels"), parameters)


def settle_placed(connection: Connection[Any]) -> int:
    """Move what came for placeholders while their devices were being placed; returns how many readings."""
    row = connection.execute(sql("devices.settle_placed")).fetchone()
    return int(row[0]) if row is not None else 0


@dataclass(frozen=True)
class Seeming:
    """What an unclaimed device seems to be. `facts` are what it told: maker, model, name, site, serial …"""

    kind: str | None
    profile: str | None
    envelope: str | None
    metrics: tuple[str, ...]
    names: tuple[str, ...]
    facts: dict[str, str]


def seeming(device: Mapping[str, Any]) -> Seeming:
    """The suggestions of a row that has `guess`, `profile`, `envelope` and `placeholder_kind` or `kind`."""
    guess = device["guess"] if isinstance(device["guess"], dict) else {}
    facts = {
        name: text
        for name, text in guess.items()
        if isinstance(text, str) and text and name not in ("envelope", "metrics", "names")
    }
    told = facts.get("kind", "").strip().lower()
    kind = told if told in POINT_KINDS else device.get("placeholder_kind") or device.get("kind")

    def texts(name: str) -> tuple[str, ...]:
        listed = guess.get(name)
        return tuple(each for each in listed if isinstance(each, str)) if isinstance(listed, list) else ()

    return Seeming(
        kind if kind in POINT_KINDS else None,
        device["profile"] or facts.get("profile"),
        device.get("envelope") or (guess.get("envelope") if isinstance(guess.get("envelope"), str) else None),
        texts("metrics"),
        texts("names"),
        facts,
    )


def list_devices(connection: Connection[Any], states: Sequence[str]) -> list[Row]:
    """Devices in these states, unclaimed ones first, each with its `places` now and its `guess`."""
    return _rows(connection, "devices", {"states": list(states), "address": None, "device_id": None})


def find_device(connection: Connection[Any], *, address: str | None = None, device_id: int | None = None) -> Row | None:
    """One device as `list_devices` gives it, in whatever state."""
    parameters = {"states": ["unclaimed", "claimed", "retired"], "address": address, "device_id": device_id}
    return next(iter(_rows(connection, "devices", parameters)), None)


def history(connection: Connection[Any], device_id: int) -> list[Row]:
    """Where a device was: point, site (None: nowhere yet), channel, valid_from, valid_to, registers, by_hand."""
    return _rows(connection, "history", {"device_id": device_id})


def latest(connection: Connection[Any], device_id: int) -> list[Row]:
    """Its newest readings: name, unit, value, time, quality."""
    return _rows(connection, "latest", {"device_id": device_id})


def claim(
    connection: Connection[Any],
    address: str,
    point: str,
    *,
    channel: str = "",
    since: datetime | None = None,
    profile: str | None = None,
    register_start: float | None = None,
) -> int:
    """Put a device at a point, by hand; returns how many of its earlier readings moved there. Raises `DeviceRefused`.

    Without `since`: since the point's last device went and since the device was elsewhere itself, else always.
    """
    parameters = {
        "address": address,
        "channel": channel,
        "point": point,
        "since": since,
        "profile": profile,
        "register_start": register_start,
    }
    return int(_asked(connection, "place_device", parameters))


def claim_unclaimed(connection: Connection[Any], device_id: int, point: str) -> int:
    """The board's way to claim: unclaimed devices only. Raises `DeviceRefused`."""
    return int(_asked(connection, "claim_unclaimed", {"device_id": device_id, "point": point}))


def add_point(
    connection: Connection[Any],
    site: str,
    kind: str,
    *,
    fraction: str | None = None,
    code: str | None = None,
    interval_s: float | None = None,
) -> str:
    """Make a point at an existing site, by hand; returns its id, which is made of the site's if none is given.

    Raises `DeviceRefused`.
    """
    parameters = {
        "site": site,
        "code": code or free_code(connection, f"{site}-{fraction or kind}"),
        "kind": kind,
        "fraction": fraction,
        "interval_s": interval_s or USUAL_INTERVAL_S.get(kind, _INTERVAL_S),
    }
    return str(_asked(connection, "add_point", parameters))


def describe_point(
    connection: Connection[Any],
    code: str,
    *,
    contractor: str | None = None,
    empty_mm: float | None = None,
    full_mm: float | None = None,
    volume_l: float | None = None,
    register_digits: int | None = None,
) -> None:
    """Give a point that was just made what `add_point` does not take. Raises `DeviceRefused`."""
    if contractor is not None and not _value(connection, "contractor_exists", {"contractor": contractor}):
        raise DeviceRefused("wrong_point", f"there is no contractor {contractor!r} in the inventory", contractor)
    parameters = {
        "code": code,
        "contractor": contractor,
        "empty_mm": empty_mm,
        "full_mm": full_mm,
        "volume_l": volume_l,
        "register_digits": register_digits,
    }
    connection.execute(sql("devices.describe_point"), parameters)


def free_code(connection: Connection[Any], start: str) -> str:
    """An id for a new point that no point has: `start`, else `start-2`, `start-3` …"""
    start = start[:57].rstrip("-")
    taken = {row["code"] for row in _rows(connection, "codes_like", {"start": start})}
    number = 1
    while (code := start if number == 1 else f"{start}-{number}") in taken:
        number += 1
    return code


@dataclass(frozen=True)
class Swapped:
    """A swap that was made: the old device's address, when, and how many readings of the new one moved."""

    old_address: str
    at: datetime
    moved: int


def swap(
    connection: Connection[Any],
    point: str,
    address: str,
    *,
    at: datetime | None = None,
    register_end: float | None = None,
    register_start: float | None = None,
    channel: str = "",
    profile: str | None = None,
) -> Swapped:
    """Put another device at a point; the old one's time there ends. History follows the point.

    Without `at`: the new device's first reading after the last that came from the point, now if it has sent none.
    Raises `DeviceRefused`.
    """
    with connection.transaction():
        connection.execute(sql("registry.lock"))
        if not _value(connection, "point_exists", {"point": point}):
            raise DeviceRefused("no_point", f"there is no point {point}", point)
        old = next(iter(_rows(connection, "at_point", {"point": point})), None)
        if old is None:
            raise DeviceRefused("empty", f"no device is at the point {point}; use `misto devices claim`", point)
        if (old["address"], old["channel"]) == (address, channel):
            raise DeviceRefused("same", f"the device {address} is at the point {point} already", address)
        now = connection.cursor(row_factory=tuple_row).execute(sql("registry.now")).fetchone()
        assert now is not None
        if at is None:
            told = {"address": address, "channel": channel, "point": point}
            row = connection.cursor(row_factory=tuple_row).execute(sql("registry.takeover"), told).fetchone()
            assert row is not None
            at = row[0]
        assert at is not None
        if at > now[0]:
            raise DeviceRefused("future", f"{at.isoformat()} is in the future: swap it when it is done")
        if old["valid_from"] is not None and at <= old["valid_from"]:
            raise DeviceRefused(
                "before",
                f"the device {old['address']} came to the point {point} only at {old['valid_from'].isoformat()}",
                old["address"],
            )
        connection.execute(
            sql("devices.end_by_hand"), {"row_id": old["row_id"], "at": at, "register_end": register_end}
        )
        moved = claim(
            connection, address, point, channel=channel, since=at, profile=profile, register_start=register_start
        )
        connection.execute(sql("registry.retire_devices"))
        connection.execute(sql("registry.log_change"), {"point": point, "since": at})
    return Swapped(old["address"], at, moved)


def release(connection: Connection[Any], address: str, channel: str | None = None) -> list[str]:
    """End a device's time at its point (one channel, or all); returns the points. What it sends from now on is kept as
    an unclaimed device's. Raises `DeviceRefused`."""
    with connection.transaction():
        connection.execute(sql("registry.lock"))
        device = find_device(connection, address=address)
        if device is None:
            raise DeviceRefused("unknown", f"there is no device {address}", address)
        device_id = device["device_id"]
        held = _rows(connection, "held_by", {"device_id": device_id, "channel": channel})
        if not held:
            raise DeviceRefused("nowhere", f"the device {address} is at no point", address)
        now = connection.cursor(row_factory=tuple_row).execute(sql("registry.now")).fetchone()
        assert now is not None
        for place in held:
            name = "drop_by_hand" if place["later"] else "end_by_hand"
            parameters = {"row_id": place["row_id"], "at": now[0], "register_end": None}
            connection.execute(sql(f"devices.{name}"), parameters)
            connection.execute(
                sql("devices.back_to_placeholder"),
                {"device_id": device_id, "channel": place["channel"], "kind": place["kind"]},
            )
        connection.execute(sql("devices.unclaim"), {"device_id": device_id})
        connection.execute(sql("registry.notify"), {"channel": REGISTRY_CHANNEL})
    return [place["point"] for place in held]


def sites(connection: Connection[Any]) -> list[Row]:
    """id, kind, name_en, name_uk, zone_id of every site."""
    return _rows(connection, "sites", {})


def free_points(connection: Connection[Any], kind: str | None, limit: int) -> list[Row]:
    """Points where no device is, those of this kind first."""
    return _rows(connection, "free_points", {"kind": kind, "limit": limit})


def _rows(connection: Connection[Any], name: str, parameters: Mapping[str, Any]) -> list[Row]:
    return connection.cursor(row_factory=dict_row).execute(sql(f"devices.{name}"), parameters).fetchall()


def _value(connection: Connection[Any], name: str, parameters: Mapping[str, Any]) -> Any:
    row = connection.cursor(row_factory=tuple_row).execute(sql(f"devices.{name}"), parameters).fetchone()
    assert row is not None
    return row[0]


def _asked(connection: Connection[Any], name: str, parameters: Mapping[str, Any]) -> Any:
    """The result of one of the database's functions; what it refuses is a `DeviceRefused`."""
    try:
        with connection.transaction():
            return _value(connection, name, parameters)
    except psycopg.Error as error:
        why = _REFUSALS.get(error.sqlstate or "")
        if why is None:
            raise
        sentence = error.diag.message_primary or why
        raise DeviceRefused(why, sentence, error.diag.message_detail or "") from None
