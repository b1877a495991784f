"""`misto rules backtest`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from misto import rules_backtest
from misto.backtest import Judged, Told, backtest
from misto.moments import moment_of
from misto.near import hint
from misto.rules_at import rules_at
from misto.rules_backtest import Difference, difference, figures, messages_per_day, report
from misto.settings import Settings
from rules.errors import RulesError
from rules.loader import read_rules, rules_in_force
from rules.model import Rule
from rules.record import place_of
from rules.text import tell
from rules.words import local
from store.alerts import PointInfo, load_points
from store.connection import connect
from store.migrate import check_schema

#: Of each kind of difference as many are shown; --json and --each have all.
_MOST = 20


def register(group: typer.Typer) -> None:
    """Add the command of this module."""
    group.command("backtest")(backtest_command)


def backtest_command(
    since: Annotated[str, typer.Option("--from", help="a moment such as 2026-03-01, or a duration before now: 30d")],
    until: Annotated[str, typer.Option("--to", help="as --from")] = "0d",
    rule: Annotated[list[str] | None, typer.Argument(help="rules by id; without any, all")] = None,
    paths: Annotated[
        list[Path] | None, typer.Option("--rules", help="rule files or folders; else the rules in force")
    ] = None,
    point: Annotated[list[str] | None, typer.Option(help="only this point; may be given several times")] = None,
    against: Annotated[str, typer.Option(help="compare with these rules: a file, a folder, or a git commit")] = "",
    budget: Annotated[
        float | None, typer.Option(min=0, help="exit status 1 if anybody would be told of more alerts a day")
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="a line for each alert")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="everything, for programs")] = False,
    processes: Annotated[int | None, typer.Option(min=1, help="else all cores")] = None,
) -> None:
    """Say what the rules would have told of the readings that are stored. Writes nothing.

    For each rule: alerts, points, hours in which it fired, and flaps (again within six hours of its end). For each
    person, the contractor of a point or else its site: alerts a day. With --against: which alerts there would be only
    now, only before, or changed.
    """
    settings = Settings()
    zone = ZoneInfo(settings.time_zone)
    now = datetime.now(UTC)
    from_us, to_us = (round(moment_of(text, now, zone).timestamp() * 1e6) for text in (since, until))
    if from_us >= to_us:
        raise RulesError(f"--from {since} is not before --to {until}")
    sets = {
        "now": read_rules(paths, settings.time_zone)
        if paths
        else rules_in_force(settings.rules_dir, settings.time_zone)
    }
    if against:
        sets["before"] = rules_at(against, paths, settings.rules_dir, settings.time_zone)
    _known("rule", rule or [], [its.id for rules in sets.values() for its in rules])
    if rule:
        sets = {name: [its for its in rules if its.id in rule] for name, rules in sets.items()}
    with connect(settings.database_url, service="backtest") as connection:
        check_schema(connection)
        points = load_points(connection)
    _known("point", point or [], [its.code for its in points])
    points = [its for its in points if not point or its.code in point]
    judged = _judge(settings.database_url, points, sets, from_us, to_us, processes)
    told = judged.told["now"]
    lines = figures([its.id for its in sets["now"]], told, to_us)
    messages = messages_per_day(told, from_us, to_us)
    its_difference = difference(told, judged.told["before"], to_us) if against else None
    if as_json:
        print(json.dumps(report(lines, messages, told, its_difference), indent=1, ensure_ascii=False))
    else:
        rules = {its.hash + its.id: its for every in sets.values() for its in every}
        by_id = {its.id: its for its in rules.values()} | {its.id: its for its in sets["now"]}
        if each:
            for one in told:
                print(_line(one, by_id[one.rule_id], zone))
        _show(lines, messages)
        if its_difference is not None:
            _show_difference(its_difference, by_id, zone, None if each else _MOST)
        span = f"{local(from_us, zone)} to {local(to_us, zone)}"
        print(f"{len(told):,} alerts would have fired from {span}, by {judged.readings:,} readings; none was written")
    worst = next(iter(messages.items()), None)
    if budget is not None and worst is not None and worst[1] > budget:
        typer.echo(f"{worst[0]} would be told of {worst[1]:.2f} alerts a day, more than {budget:g}", err=True)
        raise typer.Exit(1)


def _judge(
    url: str, points: Sequence[PointInfo], sets: dict[str, list[Rule]], from_us: int, to_us: int, processes: int | None
) -> Judged:
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int, readings: int) -> None:
            text = f"{done} of {total} points, {readings:,} readings"
            bar.update(task, total=total, completed=done, description=text)

        return backtest(url, points, sets, from_us, to_us, progress, processes)


def _show(lines: Sequence[rules_backtest.RuleFigures], messages: dict[str, float]) -> None:
    width = max((len(line.rule) for line in lines), default=4)
    print(f"{'rule':<{width}}  {'alerts':>8}  {'points':>7}  {'hours':>10}  {'flaps':>6}")
    for line in sorted(lines, key=lambda line: -line.episodes):
        print(f"{line.rule:<{width}}  {line.episodes:>8,}  {line.points:>7,}  {line.hours:>10,.1f}  {line.flaps:>6,}")
    for who, count in list(messages.items())[:_MOST]:
        print(f"{who}: {count:.2f} alerts a day")
    if len(messages) > _MOST:
        print(f"… and {len(messages) - _MOST} more with fewer")


def _show_difference(its: Difference, rules: dict[str, Rule], zone: ZoneInfo, most: int | None) -> None:
    groups = (
        ("only now", its.only_now),
        ("only before", its.only_before),
        ("changed", its.changed),
    )
    print(f"against: {', '.join(f'{len(pairs):,} {name}' for name, pairs in groups)}, {its.same:,} the same")
    for name, pairs in groups:
        for pair in pairs[:most]:
            one = pair.now or pair.before
            assert one is not None
            was = f" (was {_span(pair.before, zone)})" if pair.now and pair.before else ""
            print(f"  {name:<11}  {_line(one, rules[one.rule_id], zone)}{was}")
        if most is not None and len(pairs) > most:
            print(f"  {name:<11}  … and {len(pairs) - most:,} more; --each shows them")


def _line(one: Told, rule: Rule, zone: ZoneInfo) -> str:
    text = tell(rule, "en", place_of(one.point, "en"), one.fired, zone)
    return f"{_span(one, zone)}  {one.rule_id:<24} {one.point.code}: {text.title}"


def _span(one: Told, zone: ZoneInfo) -> str:
    resolved = "still firing" if one.resolved_us is None else local(one.resolved_us, zone)
    return f"{local(one.fired.event_us, zone)}  {resolved:<16}"


def _known(what: str, wanted: Sequence[str], there: Sequence[str]) -> None:
    for name in wanted:
        if name not in there:
            raise RulesError(f"there is no {what} {name!r}{hint(name, there)}")
