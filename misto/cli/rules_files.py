"""`misto rules check`, `test` and `list`: rule files looked at without judging anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from catalogue.errors import FileProblems, Problem
from catalogue.inventory import read_inventory
from misto.near import hint
from misto.settings import Settings
from rules.applied import digests, take
from rules.engine import in_scope
from rules.errors import RulesError
from rules.loader import rules_in_force, shipped_rules, survey
from rules.model import Rule
from rules.notes import notes, points_of
from rules.selftest import Outcome, outcomes
from rules.sentences import rule_text
from rules.words import scope_text
from store.alerts import fired_since, load_points
from store.connection import connect
from store.errors import StoreError
from store.migrate import check_schema

FilesArgument = Annotated[
    list[Path] | None, typer.Argument(help="rule files or folders; without any, the rules in force")
]
_DAYS = 30


def register(group: typer.Typer) -> None:
    """Add the commands of this module."""
    group.command("check")(check)
    group.command("test")(run_tests)
    group.command("list")(list_rules)


def check(
    paths: FilesArgument = None,
    inventory: Annotated[
        Path | None, typer.Option(help="note which rules watch none or very many of this city's points, and why")
    ] = None,
) -> None:
    """Check rule files and run their own tests: every mistake of every file at once. Exit status 1 if there is any."""
    points = points_of(read_inventory(inventory)) if inventory is not None else None
    rules, problems = _look(paths)
    told = [str(problem) for problem in problems]
    noted = []
    for rule in rules:
        its = outcomes(rule)
        told += [f"{rule.id}: test {one.test.name!r}: {text}" for one in its for text in one.failures]
        noted += _untested(rule)
    if points is not None:
        noted += notes(rules, points)
    for line in told:
        print(line)
    for line in noted:
        print(f"note: {line}")
    tests = sum(len(rule.tests) for rule in rules)
    print(f"{len(rules)} rules, {tests} tests, {len(told)} mistakes")
    if told:
        raise typer.Exit(1)


def _untested(rule: Rule) -> list[str]:
    """A rule is known by what raises it and by what does not."""
    noted = []
    if not any("fires" in item for test in rule.tests for item in test.expect):
        noted.append(f"{rule.id} has no test in which it fires")
    if all(test.expect for test in rule.tests):
        noted.append(f"{rule.id} has no test in which it rightly stays quiet")
    return noted


def run_tests(
    paths: FilesArgument = None,
    rule: Annotated[list[str] | None, typer.Option(help="only this rule; may be given several times")] = None,
) -> None:
    """Run the tests of rule files and show the timeline of each: all that happened, and what was expected otherwise.

    Exit status 1 if one does not come out as it says, or a file has a mistake.
    """
    rules, problems = _look(paths)
    for problem in problems:
        print(problem)
    for name in rule or []:
        if name not in {each.id for each in rules}:
            raise RulesError(f"there is no rule {name!r}{hint(name, [each.id for each in rules])}")
    counts: Counter[bool] = Counter()
    for each in rules:
        if rule and each.id not in rule:
            continue
        if not each.tests:
            print(f"none    {each.id}: it has no tests")
        for one in outcomes(each):
            counts[not one.failures] += 1
            print(f"{'FAILED' if one.failures else 'passed'}  {each.id}: {one.test.name}: {_timeline(one)}")
            for text in one.failures:
                print(f"        {text}")
    print(f"{counts.total()} tests, {counts[False]} failed")
    if counts[False] or problems:
        raise typer.Exit(1)


def _timeline(one: Outcome) -> str:
    parts = []
    for its in one.happened:
        made = its.transition
        figure = f" ({made.value:g})" if made is not None and made.value is not None else ""
        parts.append(f"{its.phase} {(its.time_us - one.start_us) / 6e7:g}m{figure}")
    return " → ".join(parts) or "nothing happens"


def list_rules(as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """List the rules in force: what each watches, its version, at how many points, how often it fired in 30 days.

    The last two need the database; without it the rest is listed.
    """
    settings = Settings()
    rules: Sequence[Rule] | None = None
    points: dict[str, int] | None = None
    fired: dict[str, int] = {}
    notes = []
    try:
        with connect(settings.database_url, service="rules-list", timeout_s=3) as connection:
            check_schema(connection)
            taken = take(connection, shipped_rules, settings.time_zone)
            if taken.version:
                rules = taken.rules
                notes += _unapplied(settings.rules_dir, rules, taken.version)
            else:
                rules = rules_in_force(settings.rules_dir)
            watched = load_points(connection)
            points = {rule.id: sum(in_scope(rule.scope, point) for point in watched) for rule in rules}
            fired = fired_since(connection, _DAYS)
    except (StoreError, psycopg.Error) as error:
        notes.append(f"the files as they are, without points and alerts, for the database is away: {error}")
    if rules is None:
        rules = rules_in_force(settings.rules_dir)
    if as_json:
        print(json.dumps([_row(rule, points, fired) for rule in rules], indent=1, ensure_ascii=False))
    else:
        _show(rules, points, fired)
    for note in notes:
        typer.echo(note, err=True)


def _unapplied(folder: Path | None, rules: Sequence[Rule], version: int) -> list[str]:
    """What to say where the folder has other rules than those in force."""
    if folder is None:
        return []
    try:
        same = digests(rules_in_force(folder)) == digests(rules)
    except FileProblems as error:
        return [f"version {version} is in force; the files of {folder} have mistakes: {error}"]
    return (
        []
        if same
        else [f"version {version} is in force; `misto rules apply` takes the files of {folder}, which differ"]
    )


def _row(rule: Rule, points: dict[str, int] | None, fired: dict[str, int]) -> dict[str, Any]:
    return {
        "id": rule.id,
        "version": rule.hash,
        "severity": " to ".join(dict.fromkeys((rule.steps[0].severity, rule.steps[-1].severity))),
        "watches": scope_text(rule.scope, "en"),
        "raises_when": rule_text(rule, "en"),
        "source": rule.source,
        "tests": len(rule.tests),
        "points": None if points is None else points[rule.id],
        "fired_30_days": None if points is None else fired.get(rule.id, 0),
    }


def _show(rules: Sequence[Rule], points: dict[str, int] | None, fired: dict[str, int]) -> None:
    width = max((len(rule.id) for rule in rules), default=0)
    for rule in rules:
        row = _row(rule, points, fired)
        figures = ""
        if points is not None:
            figures = f"  {row['points']:,} points, fired {row['fired_30_days']:,} times in {_DAYS} days"
        print(f"{rule.id:<{width}}  {row['severity']:<8}  version {rule.hash[:8]}{figures}")
        print(f"    {row['watches']}: {row['raises_when']}")


def _look(paths: list[Path] | None) -> tuple[list[Rule], list[Problem]]:
    settings = Settings()
    if paths:
        return survey(paths, settings.time_zone)
    try:
        return rules_in_force(settings.rules_dir, settings.time_zone), []
    except FileProblems as error:
        return [], error.problems
