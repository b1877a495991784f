"""`misto simulate`: a simulated city, live or as history."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import Gauge
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from catalogue.inventory import Inventory, parse_duration, read_inventory
from misto.history import demo_city_file, fill_history, last_stored
from misto.service import health_server, set_up_logging, stop_on_signals
from misto.settings import Settings
from simulators.city import City
from simulators.errors import SimulatorError
from simulators.publisher import Publisher
from simulators.run import Player, Summary
from store.connection import connect
from store.errors import DatabaseUnreachable
from store.migrate import check_schema

SENT = Gauge("misto_simulators_sent_messages", "Messages given to the broker")
ACKNOWLEDGED = Gauge("misto_simulators_acknowledged_messages", "Messages that the broker has acknowledged")

CityFile = Annotated[Path | None, typer.Option(help="inventory of the city; without it the demo city")]
Seed = Annotated[int, typer.Option(help="another seed is another city: other weather, habits and faults")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(
        help="A simulated city: meters and bins that behave plausibly and speak as real devices.", no_args_is_help=True
    )
    group.command("run")(run)
    group.command("history")(history)
    app.add_typer(group, name="simulate")


def _inventory(city: Path | None) -> Inventory:
    return read_inventory(city or demo_city_file())


def run(
    speed: Annotated[float, typer.Option(min=1, help="city seconds a second until it has caught up")] = 1,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", help="where to begin: RFC 3339, or a duration before now such as 12h; else at the last reading"
        ),
    ] = None,
    city: CityFile = None,
    seed: Seed = 1,
    faults: Annotated[bool, typer.Option(help="also unreadable messages, copies and an unknown device")] = True,
    summary: Annotated[Path | None, typer.Option(help="file that is kept up to date with what was sent (JSON)")] = None,
) -> None:
    """Publish the city's readings over MQTT (MISTO_MQTT_URL), QoS 1, until stopped.

    It begins at --from, plays at --speed until it has caught up with the clock, then goes on as time goes. Its times
    never lie in the future. What counts as sent is what the broker has acknowledged.
    """
    settings = Settings()
    set_up_logging(settings.log_level)
    player_city = City(_inventory(city), seed)
    stop = stop_on_signals()
    publisher = Publisher(settings.mqtt_url, f"misto-simulator-{seed}", stop)

    def progress(now: Summary) -> None:
        SENT.set(now.sent)
        ACKNOWLEDGED.set(now.acknowledged)

    player = Player(player_city, publisher, _begin_us(since, settings), speed, faults, summary, progress)
    with health_server(
        settings.metrics_host,
        settings.simulator_metrics_port,
        lambda: (publisher.state == "connected", publisher.state),
    ):
        done = player.play(stop)
    publisher.close()
    formats = ", ".join(f"{count} {name}" for name, count in done.by_format.most_common())
    print(f"sent {done.sent} messages ({formats}), {done.acknowledged} acknowledged by the broker")
    if done.acknowledged < done.sent:
        raise typer.Exit(1)


def _begin_us(since: str | None, settings: Settings) -> int:
    now = datetime.now(UTC)
    if since is not None:
        return round(_moment(since, now).timestamp() * 1e6)
    try:
        with connect(settings.database_url, service="simulate", timeout_s=3) as connection:
            check_schema(connection)
            stored = last_stored(connection)
    except DatabaseUnreachable:
        stored = None
    begin = stored + timedelta(microseconds=1) if stored is not None and stored < now else now
    return round(begin.timestamp() * 1e6)


def _moment(text: str, now: datetime) -> datetime:
    try:
        return now - timedelta(seconds=parse_duration(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = now.replace(tzinfo=None)
    if moment.tzinfo is None:
        raise SimulatorError(f"{text!r} is no moment; give 2026-11-23T06:00:00Z or a duration before now such as 12h")
    return moment


def history(
    days: Annotated[float, typer.Option(min=0.01, help="days before the end")] = 30,
    until: Annotated[str, typer.Option(help="the end: RFC 3339, or a duration before now such as 12h")] = "1s",
    city: CityFile = None,
    seed: Seed = 1,
) -> None:
    """Fill the database with the city's past, in bulk; what is there already is skipped."""
    settings = Settings()
    stop = stop_on_signals()
    simulated = City(_inventory(city), seed)
    end_us = round(_moment(until, datetime.now(UTC)).timestamp() * 1e6)
    start_us = end_us - round(days * 86_400e6)
    columns = (
        TextColumn("history"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with connect(settings.database_url, service="simulate") as connection:
        check_schema(connection)
        stored = last_stored(connection)
        if stored is not None:
            start_us = max(start_us, round(stored.timestamp() * 1e6) + 1)
        if start_us >= end_us:
            print("history: nothing to fill, it is all there")
            return
        began = time.monotonic()
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=end_us - start_us)

            def progress(reached_us: int, count: int) -> None:
                day = datetime.fromtimestamp(reached_us / 1e6, UTC).date()
                bar.update(task, completed=reached_us - start_us, description=f"{day}, {count:,} readings")

            count = fill_history(connection, simulated, start_us, end_us, progress, stop)
    seconds = time.monotonic() - began
    print(f"history: {count:,} readings in {seconds:.0f} s")
