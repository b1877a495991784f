"""`misto simulate replay`: recorded data as MQTT messages."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, TextIO
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from ruamel.yaml import YAML

from catalogue.inventory import read_inventory
from ingest.clock import CLOCK_SET_SINCE_US
from misto.service import set_up_logging, stop_on_signals
from misto.settings import Settings
from simulators.errors import SimulatorError
from simulators.publisher import Publisher
from simulators.replay.convert import Converter
from simulators.replay.inventory import inventory_of
from simulators.replay.load import find_mapping, load_mapping
from simulators.replay.mapping import Mapping
from simulators.replay.messages import Account, Messages
from simulators.replay.moments import local_moment, moment_text
from simulators.replay.reader import file_stem, open_table

log = logging.getLogger("misto.simulators")

_SETTLE_S = 20


def replay(
    file: Annotated[Path, typer.Argument(help="recorded data: .csv, .csv.gz or .parquet")],
    mapping: Annotated[str, typer.Option(help="what its columns are: a shipped mapping's name, or a YAML file")],
    speed: Annotated[str, typer.Option(help="city seconds a second, or max: as fast as the broker takes them")] = "max",
    since: Annotated[
        str | None, typer.Option("--from", help="only from this recorded time on, for example 2018-04-09")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="only before this recorded time")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="this many messages at the most")] = None,
    dry_run: Annotated[int | None, typer.Option(min=1, help="print the first N messages, send nothing")] = None,
    shift: Annotated[bool, typer.Option(help="move the times as the mapping says")] = True,
    write_inventory: Annotated[
        Path | None, typer.Option(help="write the inventory of the file's devices there, send nothing")
    ] = None,
) -> None:
    """Publish recorded data over MQTT (MISTO_MQTT_URL) in plain JSON, QoS 1, in order of time.

    What cannot be read is left out and told at the end. What counts as sent is what the broker has acknowledged.
    """
    settings = Settings()
    set_up_logging(settings.log_level)
    pace = _pace(speed)
    found = load_mapping(find_mapping(mapping))
    bounds = [_recorded_us(text, found) for text in (since, until)]
    errors = Console(stderr=True)
    with errors.status(f"reading {file.name}"), open_table(file, found.spec.file) as table:
        converter = Converter(found, table.columns, file_stem(file))
        for row in table.rows:
            converter.add(row)
        if write_inventory is not None:
            _write_inventory(found, converter, write_inventory)
            return
        messages = converter.finish(time.time_ns() // 1000, *bounds, shift=shift)
    _warn_of_unset_clocks(messages)
    count = min(len(messages), limit or len(messages))
    if dry_run is not None:
        for _, topic, payload in islice(messages, min(dry_run, count)):
            print(topic, payload.decode())
        _report(converter.account, sys.stderr)
        print(f"messages: {count:,}, none sent", file=sys.stderr)
        return
    if count == 0:
        _report(converter.account, sys.stderr)
        raise SimulatorError(f"{file} has nothing to send")
    stop = stop_on_signals()
    publisher = Publisher(settings.mqtt_url, f"misto-replay-{os.getpid()}", stop, settings.mqtt_ca_file)
    try:
        _send(publisher, messages, count, pace, stop, errors)
        settled = publisher.settle(_SETTLE_S if stop.is_set() else 0)
    finally:
        publisher.close()
    _report(converter.account, sys.stdout)
    stopped = f" (stopped before the other {count - publisher.sent:,})" if publisher.sent < count else ""
    print(f"messages sent: {publisher.sent:,}{stopped}, acknowledged by the broker: {publisher.acknowledged:,}")
    if not settled:
        print(f"misto: not everything was acknowledged: {publisher.state}; check MISTO_MQTT_URL", file=sys.stderr)
        raise typer.Exit(1)


def _send(
    publisher: Publisher, messages: Messages, count: int, pace: float, stop: threading.Event, errors: Console
) -> None:
    """Send the first `count` messages at `pace` city seconds a second (0: without waiting), until `stop`.

    At the end it waits for the broker's acknowledgements, at most `_SETTLE_S`.
    """
    columns = (
        TextColumn("replay"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    began, told = time.monotonic(), 0.0
    first_us = int(messages.time_us[0])
    with Progress(*columns, console=errors) as bar:
        task = bar.add_task("", total=count)
        for time_us, topic, payload in islice(messages, count):
            due = began + (time_us - first_us) / 1e6 / pace if pace else 0.0
            while True:
                now = time.monotonic()
                if now - told > 0.2:
                    told = now
                    bar.update(task, completed=publisher.acknowledged, description=moment_text(time_us)[:16])
                if stop.is_set():
                    return
                if now >= due:
                    break
                stop.wait(min(0.5, due - now))
            publisher.send(topic, payload)
        deadline = time.monotonic() + _SETTLE_S
        while publisher.acknowledged < count and not stop.is_set() and time.monotonic() < deadline:
            bar.update(task, completed=publisher.acknowledged)
            stop.wait(0.05)
        bar.update(task, completed=publisher.acknowledged)


def _pace(speed: str) -> float:
    """City seconds a second; 0 for `max`."""
    if speed == "max":
        return 0.0
    try:
        pace = float(speed)
    except ValueError:
        pace = 0.0
    if not 0 < pace < float("inf"):
        raise SimulatorError(f"--speed is {speed!r}; expected max or a number of seconds a second, for example 3600")
    return pace


def _recorded_us(text: str | None, mapping: Mapping) -> int | None:
    """A moment of --from or --to; without a zone it is in the mapping's, else in UTC."""
    if text is None:
        return None
    try:
        return local_moment(datetime.fromisoformat(text), ZoneInfo(mapping.spec.time.zone or "UTC"))[0]
    except ValueError:
        raise SimulatorError(
            f"{text!r} is no moment; expected for example 2018-04-09 or 2018-04-09T12:00:00Z"
        ) from None


