"""Why an alert did not fire: what the database knows of a rule and a point, given to `rules.whynot`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import Connection

from misto.rules_explain import tree_lines
from rules.model import Rule
from rules.reason import At, For, Reason
from rules.sentences import rule_text
from rules.text import Language
from rules.whynot import CHECKS, Known, Stored, Verdict, why_not
from rules.words import duration, local, scope_text
from store import explain as store
from store.alerts import PointInfo, history_of, last_received, outages
from store.reading_log import lag
from store.rules_leases import worker_list
from store.service_state import last_beat

_ALIVE = timedelta(seconds=30)
_BEHIND_S = 30.0


def known_of(connection: Connection[Any], rule: Rule, point: PointInfo, at: datetime, now: datetime) -> Known:
    """All that the answer needs, from the rule's memory before the moment until its time after it."""
    memory = timedelta(seconds=rule.memory_s(point.interval_s))
    after = timedelta(seconds=max(level.held_for or 0 for level in rule.steps) + 4 * point.interval_s)
    stored = [Stored(*row) for row in history_of(connection, point.point_id, at - memory, at + after)]
    rows = store.newest(connection, point.point_id, at)
    heard = store.heard_before(connection, point.point_id, at)
    if heard is None and now - at < timedelta(minutes=1):
        heard = last_received(connection).get(point.point_id)
    heard_us = _us(heard) if heard else max((row[1] for row in rows if row[1] is not None), default=0)
    alive = last_beat(connection, "ingest")
    deaf = now - at < _ALIVE and (alive is None or now - alive > _ALIVE)
    open_at = store.episodes_of(connection, rule.id, point.point_id, at, at)
    return Known(
        stored=stored,
        newest={row[0]: Stored(row[1], row[0], row[2] or 0.0, row[3] or 0) for row in rows if row[1] is not None},
        oldest={row[0]: row[4] for row in rows},
        sends=[row[0] for row in rows],
        heard_us=heard_us,
        outages=[(_us(down), _us(up)) for down, up in outages(connection, at - memory)],
        alive_us=(_us(alive) if alive else 0) if deaf else None,
        causes=_causes(connection, rule, point, at),
        written=any(fired <= at for _, _, fired, _ in open_at),
    )


def _causes(connection: Connection[Any], rule: Rule, point: PointInfo, at: datetime) -> list[Reason]:
    """Why an alert that should have been written may not be: those that can be told from what is kept."""
    causes: list[Reason] = []
    since = store.kept_since(connection, rule.hash)
    if since is None:
        causes.append(Reason("cause_not_in_force"))
    elif since > at:
        causes.append(Reason("cause_newer_rule", {"since": At(_us(since))}))
    if not any(worker.alive for worker in worker_list(connection)):
        causes.append(Reason("cause_no_worker"))
    if lag(connection, "rules").age_s > _BEHIND_S:
        causes.append(Reason("cause_behind"))
    late = store.late_unjudged(connection, rule.id, point.point_id)
    if late:
        causes.append(Reason("cause_late", {"count": late}))
    if not causes:
        causes.append(Reason("cause_history", {"memory": For(rule.memory_s(point.interval_s))}))
    return causes


def answer(connection: Connection[Any], rule: Rule, point: PointInfo, at: datetime) -> Verdict:
    """The verdict for a moment, in one consistent view of the database."""
    now = datetime.now(UTC)
    return why_not(rule, point, _us(at), known_of(connection, rule, point, at, now))


_SAID = {
    "scope": "the rule watches this point",
    "readings": "the point sends what the rule needs",
    "quality": "the newest readings are good",
    "age": "the newest reading is recent enough",
    "condition": "the condition holds",
    "time": "it held for its time",
    "alert": "the alert is written",
    "heard": "the device is silent for long enough",
    "silence": "the silence is the device's",
}


def sentence(rule: Rule, point: PointInfo, verdict: Verdict, at: datetime, language: Language, zone: ZoneInfo) -> str:
    """For a manager."""
    name = point.name_uk if language == "uk" else point.name_en
    site = point.site_name_uk if language == "uk" else point.site_name_en
    place = name if name == site else f"{name} ({site})"
    why = verdict.reason.text(language, zone)
    moment = local(_us(at), zone)
    if verdict.fires:
        opening = "так" if language == "uk" else "yes"
    else:
        opening = f"на {moment} сповіщення немає" if language == "uk" else f"no alert at {moment}"
    text = f"{place}, {rule.id}: {opening}: {why}."
    if verdict.nearest is not None:
        nearest = verdict.nearest.text(language, zone)
        text += f" За добу до того: {nearest}." if language == "uk" else f" In the day before: {nearest}."
    return text


def lines(
    rule: Rule, point: PointInfo, verdict: Verdict, at: datetime, language: Language, zone: ZoneInfo
) -> Iterator[str]:
    """The sentence, then for an engineer, in English, the checks up to the one that failed and the tree."""
    yield sentence(rule, point, verdict, at, language, zone)
    yield ""
    yield f"rule {rule.id}, version {rule.hash}: {rule_text(rule, 'en')} Watches: {scope_text(rule.scope, 'en')}."
    yield f"point {point.code}, expected every {duration(point.interval_s, 'en')}"
    for check in verdict.passed:
        yield f"  passed   {_SAID[check]}"
    if not verdict.fires:
        yield f"  STOPPED  {_SAID[verdict.check]}: no; {verdict.reason.text('en', zone)}"
        if verdict.check in CHECKS[:-1]:
            for check in CHECKS[CHECKS.index(verdict.check) + 1 :]:
                yield f"  not yet  {_SAID[check]}"
    if verdict.tree is not None:
        yield "the condition then:"
        yield from tree_lines(verdict.tree, zone)


def as_json(
    rule: Rule, point: PointInfo, verdict: Verdict, at: datetime, language: Language, zone: ZoneInfo
) -> dict[str, Any]:
    """Everything for programs."""
    return {
        "sentence": sentence(rule, point, verdict, at, language, zone),
        "rule": rule.id,
        "version": rule.hash,
        "point": point.code,
        "at": at.isoformat(),
        **verdict.as_json(),
    }


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
