"""`misto devices`: which devices there are, and placing, swapping and releasing them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from psycopg import Connection

from catalogue.geometry import BinGeometry
from catalogue.inventory import normal_address, parse_duration
from misto.settings import Settings
from store import devices as store
from store.connection import connect
from store.devices import DeviceRefused, Row, Seeming, seeming
from store.migrate import check_schema
from store.registry import read_city

Address = Annotated[str, typer.Argument(help="the device's address, as `misto devices list` shows it")]
Channel = Annotated[str, typer.Option(help="the channel of a device with several")]
Profile = Annotated[str | None, typer.Option(help="how to read it, if it is not recognised")]
AsJson = Annotated[bool, typer.Option("--json", help="as JSON, for programs")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    devices = typer.Typer(help="Devices: who is there, and where they hang.", no_args_is_help=True)
    devices.command("list")(list_command)
    devices.command("show")(show)
    devices.command("claim")(claim)
    devices.command("swap")(swap)
    devices.command("release")(release)
    app.add_typer(devices, name="devices")


def list_command(
    unclaimed: Annotated[bool, typer.Option("--unclaimed", help="only those that nobody has placed")] = False,
    as_json: AsJson = False,
) -> None:
    """Every device: where it is, or what it seems to be."""
    with _connected() as connection:
        rows = store.list_devices(connection, ["unclaimed"] if unclaimed else ["unclaimed", "claimed"])
    if as_json:
        print(json.dumps([_as_json(row) for row in rows], ensure_ascii=False, indent=1))
        return
    now = datetime.now(UTC)
    for row in rows:
        print(f"{_printable(row['address'])}  {_where(row)}; {_heard(row, now)}")
    count = sum(row["state"] == "unclaimed" for row in rows)
    print(f"{len(rows)} devices, {count} unclaimed")


def show(address: Address, as_json: AsJson = False) -> None:
    """One device: what it told, what it sends, where it was."""
    with _connected() as connection:
        row = store.find_device(connection, address=normal_address(address))
        if row is None:
            raise DeviceRefused("unknown", f"there is no device {address}", address)
        places = store.history(connection, row["device_id"])
        values = store.latest(connection, row["device_id"])
        zone = _zone(connection)
    if as_json:
        whole = _as_json(row) | {"history": places, "latest": values}
        print(json.dumps(whole, ensure_ascii=False, indent=1, default=lambda moment: moment.isoformat()))
        return
    its = seeming(row)
    print(_printable(row["address"]))
    print(f"  state: {row['state']}; {_heard(row, datetime.now(UTC))}")
    for name, text in _facts(row, its):
        print(f"  {name}: {_printable(text)}")
    for place in places:
        print(f"  {_place(place, zone)}")
    for value in values:
        doubt = " (doubtful)" if value["quality"] == 2 else ""
        moment = value["time"].astimezone(zone).isoformat(timespec="seconds")
        print(f"  {value['name']}: {value['value']:.10g}{doubt}, {moment}")


def claim(
    address: Address,
    point: Annotated[str | None, typer.Option(help="an existing point that no device is at")] = None,
    site: Annotated[str | None, typer.Option(help="instead of --point: an existing site, for a new point")] = None,
    kind: Annotated[
        str | None, typer.Option(help="new point: electricity, heat, gas, water, bin, weather, indoor")
    ] = None,
    fraction: Annotated[str | None, typer.Option(help="new bin: mixed, paper, plastic, glass, bio")] = None,
    new_id: Annotated[str | None, typer.Option("--id", help="new point: its id; else made of the site's")] = None,
    interval: Annotated[str | None, typer.Option(help="new point: how often it is heard, for example 15m")] = None,
    contractor: Annotated[str | None, typer.Option(help="new point: who empties or looks after it")] = None,
    empty_mm: Annotated[float | None, typer.Option(help="new bin: from the sensor to the floor")] = None,
    full_mm: Annotated[float, typer.Option(help="new bin: from the sensor to the full mark")] = 250,
    volume_l: Annotated[float | None, typer.Option(help="new bin: its volume")] = None,
    register_digits: Annotated[
        int | None, typer.Option(min=3, max=12, help="new meter: digits of its register")
    ] = None,
    channel: Channel = "",
    since: Annotated[str | None, typer.Option("--from", help="since when it hangs there; else always")] = None,
    profile: Profile = None,
) -> None:
    """Place a device at a point, or at a new point of a site. What it has sent moves there."""
    if (point is None) == (site is None):
        raise DeviceRefused("wrong_point", "give either --point POINT_ID or --site SITE with --kind KIND")
    about_new = (kind, fraction, new_id, interval, contractor, empty_mm, volume_l, register_digits)
    if point is not None and any(value is not None for value in about_new):
        raise DeviceRefused("wrong_point", "what describes a new point goes with --site, not with --point")
    geometry = _geometry(empty_mm, full_mm, volume_l)
    name = normal_address(address)
    with _connected() as connection, connection.transaction():
        known = store.find_device(connection, address=name)
        if site is not None:
            kind = kind or (seeming(known).kind if known is not None else None)
            _check_new(kind, fraction)
            assert kind is not None
            point = store.add_point(
                connection, site, kind, fraction=fraction, code=new_id, interval_s=_seconds(interval)
            )
            store.describe_point(
                connection,
                point,
                contractor=contractor,
                empty_mm=geometry.empty_mm if geometry else None,
                full_mm=geometry.full_mm if geometry else None,
                volume_l=geometry.volume_l if geometry else None,
                register_digits=register_digits,
            )
        assert point is not None
        moment = _moment(since, _zone(connection))
        moved = store.claim(connection, name, point, channel=channel, since=moment, profile=profile)
    print(f"{name} is at the point {point}; {moved} of its readings moved there")
    if known is None:
        print("it has not been heard yet: is the address right?")
    _remind()


def swap(
    point: Annotated[str, typer.Argument(metavar="POINT_ID", help="the point where the device is replaced")],
    new_address: Annotated[str, typer.Argument(help="the new device's address")],
    at: Annotated[
        str | None, typer.Option(help="when; else when the new one was first heard after the old one, or now")
    ] = None,
    register_end: Annotated[float | None, typer.Option(help="what the old meter showed at its end")] = None,
    register_start: Annotated[float | None, typer.Option(help="what the new meter showed at its start")] = None,
    channel: Channel = "",
    profile: Profile = None,
) -> None:
    """Replace the device at a point. The point's history goes on; consumption is right across the swap."""
    name = normal_address(new_address)
    with _connected() as connection:
        zone = _zone(connection)
        done = store.swap(
            connection,
            point,
            name,
            at=_moment(at, zone),
            register_end=register_end,
            register_start=register_start,
            channel=channel,
            profile=profile,
        )
    moment = done.at.astimezone(zone).isoformat(timespec="seconds")
    print(f"{point}: {done.old_address} until {moment}, then {name}; {done.moved} of its readings moved there")
    _remind()


