"""`misto simulate`: a simulated city, live or as history; its faults and their truth."""

from __future__ import annotations

import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import Gauge
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from catalogue.faults import fault_kinds
from catalogue.inventory import Inventory, parse_duration, read_inventory
from misto.cli.keys import pausable
from misto.cli.load import run_load
from misto.cli.replay import replay
from misto.history import demo_city_file, demo_scenario_file, fill_history, last_stored
from misto.service import health_server, set_up_logging, stop_on_signals, tune_collector
from misto.settings import Settings
from simulators.calendar import EPOCH
from simulators.city import City
from simulators.errors import SimulatorError
from simulators.generate import CitySize, as_yaml, generate
from simulators.publisher import Publisher
from simulators.run import Player, Summary
from simulators.scenario import DERIVED_KINDS, Scenario, read_scenario
from simulators.truth import truth_of
from store.connection import connect
from store.errors import DatabaseUnreachable
from store.migrate import check_schema

SENT = Gauge("misto_simulators_sent_messages", "Messages given to the broker")
ACKNOWLEDGED = Gauge("misto_simulators_acknowledged_messages", "Messages that the broker has acknowledged")

CityFile = Annotated[
    Path | None, typer.Option("--city", help="inventory of the city; without it that of the scenario, or the demo city")
]
ScenarioFile = Annotated[
    Path | None, typer.Option("--scenario", help="scenario file: which faults; without it those of the demo")
]
Seed = Annotated[
    int | None, typer.Option(help="another seed is another city: other weather, habits and faults; else the scenario's")
]
NoFaults = Annotated[bool, typer.Option("--no-faults", help="a city in which nothing goes wrong")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(
        help="A simulated city: meters and bins that behave plausibly, speak as real devices, and have known faults.",
        no_args_is_help=True,
    )
    for command in (run, history, replay, faults, truth, city):
        group.command(command.__name__)(command)
    app.add_typer(group, name="simulate")


def simulated_city(
    city: Path | None, scenario: Path | None, seed: int | None, no_faults: bool = False, until_us: int | None = None
) -> City:
    """The city that these options mean."""
    its_scenario, inventory = read_scenario(scenario or demo_scenario_file())
    if no_faults:
        its_scenario = Scenario(version=1, seed=its_scenario.seed)
    if city is not None:
        inventory = read_inventory(city)
    return City(inventory or _demo_city(), its_scenario, seed, until_us)


def _demo_city() -> Inventory:
    return read_inventory(demo_city_file())


def run(
    speed: Annotated[str, typer.Option(help="city seconds a second until it has caught up, or max")] = "1",
    since: Annotated[
        str | None,
        typer.Option(
            "--from", help="where to begin: RFC 3339, or a duration before now such as 12h; else at the last reading"
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="where to end: as --from, or now; else it goes on as time goes")
    ] = None,
    city: CityFile = None,
    scenario: ScenarioFile = None,
    seed: Seed = None,
    no_faults: NoFaults = False,
    load: Annotated[
        int | None, typer.Option(min=1, help="instead of a city: so many devices, as fast as the broker takes it")
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="with --load: messages a second at most (0: no limit)")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="with --load: messages in all; else until stopped")] = None,
    summary: Annotated[Path | None, typer.Option(help="file that is kept up to date with what was sent (JSON)")] = None,
    truth: Annotated[
        Path | None, typer.Option(help="file for the faults of the time played (JSON lines), written at the end")
    ] = None,
) -> None:
    """Publish the city's readings over MQTT (MISTO_MQTT_URL), QoS 1, until stopped or until --to.

    It begins at --from, plays at --speed until it has caught up with the clock, then goes on as time goes. Its times
    never lie in the future. What counts as sent is what the broker has acknowledged. The space bar, or SIGUSR1, pauses
    and resumes.
    """
    settings = Settings()
    set_up_logging(settings.log_level)
    stop = stop_on_signals()
    if load is not None:
        raise typer.Exit(run_load(settings, load, count, rate, stop))
    pace = _speed(speed)
    player_city = simulated_city(city, scenario, seed, no_faults)
    begin_us = _begin_us(since, player_city.scenario.begin, settings)
    end_us = None if until is None else _us(_moment(until, datetime.now(UTC)))
    if end_us is not None and end_us <= begin_us:
        raise SimulatorError("--to lies before --from; there is nothing to play")
    publisher = Publisher(settings.mqtt_url, f"misto-simulator-{player_city.seed}", stop, settings.mqtt_ca_file)
    paused = threading.Event()
    tune_collector()
    with (
        health_server(
            settings.metrics_host,
            settings.simulator_metrics_port,
            lambda: (publisher.state == "connected", publisher.state),
        ),
        _shown(begin_us, end_us) as bar,
        pausable(paused),
    ):
        task = bar.add_task("", total=None)

        def progress(now: Summary) -> None:
            SENT.set(now.sent)
            ACKNOWLEDGED.set(now.acknowledged)
            to_us = end_us if end_us is not None else time.time_ns() // 1000
            moment = datetime.fromtimestamp(max(now.city_time_us, begin_us) / 1e6, UTC)
            state = "paused" if now.paused else "live" if now.caught_up and end_us is None else "playing"
            told = f"{moment:%Y-%m-%d %H:%M} UTC, {now.acknowledged:,} of {now.sent:,} acknowledged, {state}"
            if publisher.state != "connected":
                told += f"; {publisher.state}"
            bar.update(task, total=to_us - begin_us, completed=max(0, now.city_time_us - begin_us), description=told)

        done = Player(player_city, publisher, begin_us, pace, end_us, summary, progress, paused).play(stop)
    publisher.close()
    if truth is not None:
        truth_of(player_city, begin_us, max(done.city_time_us, begin_us + 1)).write(truth)
    formats = ", ".join(f"{count} {name}" for name, count in done.by_format.most_common())
    print(
        f"sent {done.sent} messages ({formats}), {done.acknowledged} acknowledged by the broker; "
        f"{done.garbage} unreadable and {done.duplicates} copies among them, on purpose"
    )
    if done.acknowledged < done.sent:
        raise typer.Exit(1)


