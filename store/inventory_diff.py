"""What loading an inventory would change, as lines for a person. Pure: both sides are given as rows.

The rows are those of the tables: a dictionary of columns for each site and point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from catalogue.geometry import BinGeometry
from catalogue.inventory import Inventory, Point, Site
from store.inventory_plan import Assigned, Settled

Row = Mapping[str, Any]


@dataclass
class CityRows:
    """A city as the tables hold it. `points` carry their site in `site_id`; retired ones are among them."""

    city: Row | None
    zones: dict[str, Row]
    contractors: dict[str, Row]
    tariffs: dict[tuple[str, date], float]
    sites: dict[str, Row]
    points: dict[str, Row]
    profiles: dict[str, str | None]
    assigned: list[Assigned] = field(default_factory=list)


@dataclass(frozen=True)
class Difference:
    """One change. `kind`: added, changed, retired, restored, swapped, moved, or by hand (kept, the file lacks it)."""

    kind: str
    what: str
    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind:8} {self.what:10} {self.name}{': ' if self.detail else ''}{self.detail}"


def rows_of(inventory: Inventory) -> CityRows:
    """The rows that an inventory file stands for."""
    city = inventory.city
    return CityRows(
        {
            "name_en": city.name.en,
            "name_uk": city.name.uk,
            "time_zone": city.time_zone,
            "currency": city.currency,
            "latitude": city.latitude,
            "longitude": city.longitude,
        },
        {zone.id: {"name_en": zone.name.en, "name_uk": zone.name.uk} for zone in inventory.zones},
        {
            each.id: {"name_en": each.name.en, "name_uk": each.name.uk, "phone": each.phone, "email": each.email}
            for each in inventory.contractors
        },
        {(tariff.kind, tariff.valid_from): tariff.price for tariff in inventory.tariffs},
        {site.id: _site_row(site) for site in inventory.sites},
        {point.id: _point_row(site, point) for site in inventory.sites for point in site.points},
        {
            entry.address: entry.profile
            for site in inventory.sites
            for point in site.points
            for entry in sorted(point.devices, key=lambda entry: entry.profile is not None)
        },
        [
            Assigned(
                entry.address,
                entry.channel,
                point.id,
                entry.valid_from,
                entry.valid_to,
                entry.register_start,
                entry.register_end,
            )
            for site in inventory.sites
            for point in site.points
            for entry in point.devices
        ],
    )


def _site_row(site: Site) -> dict[str, Any]:
    return {
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
        "labels": dict(site.labels),
    }


def _point_row(site: Site, point: Point) -> dict[str, Any]:
    return {
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
        "bin_blind_mm": point.bin.blind_mm if point.bin else None,
        "bin_shape": point.bin.shape if point.bin and point.bin.shape != "prism" else None,
        "bin_floor_width_pct": point.bin.floor_width_pct if point.bin else None,
        "register_digits": point.register_digits,
        "labels": dict(point.labels),
    }


def changed_columns(old: Row, new: Row) -> list[str]:
    """The columns of `new` whose value `old` does not have."""
    return [name for name, value in new.items() if old.get(name) != value]


def differences(old: CityRows, new: CityRows, settled: Settled, kept_points: Sequence[str],
                now: datetime) -> list[Difference]:  # fmt: skip
    """Every change from the database's rows to the file's, in the order of the file's parts."""
    city = new.city or {}
    zone = ZoneInfo(city["time_zone"]) if "time_zone" in city else ZoneInfo("UTC")
    found: list[Difference] = []
    if old.city is not None:
        found += _rows_differ("city", {"": old.city}, {"": city})
    found += _rows_differ("zone", old.zones, new.zones)
    found += _rows_differ("contractor", old.contractors, new.contractors)
    for key in sorted(old.tariffs.keys() | new.tariffs.keys()):
        before, after = old.tariffs.get(key), new.tariffs.get(key)
        name = f"{key[0]} from {key[1]}"
        if before is None:
            found.append(Difference("added", "tariff", name, _text("price", after)))
        elif after is None:
            found.append(Difference("retired", "tariff", name, _text("price", before)))
        elif before != after:
            found.append(Difference("changed", "tariff", name, f"price {before:g} → {after:g}"))
    found += _places_differ("site", old.sites, new.sites, ())
    found += _places_differ("point", old.points, new.points, kept_points)
    found += _devices_differ(old, settled, now, zone)
    for address, profile in new.profiles.items():
        before_profile = old.profiles.get(address)
        if address in old.profiles and profile is not None and before_profile != profile:
            detail = f"profile {before_profile or '—'} → {profile}"
            found.append(Difference("changed", "device", address, detail))
    found += [
        Difference("by hand", "point", code, f"at the site {old.points[code]['site_id']}") for code in kept_points
    ]
    found += [Difference("by hand", "device", _named(row), _span(row, zone)) for row in settled.by_hand]
    return found


