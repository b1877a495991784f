"""The city in the database: taking over an inventory, and what ingest must know to place a reading."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from catalogue.geometry import BinGeometry
from catalogue.inventory import Inventory
from store.errors import AnotherCity
from store.inventory_diff import CityRows, Difference, changed_columns, differences, rows_of
from store.inventory_plan import Assigned, Settled, settle
from store.queries import sql

#: Channel on which a change of the registry is announced (LISTEN/NOTIFY).
REGISTRY_CHANNEL = "misto_registry"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A device measures a point from `valid_from` until before `valid_to` (POSIX seconds; may be ±inf)."""

    point_id: int
    channel: str
    valid_from: float
    valid_to: float
    geometry: BinGeometry | None


@dataclass(slots=True)
class RegisteredDevice:
    """A device as ingest sees it; `assignments` newest first."""

    device_id: int
    address: str
    profile: str | None
    state: str
    assignments: list[Assignment] = field(default_factory=list)


def load_registry(connection: Connection[Any]) -> dict[str, RegisteredDevice]:
    """Every device by its address, with its assignments. What has only told about itself is not among them."""
    with connection.cursor(row_factory=dict_row) as cursor:
        devices = _devices(cursor.execute(sql("registry.devices")))
    return {address: device for address, device in devices.items() if device.assignments or device.state != "unclaimed"}


#: Now and then everything is read again: a row that somebody deleted by hand leaves no trace.
_ALL_AGAIN_S = 3600.0


@dataclass
class RegistryMirror:
    """All that `load_registry` gives, kept up to date by what changed since the last time."""

    devices: dict[str, RegisteredDevice] = field(default_factory=dict)
    _since: str | None = None
    _all_read_at: float = float("-inf")

    def refresh(self, connection: Connection[Any]) -> None:
        """Read what changed, or everything at first and once an hour."""
        (since,) = connection.execute(sql("registry.snapshot")).fetchone() or (None,)
        if time.monotonic() - self._all_read_at > _ALL_AGAIN_S:
            self.devices = load_registry(connection)
            self._all_read_at = time.monotonic()
        else:
            with connection.cursor(row_factory=dict_row) as cursor:
                changed = _devices(cursor.execute(sql("registry.devices_since"), {"since": self._since}))
            for address, device in changed.items():
                if device.assignments or device.state != "unclaimed":
                    self.devices[address] = device
                else:
                    self.devices.pop(address, None)
        self._since = since


def geometry_of(row: Mapping[str, Any]) -> BinGeometry | None:
    """The bin's geometry in a row of `point`, if it has one."""
    if row["bin_empty_mm"] is None:
        return None
    return BinGeometry(
        empty_mm=row["bin_empty_mm"],
        full_mm=row["bin_full_mm"],
        blind_mm=row["bin_blind_mm"],
        shape=row["bin_shape"] or "prism",
        floor_width_pct=row["bin_floor_width_pct"],
    )


def _devices(rows: Iterable[dict[str, Any]]) -> dict[str, RegisteredDevice]:
    devices: dict[str, RegisteredDevice] = {}
    for row in rows:
        device = devices.setdefault(
            row["address"], RegisteredDevice(row["device_id"], row["address"], row["profile"], row["state"])
        )
        if row["point_id"] is not None:
            device.assignments.append(
                Assignment(row["point_id"], row["channel"], row["valid_from_s"], row["valid_to_s"], geometry_of(row))
            )
    return devices


def register_unclaimed(
    connection: Connection[Any], address: str, *, profile: str | None, kind: str, guess: Mapping[str, Any]
) -> RegisteredDevice:
    """Keep a device that no inventory knows: it gets a point without a site, so that its readings are kept.

    `kind` is what it seems to measure. Safe to call twice and from several workers; a device that has a point
    meanwhile is returned as it is.
    """
    parameters = {"address": address, "profile": profile, "kind": kind, "guess": json.dumps(guess)}
    with connection.transaction():
        connection.execute(sql("registry.register_device"), parameters)
        connection.execute(sql("registry.register_point"), parameters)
        with connection.cursor(row_factory=dict_row) as cursor:
            return _devices(cursor.execute(sql("registry.device"), {"address": address}))[address]


@dataclass(frozen=True)
class InventoryChange:
    """How many rows an inventory has, how many points it retires, and everything that it changes."""

    sites: int
    points: int
    devices: int
    retired_points: int
    differences: list[Difference] = field(default_factory=list)


def read_city(connection: Connection[Any]) -> CityRows:
    """The city as it stands in the database."""
    with connection.cursor(row_factory=dict_row) as cursor:

        def rows(name: str) -> list[dict[str, Any]]:
            return cursor.execute(sql(f"registry.{name}")).fetchall()

        def keyed(name: str, key: str) -> dict[str, Mapping[str, Any]]:
            return {row[key]: {column: row[column] for column in row if column != key} for row in rows(name)}

        return CityRows(
            next(iter(rows("read_city")), None),
            keyed("read_zones", "id"),
            keyed("read_contractors", "id"),
            {(row["kind"], row["valid_from"]): row["price"] for row in rows("read_tariffs")},
            keyed("read_sites", "id"),
            keyed("read_points", "code"),
            {row["address"]: row["profile"] for row in rows("read_profiles")},
            [Assigned(**row) for row in rows("read_assigned")],
        )


