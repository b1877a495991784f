"""The city in the database: taking over an inventory, and what ingest must know to place a reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from catalogue.geometry import BinGeometry
from catalogue.inventory import Inventory, Point, Site
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
    """Every device by its address, with its assignments."""
    devices: dict[str, RegisteredDevice] = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(sql("registry.devices")):
            device = devices.setdefault(
                row["address"],
                RegisteredDevice(row["device_id"], row["address"], row["profile"], row["state"]),
            )
            if row["point_id"] is not None:
                geometry = (
                    BinGeometry(empty_mm=row["bin_empty_mm"], full_mm=row["bin_full_mm"])
                    if row["bin_empty_mm"] is not None
                    else None
                )
                device.assignments.append(
                    Assignment(row["point_id"], row["channel"], row["valid_from_s"], row["valid_to_s"], geometry)
                )
    return devices


def register_unclaimed(
    connection: Connection[Any], address: str, *, profile: str | None, kind: str, guess: Mapping[str, Any]
) -> RegisteredDevice:
    """Keep a device that no inventory knows: it gets a point without a site, so that its readings are kept.

    `kind` is what it seems to measure. Safe to call twice and from several workers.
    """
    row = connection.execute(
        sql("registry.register_unclaimed"),
        {"address": address, "profile": profile, "kind": kind, "guess": json.dumps(guess)},
    ).fetchone()
    assert row is not None
    device_id, point_id = row
    return RegisteredDevice(
        device_id, address, profile, "unclaimed", [Assignment(point_id, "", float("-inf"), float("inf"), None)]
    )


@dataclass(frozen=True)
class InventoryChange:
    """How many rows an inventory brought or changed."""

    sites: int
    points: int
    devices: int
    retired_points: int


def sync_inventory(connection: Connection[Any], inventory: Inventory) -> InventoryChange:
    """Make the database's city equal to the inventory, in one transaction.

    What the inventory no longer has is retired, never deleted: its history stays. A device that was unclaimed and
    now stands in the inventory is claimed, and its readings move to its point.
    """
    with connection.transaction():
        connection.execute(sql("registry.lock"))
        city = inventory.city
        connection.execute(
            sql("registry.upsert_city"),
            {
                "name_en": city.name.en,
                "name_uk": city.name.uk,
                "time_zone": city.time_zone,
                "currency": city.currency,
                "latitude": city.latitude,
                "longitude": city.longitude,
            },
        )
        for zone in inventory.zones:
            connection.execute(
                sql("registry.upsert_zone"), {"id": zone.id, "name_en": zone.name.en, "name_uk": zone.name.uk}
            )
        for contractor in inventory.contractors:
            connection.execute(
                sql("registry.upsert_contractor"),
                {
                    "id": contractor.id,
                    "name_en": contractor.name.en,
                    "name_uk": contractor.name.uk,
                    "phone": contractor.phone,
                    "email": contractor.email,
                },
            )
        connection.execute(sql("registry.clear_tariffs"))
        for tariff in inventory.tariffs:
            connection.execute(sql("registry.insert_tariff"), tariff.model_dump())
        for site in inventory.sites:
            connection.execute(sql("registry.upsert_site"), _site_row(site))
        devices = 0
        listed: list[int] = []
        for site in inventory.sites:
            for point in site.points:
                row = connection.execute(sql("registry.upsert_point"), _point_row(site, point)).fetchone()
                assert row is not None
                for entry in point.devices:
                    listed.append(_assign(connection, row[0], entry.model_dump()))
                    devices += 1
        connection.execute(sql("registry.close_assignments"), {"listed": listed})
        codes = [point.id for site in inventory.sites for point in site.points]
        retired = connection.execute(sql("registry.retire_points"), {"codes": codes}).rowcount
        connection.execute(sql("registry.retire_sites"), {"ids": [site.id for site in inventory.sites]})
        connection.execute(sql("registry.retire_devices"))
        connection.execute(sql("registry.notify"), {"channel": REGISTRY_CHANNEL})
    return InventoryChange(len(inventory.sites), len(codes), devices, retired)


def _assign(connection: Connection[Any], point_id: int, entry: dict[str, Any]) -> int:
    row = connection.execute(
        sql("registry.upsert_device"), {"address": entry["address"], "profile": entry["profile"]}
    ).fetchone()
    assert row is not None
    entry |= {"device_id": row[0], "point_id": point_id}
    placeholder = connection.execute(sql("registry.drop_placeholder"), {"device_id": row[0]}).fetchone()
    if placeholder is not None:
        moved = {"old": placeholder[0], "new": point_id}
        connection.execute(sql("registry.move_readings"), moved)
        connection.execute(sql("registry.delete_placeholder"), moved)
    assigned = connection.execute(sql("registry.upsert_assignment"), entry).fetchone()
    assert assigned is not None
    return int(assigned[0])


def _site_row(site: Site) -> dict[str, Any]:
    return {
        "id": site.id,
        "kind": site.kind,
        "name_en": site.name.en,
        "name_uk": site.name.uk,
        "use": site.use,
        "address_en": site.address.en if site.address else None,
        "address_uk": site.address.uk if site.address else None,
        "zone_id": site.zone,
        "latitude": site.latitude,
        "longitude": site.longitude,
        "floor_area_m2": site.floor_area_m2,
        "labels": json.dumps(site.labels),
    }


def _point_row(site: Site, point: Point) -> dict[str, Any]:
    return {
        "code": point.id,
        "site_id": site.id,
        "kind": point.kind,
        "name_en": point.name.en if point.name else None,
        "name_uk": point.name.uk if point.name else None,
        "interval_s": point.interval,
        "fraction": point.fraction,
        "contractor_id": point.contractor,
        "bin_empty_mm": point.bin.empty_mm if point.bin else None,
        "bin_full_mm": point.bin.full_mm if point.bin else None,
        "bin_volume_l": point.bin.volume_l if point.bin else None,
        "register_digits": point.register_digits,
        "labels": json.dumps(point.labels),
    }