def _rows_differ(what: str, old: Mapping[str, Row], new: Mapping[str, Row]) -> Iterator[Difference]:
    for name, row in new.items():
        if name not in old:
            yield Difference("added", what, name)
        elif columns := changed_columns(old[name], row):
            yield Difference("changed", what, name, _columns(old[name], row, columns))


def _places_differ(
    what: str, old: Mapping[str, Row], new: Mapping[str, Row], kept: Sequence[str]
) -> Iterator[Difference]:
    for name, row in new.items():
        before = old.get(name)
        if before is None:
            yield Difference("added", what, name, row["name_en"] or f"at the site {row.get('site_id')}")
            continue
        columns = changed_columns(before, row)
        if before["retired"] or columns:
            kind = "restored" if before["retired"] else "changed"
            yield Difference(kind, what, name, _columns(before, row, columns))
    kept_names = set(kept)
    for name, before in old.items():
        if name not in new and name not in kept_names and not before["retired"]:
            yield Difference("retired", what, name)


def _devices_differ(old: CityRows, settled: Settled, now: datetime, zone: ZoneInfo) -> Iterator[Difference]:
    rows = {row.row_id: row for row in old.assigned}
    at_point = {row.point: row for row in old.assigned if row.start <= now and row.holds(now)}
    where = {row.device: row for row in at_point.values()}
    ends = {row.row_id: row.register_end for row in settled.target}
    told: set[tuple[str, str, str]] = set()
    for its in settled.target:
        before = at_point.get(its.point)
        if its.row_id is not None or not its.holds(now):
            continue
        if before is not None and before.device != its.device:
            told |= {(before.point, *before.device), (its.point, *its.device)}
            detail = f"{_device(before)} → {_device(its)}, {_span(its, zone)}"
            last = ends.get(before.row_id) if before.row_id is not None else None
            if last is not None or its.register_start is not None:
                detail += f", register {_value(last)} → {_value(its.register_start)}"
            yield Difference("swapped", "point", its.point, detail)
        elif its.device in where and where[its.device].point != its.point:
            was = where[its.device]
            told |= {(was.point, *was.device), (its.point, *its.device)}
            yield Difference("moved", "device", _device(its), f"{was.point} → {its.point}, {_span(its, zone)}")
    for its in settled.target:
        if (its.point, *its.device) in told:
            continue
        if its.row_id is None:
            yield Difference("added", "device", _named(its), _span(its, zone))
            continue
        before = rows[its.row_id]
        names = ("valid_from", "valid_to", "register_start", "register_end")
        changes = [
            f"{name} {_value(getattr(before, name), zone)} → {_value(getattr(its, name), zone)}"
            for name in names
            if getattr(before, name) != getattr(its, name)
        ]
        if changes:
            yield Difference("changed", "device", _named(its), ", ".join(changes))
    for row, end in settled.cut:
        if (row.point, *row.device) in told:
            continue
        if row.holds(now):
            yield Difference("retired", "device", _named(row), "it never was there" if end is None else "it ends now")
        else:
            detail = "it never was there" if end is None else f"valid_to {_value(row.valid_to, zone)} → "
            yield Difference("changed", "device", _named(row), detail + ("" if end is None else _value(end, zone)))


_NAMES = {
    "zone_id": "zone",
    "contractor_id": "contractor",
    "site_id": "site",
    "interval_s": "interval",
    "bin_empty_mm": "bin.empty_mm",
    "bin_full_mm": "bin.full_mm",
    "bin_volume_l": "bin.volume_l",
    "bin_blind_mm": "bin.blind_mm",
    "bin_shape": "bin.shape",
    "bin_floor_width_pct": "bin.floor_width_pct",
    "name_en": "name.en",
    "name_uk": "name.uk",
    "address_en": "address.en",
    "address_uk": "address.uk",
}