def _shown(begin_us: int, end_us: int | None) -> Progress:
    """A bar for a person at a terminal; in a log nothing."""
    return Progress(
        BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"),
        console=Console(stderr=True), disable=not sys.stderr.isatty(),
    )  # fmt: skip


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1 <= speed < 1e9:
        raise SimulatorError(f"--speed {text} is no speed; give a number from 1 on such as 720, or max")
    return speed


def _begin_us(since: str | None, begin: datetime | None, settings: Settings) -> int:
    now = datetime.now(UTC)
    if since is not None:
        return _us(_moment(since, now))
    try:
        with connect(settings.database_url, service="simulate", timeout_s=3) as connection:
            check_schema(connection)
            stored = last_stored(connection)
    except DatabaseUnreachable:
        stored = None
    if stored is not None and stored < now:
        return _us(stored + timedelta(microseconds=1))
    return _us(begin if begin is not None and begin < now else now)


def _us(moment: datetime) -> int:
    if moment < EPOCH:
        raise SimulatorError(f"the simulation begins at {EPOCH:%Y-%m-%d}; {moment:%Y-%m-%d} lies before it")
    return round(moment.timestamp() * 1e6)


def _moment(text: str, now: datetime) -> datetime:
    if text == "now":
        return now
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
    scenario: ScenarioFile = None,
    seed: Seed = None,
    no_faults: NoFaults = False,
) -> None:
    """Fill the database with the city's past, in bulk; what is there already is skipped."""
    settings = Settings()
    stop = stop_on_signals()
    simulated = simulated_city(city, scenario, seed, no_faults)
    end_us = _us(_moment(until, datetime.now(UTC)))
    start_us = _us(datetime.fromtimestamp(end_us / 1e6, UTC) - timedelta(days=days))
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


def faults(language: Annotated[str, typer.Option(help="en or uk")] = "en") -> None:
    """List the kinds of fault, with what a person would notice."""
    if language not in ("en", "uk"):
        raise SimulatorError(f"--language {language}: there are en and uk")
    for kind in fault_kinds().values():
        lasts = "a moment" if kind.lasts_h is None else f"{kind.lasts_h.least:g}-{kind.lasts_h.most:g} h"
        if kind.id in DERIVED_KINDS or kind.id == "missed-collection":
            lasts = ""
        amount = f"{kind.amount.least:g}-{kind.amount.most:g} {kind.unit}" if kind.amount is not None else ""
        print(f"{kind.id:<20} {'/'.join(kind.points):<42} {lasts:<12} {amount:<24} {getattr(kind, language)}")


def truth(
    output: Annotated[Path, typer.Argument(help="file to write (JSON lines)")],
    since: Annotated[
        str | None, typer.Option("--from", help="RFC 3339 or a duration before now; else the scenario's")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="as --from; else the scenario's, or now")] = None,
    city: CityFile = None,
    scenario: ScenarioFile = None,
    seed: Seed = None,
) -> None:
    """Write what goes wrong in a city, where, from when to when: for `misto score`."""
    now = datetime.now(UTC)
    simulated = simulated_city(city, scenario, seed)
    begin = _moment(since, now) if since else simulated.scenario.begin
    if begin is None:
        raise SimulatorError("say from when on: --from 30d, or `from:` in the scenario")
    end = _moment(until, now) if until else simulated.scenario.end or now
    if end <= begin:
        raise SimulatorError("the end lies before the beginning; see --from and --to")
    file = truth_of(simulated, _us(begin), _us(end))
    file.write(output)
    print(f"{len(file.faults)} faults written to {output}")


def city(
    buildings: Annotated[int, typer.Option(min=0, max=100_000, help="public buildings, three meters each")],
    bins: Annotated[int, typer.Option(min=0, max=1_000_000, help="bins, four a stand")],
    interval: Annotated[str | None, typer.Option(help="time between reports, such as 1m; else 15m and 30m")] = None,
) -> None:
    """Print the inventory of a made-up city of any size (YAML)."""
    if interval is not None:
        try:
            parse_duration(interval)
        except ValueError as error:
            raise SimulatorError(f"--interval {interval}: {error}") from None
    sys.stdout.write(as_yaml(generate(CitySize(buildings=buildings, bins=bins, interval=interval))))
