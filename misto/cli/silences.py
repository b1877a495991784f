"""`misto silences`: what is not told of, for a time."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from catalogue.inventory import parse_duration
from misto.settings import Settings
from store import silences
from store.connection import connect
from store.migrate import check_schema
from store.silences import NewSilence, Row, SilenceRefused, parse_labels

Names = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(
        help="Silences and maintenance windows: alerts that are not told for a time.", no_args_is_help=True
    )
    group.command("list")(list_command)
    group.command("add")(add)
    group.command("end")(end)
    app.add_typer(group, name="silences")


def list_command() -> None:
    """List silences that hold, that will, and that ended in the last 30 days."""
    settings = Settings()
    with connect(settings.database_url, service="silences") as connection:
        check_schema(connection)
        rows = silences.silences(connection)
    zone = ZoneInfo(settings.time_zone)
    for row in rows:
        span = f"{_local(row['begins_at'], zone)} to {_local(row['over_at'], zone)}"
        ended = f", ended by {row['ended_by']}" if row["ended_by"] else ""
        print(
            f"{row['silence_id']:>5}  {row['state']:<6}  {span}  {_what(row)}: {row['reason']} ({row['author']}{ended})"
        )
    print(f"{sum(row['state'] == 'active' for row in rows)} hold now")


def add(
    reason: Annotated[str, typer.Option(help="why")],
    lasts: Annotated[str | None, typer.Option("--for", help="how long, such as 4h or 2d")] = None,
    until: Annotated[str | None, typer.Option(help="or its end, such as 2026-03-01T18:00")] = None,
    begin: Annotated[str | None, typer.Option("--from", help="its beginning; now if left out")] = None,
    by: Annotated[str | None, typer.Option(help="who says so; the user of this machine if left out")] = None,
    rule: Annotated[Names, typer.Option(help="each of these may be given several times")] = None,
    point: Annotated[Names, typer.Option()] = None,
    site: Annotated[Names, typer.Option()] = None,
    zone: Annotated[Names, typer.Option()] = None,
    kind: Annotated[Names, typer.Option()] = None,
    contractor: Annotated[Names, typer.Option()] = None,
    severity: Annotated[Names, typer.Option()] = None,
    label: Annotated[Names, typer.Option(help="name=value")] = None,
) -> None:
    """Add a silence. All that is given must fit an alert; of several values of one option, one."""
    settings = Settings()
    local = ZoneInfo(settings.time_zone)
    now = datetime.now(UTC)
    begins_at = _moment("--from", begin, local) if begin else None
    if (lasts is None) == (until is None):
        raise SilenceRefused("times", "give either --for or --until")
    if until is not None:
        ends_at = _moment("--until", until, local)
    else:
        try:
            ends_at = (begins_at or now) + timedelta(seconds=parse_duration(lasts))
        except (ValueError, OverflowError):
            raise SilenceRefused("times", f"--for {lasts!r}: expected for example 4h or 2d") from None
    new = NewSilence(
        ends_at=ends_at,
        author=by or getpass.getuser(),
        reason=reason,
        begins_at=begins_at,
        rules=rule or [],
        points=point or [],
        sites=site or [],
        zones=zone or [],
        kinds=kind or [],
        contractors=contractor or [],
        severities=severity or [],
        labels=parse_labels(label or []),
    )
    with connect(settings.database_url, service="silences") as connection:
        check_schema(connection)
        number = silences.add(connection, new, now)
        connection.commit()
    print(f"silence {number} holds until {_local(ends_at, local)}")


def end(
    number: Annotated[int, typer.Argument(help="its number, as `misto silences list` shows it")],
    by: Annotated[str | None, typer.Option(help="who says so; the user of this machine if left out")] = None,
) -> None:
    """End a silence now."""
    with connect(Settings().database_url, service="silences") as connection:
        check_schema(connection)
        if not silences.end(connection, number, by or getpass.getuser()):
            raise SilenceRefused("over", f"there is no silence {number}, or it is over")
        connection.commit()
    print(f"silence {number} has ended")


def _what(row: Row) -> str:
    parts = ("rules", "points", "sites", "zones", "kinds", "contractors", "severities")
    named = [f"{part} {', '.join(row[part])}" for part in parts if row[part]]
    return "; ".join(named + [f"{name}={value}" for name, value in row["labels"].items()])


def _moment(option: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SilenceRefused(
            "times", f"{option} {text!r} is no moment; expected for example 2026-03-01T18:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")
