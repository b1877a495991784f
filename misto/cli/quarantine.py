"""`misto quarantine`: messages that could not be read are looked at, replayed and dropped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import psycopg
import typer
from psycopg import Connection
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from catalogue.inventory import parse_duration
from dashboards.board.messages import has_message, message
from ingest.errors import REASONS, Reason
from misto.quarantine.replay import Account, Replay
from misto.service import set_up_logging, stop_on_signals
from misto.settings import Settings
from store import quarantine
from store.connection import connect
from store.errors import StoreError, first_line, understood
from store.migrate import check_schema
from store.quarantine import Row, Selection
from store.redaction import hidden_topic, shown
from store.registry import read_city

_MOST_SOURCES = 40
_SAMPLE_BYTES = 4096
_SAMPLE_LENGTH = 160

Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="entries, as `misto quarantine list` shows")]
ByReason = Annotated[Reason | None, typer.Option("--reason", help="those with this reason")]
ByDevice = Annotated[str | None, typer.Option("--device", help="those of this device, or topic if no device is known")]
All = Annotated[bool, typer.Option("--all", help="everything")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Messages that could not be read.", no_args_is_help=True)
    group.command("list")(list_command)
    group.command("show")(show)
    group.command("replay")(replay)
    group.command("drop")(drop)
    app.add_typer(group, name="quarantine")


class QuarantineRefused(StoreError):
    """What was asked for cannot be done. Its text is a sentence for a person."""


def list_command(
    reason: ByReason = None,
    device: ByDevice = None,
    since: Annotated[str | None, typer.Option(help="received since then: 24h, 7d, 2026-03-01T12:00")] = None,
    limit: Annotated[int, typer.Option(min=0, help="how many samples, the newest first")] = 20,
) -> None:
    """How many there are by reason and device, then samples. Secrets in their contents are hidden."""
    settings = Settings()
    with _connected(settings) as connection:
        zone = _zone(connection, settings)
        chosen = Selection(quarantine.newest_id(connection), reason=reason, source=device, since=_moment(since, zone))
        total = quarantine.total(connection, chosen)
        counts = quarantine.counts(connection, chosen, _MOST_SOURCES)
        samples = quarantine.samples(connection, chosen, limit)
        payloads = quarantine.payloads(connection, [row["quarantine_id"] for row in samples], _SAMPLE_BYTES)
    if not total["messages"]:
        print("nothing in quarantine" + ("" if chosen == Selection(chosen.until_id) else " fits"))
        return
    print(
        f"{total['messages']:,} messages in quarantine, {_size(total['bytes'])} of {settings.quarantine_mb:,} MB, "
        f"the oldest of {_time(total['oldest_at'], zone)}"
    )
    print(f"{'messages':>10}  {'newest':<19}  {'reason':<17} device")
    for row in counts:
        print(f"{row['messages']:>10,}  {_time(row['newest_at'], zone):<19}  {_source(row)}")
    if total["sources"] > len(counts):
        print(f"{'':>10}  and {total['sources'] - len(counts):,} more")
    for row in samples:
        print(f"#{row['quarantine_id']}  {_time(row['received_at'], zone)}  {_printable(row['reason'])}  {_where(row)}")
        print(f"    {_printable(row['detail'])}")
        if row["quarantine_id"] in payloads and row["payload_bytes"]:
            print(
                f"    {_sample(payloads[row['quarantine_id']], row['payload_bytes'])}  ({row['payload_bytes']:,} bytes)"
            )


def show(
    entry_id: Annotated[int, typer.Argument(metavar="ID", help="its number, as `misto quarantine list` shows it")],
    raw: Annotated[bool, typer.Option("--raw", help="only the content's bytes as they came, with its secrets")] = False,
) -> None:
    """One message: everything that is known of it, and what to do. Secrets in its content are hidden."""
    settings = Settings()
    with _connected(settings) as connection:
        zone = _zone(connection, settings)
        row = quarantine.entry(connection, entry_id) if 0 < entry_id < 2**63 else None
        payload = quarantine.payloads(connection, [entry_id]).get(entry_id) if row is not None else None
    if row is None:
        raise QuarantineRefused(f"there is no message {entry_id} in quarantine")
    if raw:
        if payload is None:
            raise QuarantineRefused("this database role may not read contents; use the owner's")
        sys.stdout.buffer.write(payload)
        return
    reason = row["reason"]
    known = reason in set(Reason)
    print(f"#{entry_id}")
    print(
        f"  received:   {row['received_at'].astimezone(zone).isoformat()}" + (" (retained)" if row["retained"] else "")
    )
    print(f"  topic:      {_printable(hidden_topic(row['topic']))}")
    print(f"  device:     {_printable(row['device_address'] or 'not known')}")
    print(f"  reason:     {_printable(reason)}" + (f": {REASONS[Reason(reason)]}" if known else ""))
    print(f"  detail:     {_printable(row['detail'])}")
    if has_message(f"todo.{reason}"):
        print(f"  what to do: {message('en', f'todo.{reason}')}")
    if payload is None:
        print(f"  content:    {row['payload_bytes']:,} bytes, which this database role may not read")
        return
    its = shown(payload)
    notes = ["" if its.is_text or not payload else "no text"]
    notes.append("secrets are hidden, --raw shows all" if its.is_redacted else "")
    print("; ".join([f"  content:    {row['payload_bytes']:,} bytes", *filter(None, notes)]))
    if its.text:
        print(its.text)


def replay(ids: Ids = None, reason: ByReason = None, device: ByDevice = None, everything: All = False) -> None:
    """Read them again: with the profiles, the inventory and the Misto of today, at their time of reception.

    What is read now leaves the quarantine; what still cannot be read stays, with the reason of today. Several times is
    as once, and ingest may run beside it.
    """
    settings = Settings()
    set_up_logging(settings.log_level)
    stop = stop_on_signals()
    with _connected(settings) as connection:
        chosen = _chosen(connection, ids, reason, device, everything)
        count = quarantine.total(connection, chosen)["messages"]
    _say_missing(chosen, count)
    if not count:
        print("nothing in quarantine fits")
        return
    columns = (TextColumn("replay"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with (
        Replay(settings.database_url, settings.time_zone, settings.profiles_dir, settings.envelopes) as running,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):
        task = bar.add_task("", total=count)
        try:
            running.run(chosen, stop, lambda done: bar.update(task, completed=done.entries))
        except (psycopg.Error, StoreError) as error:
            bar.stop()
            _report(running.account, 0)
            raise QuarantineRefused(f"{first_line(error)}; what is not told above is as it was: do it again") from error
    _report(running.account, count if stop.is_set() else 0)


def drop(
    ids: Ids = None,
    reason: ByReason = None,
    device: ByDevice = None,
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Remove them for good. How many there were of each reason is kept."""
    with _connected(Settings()) as connection:
        chosen = _chosen(connection, ids, reason, device, everything)
        total = quarantine.total(connection, chosen)
        counts = quarantine.counts(connection, chosen, _MOST_SOURCES)
        connection.commit()
        count = total["messages"]
        _say_missing(chosen, count)
        if not count:
            print("nothing in quarantine fits")
            return
        if not yes:
            for row in counts:
                print(f"{row['messages']:>10,}  {_source(row)}")
            if total["sources"] > len(counts):
                print(f"{'':>10}  and {total['sources'] - len(counts):,} more")
            typer.confirm(f"drop {_messages(count)} for good?", abort=True)
        print(f"dropped {_messages(quarantine.drop(connection, chosen))}")