def _columns(old: Row, new: Row, columns: Sequence[str]) -> str:
    parts = []
    for column in columns:
        before, after = old.get(column), new[column]
        if column == "interval_s":
            before, after = (duration(each) if each is not None else None for each in (before, after))
        parts.append(f"{_NAMES.get(column, column)} {_value(before)} → {_value(after)}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as the inventory file writes them: `15m`, `36h`, `7d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.10g}s"


def _text(name: str, value: float | None) -> str:
    return f"{name} {value:g}" if value is not None else ""


def _value(value: Any, zone: ZoneInfo | None = None) -> str:
    if value is None:
        return "—"
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(timespec="seconds")
    if isinstance(value, float):
        return f"{value:.12g}"
    return f"“{value}”" if isinstance(value, str) and " " in value else str(value)


def _device(row: Assigned) -> str:
    return f"{row.address} ({row.channel})" if row.channel else row.address


def _named(row: Assigned) -> str:
    return f"{_device(row)} at {row.point}"


def _span(row: Assigned, zone: ZoneInfo) -> str:
    since = f"since {_value(row.valid_from, zone)}" if row.valid_from is not None else "since ever"
    return since + (f" until {_value(row.valid_to, zone)}" if row.valid_to is not None else "")


def file_of(rows: CityRows) -> dict[str, Any]:
    """The tree of an inventory file that says what these rows say, with the history of the devices."""
    assert rows.city is not None
    points: dict[str, list[str]] = {}
    for code, point in rows.points.items():
        if not point["retired"]:
            points.setdefault(point["site_id"], []).append(code)
    assigned: dict[str, list[Assigned]] = {}
    for its in rows.assigned:
        assigned.setdefault(its.point, []).append(its)
    sites = []
    for site_id, row in rows.sites.items():
        if row["retired"]:
            continue
        site = {"id": site_id, "kind": row["kind"], "name": _both(row, "name"), "use": row["use"],
                "address": _both(row, "address"), "zone": row["zone_id"], "latitude": row["latitude"],
                "longitude": row["longitude"], "floor_area_m2": row["floor_area_m2"], "labels": row["labels"],
                "points": [_point_of(code, rows, assigned.get(code, []))
                           for code in points.get(site_id, [])]}  # fmt: skip
        sites.append(_filled(site))
    city = rows.city
    return {
        "version": 1,
        "city": {
            "name": _both(city, "name"),
            **{name: city[name] for name in ("time_zone", "currency", "latitude", "longitude")},
        },
        "zones": [{"id": zone_id, "name": _both(row, "name")} for zone_id, row in rows.zones.items()],
        "contractors": [
            _filled({"id": name, "name": _both(row, "name"), "phone": row["phone"], "email": row["email"]})
            for name, row in rows.contractors.items()
        ],
        "tariffs": [
            {"kind": kind, "price": price, "valid_from": valid_from.isoformat()}
            for (kind, valid_from), price in rows.tariffs.items()
        ],
        "sites": sites,
    }


def _point_of(code: str, rows: CityRows, assigned: Sequence[Assigned]) -> dict[str, Any]:
    row = rows.points[code]
    geometry = {name: row[f"bin_{name}"] for name in BinGeometry.model_fields}
    point = {"id": code, "kind": row["kind"], "name": _both(row, "name"), "interval": duration(row["interval_s"]),
             "fraction": row["fraction"], "contractor": row["contractor_id"],
             "bin": _filled(geometry) if row["bin_empty_mm"] is not None else None,
             "register_digits": row["register_digits"], "labels": row["labels"]}  # fmt: skip
    devices = []
    here = sorted(assigned, key=lambda its: (its.start, its.end))
    since: datetime | None = None
    for index, its in enumerate(here):
        # A file has one device at a time at a point; what was stored otherwise is told one after the other.
        start = max((moment for moment in (its.valid_from, since) if moment is not None), default=None)
        following = here[index + 1] if index + 1 < len(here) else None
        end = its.valid_to
        if following is not None and its.start < following.start < its.end:
            end = following.valid_from
        if start is not None and end is not None and start >= end:
            continue
        since = end
        devices.append(
            _filled(
                {"address": its.address, "profile": rows.profiles.get(its.address), "channel": its.channel or None,
                 "valid_from": _moment_text(start, rows), "valid_to": _moment_text(end, rows),
                 "register_start": its.register_start, "register_end": its.register_end}
            )
        )  # fmt: skip
        if end is None:
            break
    return _filled(point | {"devices": devices})


def _moment_text(moment: datetime | None, rows: CityRows) -> str | None:
    assert rows.city is not None
    return None if moment is None else moment.astimezone(ZoneInfo(rows.city["time_zone"])).isoformat()


def _both(row: Row, name: str) -> dict[str, str] | None:
    """A text in both languages; None where there is none."""
    en, uk = row[f"{name}_en"], row[f"{name}_uk"]
    return None if en is None and uk is None else {"en": en or uk, "uk": uk or en}


def _filled(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if value is not None and value not in ({}, [])}
