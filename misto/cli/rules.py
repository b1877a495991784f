"""`misto rules`: run, check and list them."""

from __future__ import annotations

import os
import socket
from collections import Counter
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from catalogue.inventory import parse_duration, read_inventory
from misto.backtest import backtest
from misto.service import health_server, set_up_logging, stop_on_signals, tune_collector
from misto.settings import Settings
from rules.errors import RulesError
from rules.loader import read_rules, rules_in_force
from rules.model import Rule
from rules.notes import notes, points_of
from rules.record import place_of
from rules.selftest import failures
from rules.service import RulesConfig, RulesService
from rules.text import tell
from store.alerts import load_points
from store.connection import connect
from store.migrate import check_schema


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="The rules that raise alerts.", no_args_is_help=True)
    group.command("run")(run)
    group.command("check")(check)
    group.command("list")(list_rules)
    group.command("backtest")(backtest_command)
    app.add_typer(group, name="rules")


def run() -> None:
    """Judge readings and raise alerts until stopped."""
    settings = Settings()
    set_up_logging(settings.log_level)
    rules = rules_in_force(settings.rules_dir, settings.time_zone)
    stop = stop_on_signals()
    worker = settings.rules_worker or f"{socket.gethostname()}:{os.getpid()}"
    config = RulesConfig(settings.database_url, rules, settings.time_zone, worker, judge_history=settings.judge_history)
    service = RulesService(config, stop)
    tune_collector()
    with health_server(settings.metrics_host, settings.rules_metrics_port, service.health):
        service.run()


def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="rule files or folders; without any, the rules in force")
    ] = None,
    inventory: Annotated[
        Path | None, typer.Option(help="note which rules watch none or very many of this city's points, and why")
    ] = None,
) -> None:
    """Check rule files and run their own tests."""
    points = points_of(read_inventory(inventory)) if inventory is not None else None
    settings = Settings()
    rules = read_rules(paths, settings.time_zone) if paths else rules_in_force(settings.rules_dir, settings.time_zone)
    told = [failure for rule in rules for failure in failures(rule)]
    for failure in told:
        print(failure)
    for note in notes(rules, points) if points is not None else []:
        print(f"note: {note}")
    tests = sum(len(rule.tests) for rule in rules)
    print(f"{len(rules)} rules, {tests} tests, {len(told)} failed")
    if told:
        raise typer.Exit(1)


def list_rules() -> None:
    """List the rules in force."""
    settings = Settings()
    for rule in rules_in_force(settings.rules_dir, settings.time_zone):
        severity = rule.steps[-1].severity
        print(f"{rule.id:<24} {severity:<9} {_kinds(rule):<22} {rule.source}")


def backtest_command(
    since: Annotated[str, typer.Option("--from", help="a moment such as 2026-03-01, or a duration before now: 30d")],
    until: Annotated[str, typer.Option("--to", help="as --from")] = "0d",
    rule: Annotated[list[str] | None, typer.Option(help="only this rule; may be given several times")] = None,
    point: Annotated[list[str] | None, typer.Option(help="only this point; may be given several times")] = None,
    paths: Annotated[list[Path] | None, typer.Argument(help="rule files or folders; else the rules in force")] = None,
) -> None:
    """Say what the rules would have told of the readings that are stored. Writes nothing."""
    settings = Settings()
    zone = ZoneInfo(settings.time_zone)
    now = datetime.now(UTC)
    from_us, to_us = (_moment_us(text, now, zone) for text in (since, until))
    if from_us >= to_us:
        raise RulesError(f"--from {since} is not before --to {until}")
    rules = read_rules(paths, settings.time_zone) if paths else rules_in_force(settings.rules_dir, settings.time_zone)
    _known("rule", rule or [], [each.id for each in rules])
    rules = [each for each in rules if not rule or each.id in rule]
    counts: Counter[str] = Counter()
    with connect(settings.database_url, service="backtest") as connection:
        check_schema(connection)
        _known("point", point or [], [each.code for each in load_points(connection)])
        for told in backtest(connection, rules, point or [], from_us, to_us):
            counts[told.rule.id] += 1
            resolved = "still firing" if told.resolved_us is None else _local(told.resolved_us, zone)
            text = tell(told.rule, "en", place_of(told.point, "en"), told.fired, zone)
            fired = _local(told.fired.event_us, zone)
            print(f"{fired}  {resolved:<16}  {told.rule.id:<24} {told.point.code}: {text.title}")
    for name, count in counts.most_common():
        print(f"{count:>8,} × {name}")
    span = f"{_local(from_us, zone)} to {_local(to_us, zone)}"
    print(f"{counts.total():,} alerts would have fired from {span}; none was written")


def _known(what: str, wanted: list[str], there: list[str]) -> None:
    for name in wanted:
        if name not in there:
            near = get_close_matches(name, there, 1)
            raise RulesError(f"there is no {what} {name!r}" + (f"; did you mean {near[0]}?" if near else ""))


def _moment_us(text: str, now: datetime, zone: ZoneInfo) -> int:
    try:
        return round((now.timestamp() - parse_duration(text)) * 1e6)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RulesError(f"{text!r} is no moment; expected for example 2026-03-01, 2026-03-01T12:00 or 30d") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1e6)


def _local(us: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(us / 1e6, zone).strftime("%Y-%m-%d %H:%M")


def _kinds(rule: Rule) -> str:
    return ", ".join(rule.scope.kind.words()) or "every point"