def release(
    address: Address,
    channel: Annotated[str | None, typer.Option(help="only this channel of a device with several")] = None,
) -> None:
    """Take a device away from its point. What it sends from now on is kept with it, unclaimed."""
    name = normal_address(address)
    with _connected() as connection:
        points = store.release(connection, name, channel)
    print(f"{name} is no longer at {', '.join(points)}")
    _remind()


def _connected() -> Connection[Any]:
    connection = connect(Settings().database_url, service="devices")
    check_schema(connection)
    return connection


def _remind() -> None:
    print("the inventory file does not know it yet: `misto inventory export` writes it down, or add it yourself")


def _geometry(empty_mm: float | None, full_mm: float, volume_l: float | None) -> BinGeometry | None:
    if empty_mm is None:
        if volume_l is not None:
            raise DeviceRefused("wrong_point", "--volume-l needs --empty-mm")
        return None
    if not 0 <= full_mm < empty_mm <= 10_000:
        raise DeviceRefused("wrong_point", "--full-mm must be smaller than --empty-mm, and that 10000 at the most")
    return BinGeometry(empty_mm=empty_mm, full_mm=full_mm, volume_l=volume_l)


def _check_new(kind: str | None, fraction: str | None) -> None:
    if kind not in store.POINT_KINDS:
        raise DeviceRefused("wrong_point", f"--kind must be one of {', '.join(store.POINT_KINDS)}")
    if (kind == "bin") != (fraction is not None):
        raise DeviceRefused("wrong_point", "a bin needs its --fraction, and nothing else has one")