def _warn_of_unset_clocks(messages: Messages) -> None:
    early = int((messages.time_us < CLOCK_SET_SINCE_US).sum())
    if early:
        log.warning(
            "%d of %d times lie before 2020, which ingest takes for clocks that were never set: it stores the time of "
            "reception. Give the mapping a shift, for example shift: {end: now, step: 7d}",
            early,
            len(messages),
        )


def _write_inventory(mapping: Mapping, converter: Converter, path: Path) -> None:
    """Write the inventory, whole or not at all, once it has been read back without a mistake."""
    content = inventory_of(mapping, converter.first_rows)
    fresh = path.with_name(f"{path.name}.new")
    writer = YAML()
    writer.width = 120
    try:
        with fresh.open("w", encoding="utf-8") as output:
            writer.dump(content, output)
        read_inventory(fresh)
        fresh.replace(path)
    except OSError as error:
        raise SimulatorError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        fresh.unlink(missing_ok=True)
    points = sum(len(site["points"]) for site in content["sites"])
    print(f"{path}: {len(content['sites'])} sites, {points} points; load it with: misto inventory load {path}")


def _report(account: Account, output: TextIO) -> None:
    """What became of the rows, for a person."""
    filtered = f", left out by the filter: {account.filtered:,}" if account.filtered else ""
    print(f"rows read: {account.rows:,}{filtered}, skipped: {account.skipped_rows:,}", file=output)
    for line in told_reasons(account):
        print(line, file=output)


def told_reasons(account: Account) -> Iterator[str]:
    """A line for each reason why something was left out, the most frequent first."""
    for reason, entry in sorted(account.reasons.items(), key=lambda item: -item[1].count):
        lines = ", ".join(map(str, entry.lines)) + (" …" if entry.count > len(entry.lines) else "")
        example = f" (such as {entry.example!r})" if entry.example else ""
        yield f"  {entry.count:,} × {reason}{example}: line {lines}"
