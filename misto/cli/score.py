"""`misto score`: how good the rules are."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from catalogue.inventory import Inventory, read_inventory
from misto.history import demo_city_file
from misto.score.database import alerts_in, watched_in
from misto.score.matching import Score, score
from misto.score.offline import judge_city
from misto.score.people import people_of
from misto.score.report import as_json, markdown, show
from misto.settings import Settings
from rules.loader import read_rules, rules_in_force
from rules.model import Rule
from simulators.errors import SimulatorError
from simulators.scenario import read_scenario
from simulators.truth import TruthFile
from store.connection import connect
from store.migrate import check_schema


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("score")(score_rules)


def score_rules(
    scenario: Annotated[
        Path | None, typer.Option(help="simulate this scenario and judge it without broker and database")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="hold the alerts in the database against this file of `misto simulate`")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="with --scenario; can be given several times")] = None,
    rules: Annotated[list[Path] | None, typer.Option(help="rule files or folders; else the rules in force")] = None,
    city: Annotated[Path | None, typer.Option(help="inventory, if it is not that of the scenario or the demo")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write everything as JSON, - for the screen")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="write the tables as Markdown")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="with --scenario; else all cores")] = None,
) -> None:
    """Alerts against truth: true, false and missed, precision, recall, delay, by rule and by fault."""
    if (scenario is None) == (truth is None):
        raise SimulatorError("give either --scenario FILE (simulated here) or --truth FILE (alerts of the database)")
    settings = Settings()
    judged_by = (
        read_rules(rules, settings.time_zone) if rules else rules_in_force(settings.rules_dir, settings.time_zone)
    )
    # Tables go whole into files and pipes.
    wide = None if sys.stdout.isatty() else 200
    console = Console(stderr=str(json_file) == "-", width=wide)
    done: list[tuple[str, Score]] = []
    if scenario is not None:
        seeds: list[int | None] = [*seed] if seed else [None]
        done += [_simulated(scenario, number, city, judged_by, processes) for number in seeds]
    elif truth is not None:
        done.append(_stored(truth, city, judged_by, settings))
    for title, its in done:
        show(its, title, console)
    if json_file is not None:
        text = json.dumps({title: as_json(its) for title, its in done}, indent=1)
        if str(json_file) == "-":
            print(text)
        else:
            _write(json_file, text + "\n")
    if markdown_file is not None:
        _write(markdown_file, "\n".join(f"### {title}\n\n{markdown(its)}" for title, its in done))


def _simulated(
    path: Path, seed: int | None, city: Path | None, rules: list[Rule], processes: int | None
) -> tuple[str, Score]:
    scenario, inventory = read_scenario(path)
    inventory = _inventory(city) if city is not None or inventory is None else inventory
    if scenario.begin is None or scenario.end is None:
        raise SimulatorError(f"{path}: to be scored it needs from and to, for example from: 2025-09-01T00:00:00+03:00")
    seed = scenario.seed if seed is None else seed
    from_us, to_us = (round(moment.timestamp() * 1e6) for moment in (scenario.begin, scenario.end))
    began = time.monotonic()
    columns = (TextColumn(f"seed {seed}"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)

        def progress(points: int, total: int, readings: int) -> None:
            bar.update(
                task, total=total, completed=points, description=f"{points} of {total} points, {readings:,} readings"
            )

        judged = judge_city(inventory, scenario, seed, rules, from_us, to_us, progress, processes)
    who, persons = people_of(inventory)
    its = score(rules, judged.watched, judged.alerts, judged.truths, who, persons, from_us, to_us)
    title = (
        f"seed {seed}: {judged.readings:,} readings in {its.days:.0f} days, {its.alerts:,} alerts; "
        f"{time.monotonic() - began:.0f} s"
    )
    return title, its


def _stored(path: Path, city: Path | None, rules: list[Rule], settings: Settings) -> tuple[str, Score]:
    file = TruthFile.read(path)
    inventory = _inventory(city)
    with connect(settings.database_url, service="score") as connection:
        check_schema(connection)
        alerts = alerts_in(connection, file.from_us, file.to_us)
        watched = watched_in(connection, rules)
    who, persons = people_of(inventory)
    its = score(rules, watched, alerts, file.faults, who, persons, file.from_us, file.to_us)
    begin, end = (datetime.fromtimestamp(at_us / 1e6, UTC) for at_us in (file.from_us, file.to_us))
    return f"alerts of the database, {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC: {its.alerts:,}", its


def _inventory(city: Path | None) -> Inventory:
    return read_inventory(city or demo_city_file())


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SimulatorError(f"{path} cannot be written: {error.strerror}") from None