def _seconds(interval: str | None) -> float | None:
    try:
        return parse_duration(interval) if interval is not None else None
    except ValueError as error:
        raise DeviceRefused("wrong_point", f"--interval {error}") from None


def _moment(text: str | None, zone: ZoneInfo) -> datetime | None:
    """A moment given by a person; without a zone it is the city's time."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DeviceRefused("wrong_time", f"{text!r} is no time, for example 2026-03-01T12:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _zone(connection: Connection[Any]) -> ZoneInfo:
    city = read_city(connection).city
    return ZoneInfo(city["time_zone"] if city is not None else Settings().time_zone)


def _where(row: Row) -> str:
    if row["places"]:
        return ", ".join(
            f"at {place['point']}" + (f" ({place['channel']})" if place["channel"] else "") for place in row["places"]
        )
    if row["state"] != "unclaimed":
        return f"{row['state']}, at no point"
    its = seeming(row)
    told = [its.kind or "of unknown kind", *(f"{name} {text}" for name, text in _told(its))]
    return f"unclaimed: seems {_printable('; '.join(told))}"


def _told(its: Seeming) -> Iterator[tuple[str, str]]:
    model = " ".join(its.facts[name] for name in ("maker", "model") if name in its.facts) or ", ".join(its.names)
    if model:
        yield "model", model
    for name in ("name", "site", "serial"):
        if name in its.facts:
            yield name, its.facts[name]
    if its.profile:
        yield "profile", its.profile


def _facts(row: Row, its: Seeming) -> Iterator[tuple[str, str]]:
    if row["state"] == "unclaimed":
        yield "seems to be", its.kind or "unknown"
    if its.profile:
        yield "profile", its.profile
    if its.envelope:
        yield "format", its.envelope
    for name, text in its.facts.items():
        if name not in ("kind", "profile"):
            yield f"told {name}", text
    if its.names:
        yield "model names", ", ".join(its.names)
    if its.metrics:
        yield "first sent", ", ".join(its.metrics)
    if row["unknown_fields"]:
        yield "fields not understood", ", ".join(row["unknown_fields"])


def _place(place: Row, zone: ZoneInfo) -> str:
    where = f"at {place['point']}" if place["site"] is not None else "unclaimed"
    if place["channel"]:
        where += f" (channel {place['channel']})"
    for word, moment, register in (
        ("since", place["valid_from"], place["register_start"]),
        ("until", place["valid_to"], place["register_end"]),
    ):
        if moment is not None:
            where += f" {word} {moment.astimezone(zone).isoformat(timespec='seconds')}"
        if register is not None:
            where += f" [register {register:.12g}]"
    return where + (" – by hand" if place["by_hand"] else "")


def _heard(row: Row, now: datetime) -> str:
    if row["last_received_at"] is None:
        return "no reading yet" if row["state"] == "unclaimed" and row["point_id"] is None else "not heard yet"
    minutes = (now - row["last_received_at"]).total_seconds() / 60
    ago = (
        f"{minutes:.0f} min"
        if minutes < 120
        else f"{minutes / 60:.0f} h"
        if minutes < 2880
        else f"{minutes / 1440:.0f} days"
    )
    return f"{row['message_count']} messages, last {ago} ago"


def _as_json(row: Row) -> dict[str, Any]:
    its = seeming(row)
    return {
        "address": row["address"],
        "state": row["state"],
        "profile": row["profile"],
        "places": row["places"],
        "last_received_at": row["last_received_at"] and row["last_received_at"].isoformat(),
        "messages": row["message_count"],
        "seems": {
            "kind": its.kind,
            "profile": its.profile,
            "format": its.envelope,
            "model_names": list(its.names),
            "metrics": list(its.metrics),
            "told": its.facts,
        },
    }


def _printable(text: str) -> str:
    """What devices say of themselves must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
