"""`misto rules explain` and `why-not`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from misto import rules_explain, rules_whynot
from misto.moments import moment_of
from misto.near import hint
from misto.settings import Settings
from rules.applied import take
from rules.errors import RulesError
from rules.loader import shipped_rules
from store.alerts import load_points
from store.connection import connect
from store.migrate import check_schema


class Language(StrEnum):
    """Of the sentence for a manager."""

    en = "en"
    uk = "uk"


LanguageOption = Annotated[Language, typer.Option(help="language of the sentence for a manager: en or uk")]
JsonOption = Annotated[bool, typer.Option("--json", help="everything, for programs")]


def register(group: typer.Typer) -> None:
    """Add the commands of this module."""
    group.command("explain")(explain)
    group.command("why-not")(why_not)


def explain(
    episode: Annotated[int, typer.Argument(help="the alert's number, as in its address on the board: /alerts/17")],
    language: LanguageOption = Language.en,
    as_json: JsonOption = False,
) -> None:
    """Explain an alert: a sentence for a manager, then the rule, its condition and the readings for an engineer."""
    settings = Settings()
    zone = ZoneInfo(settings.time_zone)
    with connect(settings.database_url, service="explain") as connection:
        check_schema(connection)
        told = rules_explain.explain(connection, episode, zone)
    if as_json:
        print(json.dumps(rules_explain.as_json(told, language.value, zone), indent=1, ensure_ascii=False))
        return
    for line in rules_explain.lines(told, language.value, zone):
        print(line)


def why_not(
    rule: Annotated[str, typer.Argument(help="the rule's id: `misto rules list`")],
    point: Annotated[str, typer.Argument(help="the point's id in the inventory")],
    at: Annotated[
        str, typer.Option(help="the moment in question: 2026-03-01T12:00, or a duration before now: 3h")
    ] = "",
    language: LanguageOption = Language.en,
    as_json: JsonOption = False,
) -> None:
    """Say why a rule has raised no alert at a point: at which check it stopped, how far it was, and what is missing."""
    settings = Settings()
    zone = ZoneInfo(settings.time_zone)
    now = datetime.now(UTC)
    moment = moment_of(at, now, zone) if at else now
    if moment > now:
        raise RulesError(f"--at {at} is in the future")
    with connect(settings.database_url, service="explain") as connection:
        check_schema(connection)
        rules = {each.id: each for each in take(connection, shipped_rules, settings.time_zone).rules}
        if rule not in rules:
            raise RulesError(f"there is no rule {rule!r}{hint(rule, rules)}")
        points = {each.code: each for each in load_points(connection)}
        if point not in points:
            raise RulesError(f"there is no point {point!r} in use at a site{hint(point, points)}")
        told = rules_whynot.answer(connection, rules[rule], points[point], moment)
    its, the_point = rules[rule], points[point]
    if as_json:
        content = rules_whynot.as_json(its, the_point, told, moment, language.value, zone)
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    for line in rules_whynot.lines(its, the_point, told, moment, language.value, zone):
        print(line)