def sync_inventory(
    connection: Connection[Any],
    inventory: Inventory,
    *,
    exact: bool = False,
    dry_run: bool = False,
    other_city: bool = False,
) -> InventoryChange:
    """Make the database's city equal to the inventory, in one transaction; with `dry_run` only tell what would change.

    What the inventory no longer has is retired, never deleted: its history stays. A device that was unclaimed and
    now stands in the inventory is claimed, and its readings move to its point. What was claimed, swapped or released
    by hand and is not in the inventory yet stays, unless `exact`. Raises `AnotherCity` where the database holds a city
    of another name, unless `other_city`.
    """
    with connection.transaction():
        if not dry_run:
            connection.execute(sql("registry.lock"))
        old, new = read_city(connection), rows_of(inventory)
        if not other_city:
            _refuse_another_city(old.city, new.city)
        now = _moment(connection.execute(sql("registry.now")).fetchone())
        kept_points = [
            code
            for code, row in old.points.items()
            if row["by_hand"] and not row["retired"] and not exact and code not in new.points
            and row["site_id"] in new.sites
        ]  # fmt: skip

        def takeover(its: Assigned) -> datetime:
            return _moment(connection.execute(sql("registry.takeover"), asdict(its)).fetchone())

        settled = settle(
            new.assigned, old.assigned, points={*new.points, *kept_points}, now=now, takeover=takeover, exact=exact
        )
        retired = sum(
            not row["retired"] and code not in new.points and code not in kept_points
            for code, row in old.points.items()
        )
        change = InventoryChange(
            len(new.sites), len(new.points), len(new.assigned), retired,
            differences(old, new, settled, kept_points, now),
        )  # fmt: skip
        if not dry_run:
            _write_places(connection, old, new, kept_points)
            _write_devices(connection, old, new, settled, now)
            connection.execute(sql("registry.retire_devices"))
            connection.execute(sql("registry.notify"), {"channel": REGISTRY_CHANNEL})
    return change


def _refuse_another_city(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
    """A name that is mended in one language is the same city's."""
    if old is None or new is None or any(old[name] == new[name] for name in ("name_en", "name_uk")):
        return
    raise AnotherCity(
        f"the database holds {old['name_en']} ({old['name_uk']}), the inventory is of {new['name_en']} "
        f"({new['name_uk']}), and nothing was changed; set MISTO_DATABASE_URL to that city's own database, or say "
        "--other-city if the city was renamed or shall be replaced: all sites that the file lacks are then retired"
    )


def _write_places(connection: Connection[Any], old: CityRows, new: CityRows, kept_points: list[str]) -> None:
    assert new.city is not None
    connection.execute(sql("registry.upsert_city"), new.city)
    for name, was, rows in (("zone", old.zones, new.zones), ("contractor", old.contractors, new.contractors)):
        for key, row in rows.items():
            if changed_columns(was.get(key, {}), row) or key not in was:
                connection.execute(sql(f"registry.upsert_{name}"), {"id": key, **row})
    connection.execute(sql("registry.clear_tariffs"))
    for (kind, valid_from), price in new.tariffs.items():
        parameters = {"kind": kind, "valid_from": valid_from, "price": price}
        connection.execute(sql("registry.insert_tariff"), parameters)
    for name, key, was, rows in (("site", "id", old.sites, new.sites), ("point", "code", old.points, new.points)):
        for place, row in rows.items():
            before = was.get(place)
            if before is None or before["retired"] or before.get("by_hand") or changed_columns(before, row):
                parameters = {key: place, **row, "labels": json.dumps(row["labels"])}
                connection.execute(sql(f"registry.upsert_{name}"), parameters)
    connection.execute(sql("registry.retire_points"), {"codes": [*new.points, *kept_points]})
    connection.execute(sql("registry.retire_sites"), {"ids": list(new.sites)})


def _write_devices(connection: Connection[Any], old: CityRows, new: CityRows, settled: Settled, now: datetime) -> None:
    known = {row.row_id: row for row in old.assigned}
    fresh = [its for its in settled.target if its.row_id is None]
    mended = [its for its in settled.target if its.row_id is not None and known[its.row_id] != its]
    for address in dict.fromkeys([*new.profiles, *(its.address for its in settled.target)]):
        profile = new.profiles.get(address)
        if address not in old.profiles or profile not in (None, old.profiles[address]):
            connection.execute(sql("registry.upsert_device"), {"address": address, "profile": profile})
    claimed = {its.address for its in settled.target if its.holds(now)}
    connection.execute(sql("registry.claim"), {"addresses": list(claimed)})
    for row, end in settled.cut:
        name = "drop_assignment" if end is None else "end_assignment"
        connection.execute(sql(f"registry.{name}"), {"row_id": row.row_id, "valid_to": end})
    for its in mended:
        connection.execute(sql("registry.update_assignment"), asdict(its))
    for its in (*fresh, *mended):
        if its.address in claimed:
            # Before the assignment is there: the placeholder's may begin at the same moment.
            connection.execute(sql("registry.move_placeholder"), asdict(its))
    for its in fresh:
        connection.execute(sql("registry.insert_assignment"), asdict(its))
    changes = {(its.point, at) for its in fresh for at in (its.valid_from,)}
    changes |= {(row.point, end) for row, end in settled.cut}
    for its in mended:
        was = known[its.row_id]
        changes |= {(row.point, at) for row in (was, its) for at in (row.valid_from, row.valid_to)}
    for point, at in changes:
        if at is not None and at <= now:
            connection.execute(sql("registry.log_change"), {"point": point, "since": at})


def _moment(row: tuple[Any, ...] | None) -> datetime:
    assert row is not None
    moment: datetime = row[0]
    return moment