def _chosen(
    connection: Connection[Any], ids: list[int] | None, reason: Reason | None, device: str | None, everything: bool
) -> Selection:
    """What is asked for: numbers, or reason and device, or everything. What comes in from now on is not meant."""
    ways = [bool(ids), reason is not None or device is not None, everything]
    if sum(ways) != 1:
        raise QuarantineRefused("say which: their numbers, --reason and --device, or --all")
    if any(not 0 < number < 2**63 for number in ids or ()):
        raise QuarantineRefused("the number of a message is greater than 0")
    until_id = quarantine.newest_id(connection)
    return Selection(until_id, tuple(dict.fromkeys(ids)) if ids else None, reason, device)


def _say_missing(chosen: Selection, count: int) -> None:
    if chosen.ids is not None and count < len(chosen.ids):
        print(f"{len(chosen.ids) - count} of these numbers are not in quarantine, or no longer")


def _report(account: Account, asked: int) -> None:
    if account.read:
        print(
            f"{_messages(account.read)} read and removed from quarantine: {account.stored_readings:,} readings stored, "
            f"{account.known_readings:,} were there already"
        )
    elif account.stored_readings:
        print(f"{account.stored_readings:,} readings stored, {account.known_readings:,} were there already")
    if account.no_reading:
        print(f"{_messages(account.no_reading)} removed, for they hold no reading by their format")
    if account.vanished:
        print(f"{_messages(account.vanished)} were removed meanwhile")
    if account.failing:
        print(f"{_messages(account.failing.total())} still cannot be read:")
        for reason, count in account.failing.most_common():
            print(f"{count:>10,}  {reason}")
    if asked > account.entries:
        print(f"stopped before the other {asked - account.entries:,}")


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection[Any]]:
    """A connection; what the database refuses is told in a sentence."""
    try:
        with connect(settings.database_url, service="quarantine") as connection:
            check_schema(connection)
            connection.commit()
            yield connection
    except psycopg.Error as error:
        raise understood(error) or QuarantineRefused(f"the database refuses: {first_line(error)}") from error


def _zone(connection: Connection[Any], settings: Settings) -> ZoneInfo:
    city = read_city(connection).city
    return ZoneInfo(city["time_zone"] if city is not None else settings.time_zone)


def _moment(text: str | None, zone: ZoneInfo) -> datetime | None:
    """A moment, or how long ago; without a zone it is the city's time."""
    if text is None:
        return None
    try:
        return datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise QuarantineRefused(f"--since {text!r}: expected for example 24h, 7d or 2026-03-01T12:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _source(row: Row) -> str:
    source = (
        f"not known, topic {_printable(hidden_topic(row['source']))}" if row["by_topic"] else _printable(row["source"])
    )
    return f"{_printable(row['reason']):<17} {source}"


def _where(row: Row) -> str:
    device = f"{_printable(row['device_address'])}, " if row["device_address"] else ""
    return f"{device}topic {_printable(hidden_topic(row['topic']))}"


def _sample(payload: bytes, length: int) -> str:
    """The start of a content on one line; `length` is that of all of it."""
    its = shown(payload, cut=len(payload) < length)
    line = " ".join(its.text.split())
    return line if len(line) <= _SAMPLE_LENGTH else line[: _SAMPLE_LENGTH - 1] + "…"


def _messages(count: int) -> str:
    return f"{count:,} message" + ("" if count == 1 else "s")


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f}"


def _time(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _printable(text: str) -> str:
    """What devices say must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
