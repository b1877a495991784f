"""An alert explained: what was decided as it is kept, and the rule's tree by the readings in the table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import Connection
from psycopg.rows import DictRow

from catalogue.metrics import Quality, metrics_by_id
from rules.errors import RulesError
from rules.explain import NodeTold, tree_of
from rules.judge import FIRING, RECOVERING, Core
from rules.model import Rule
from rules.sentences import condition_text, rule_text
from rules.step import Reading, Tick, initial, step
from rules.stored import rule_of
from rules.text import Language
from rules.whynot import Stored
from rules.words import amount, duration, local, metric_name
from store import explain as store
from store.alerts import history_of

#: Of the readings that the rule saw, people see the last before the decision; --json has all since the breach.
_MOST_READINGS = 24
_TRUTH = {True: "true   ", False: "false  ", None: "unknown"}


@dataclass(frozen=True)
class Explained:
    """An alert with all that explains it. `tree` is None for a rule on silence, or one that cannot be read any more;
    `differs` says how what the readings in the table give differs from what was decided."""

    episode: DictRow
    rule: Rule | None
    unreadable: str
    transitions: Sequence[DictRow]
    acknowledgements: Sequence[DictRow]
    readings: Sequence[tuple[Stored, datetime | None]]
    tree: NodeTold | None
    differs: str


def explain(connection: Connection[Any], episode_id: int, zone: ZoneInfo) -> Explained:
    """Everything of an alert. Raises `RulesError` if there is none of this number."""
    episode = store.episode(connection, episode_id)
    if episode is None:
        raise RulesError(f"there is no alert {episode_id}; the board shows the number in the alert's address")
    rule, unreadable = None, ""
    try:
        if episode["definition"] is None:
            unreadable = "the rule's definition is not kept"
        else:
            rule = rule_of(episode["definition"])
    except RulesError as error:
        unreadable = str(error)
    readings: list[tuple[Stored, datetime | None]] = []
    tree, differs = None, ""
    if rule is not None:
        fired_us, breached_us = _us(episode["fired_at"]), _us(episode["breached_at"])
        memory = timedelta(seconds=rule.memory_s(episode["interval_s"]))
        until = episode["fired_at"] + timedelta(microseconds=1)
        rows = history_of(connection, episode["point_id"], episode["breached_at"] - memory, until)
        watched = rule.metric_ids
        stored = [Stored(*row) for row in rows if row[1] in watched or rule.absent is not None]
        if rule.absent is None:
            tree, differs = _tree(rule, episode, stored, zone)
        shown_from_us = breached_us - round(rule.judge.gap_us(episode["interval_s"]))
        near = [one for one in stored if one.time_us >= shown_from_us]
        received = store.received(
            connection, episode["point_id"], episode["breached_at"] - timedelta(days=1), shown_from_us, fired_us
        )
        readings = [(one, received.get((one.time_us, one.metric_id))) for one in near]
    return Explained(
        episode, rule, unreadable, store.transitions(connection, episode_id),
        store.acknowledgements(connection, episode_id), readings, tree, differs,
    )  # fmt: skip


def _tree(rule: Rule, episode: DictRow, stored: Sequence[Stored], zone: ZoneInfo) -> tuple[NodeTold | None, str]:
    """The tree at the moment of firing, and how the outcome differs from what was decided then."""
    interval_s, fired_us = episode["interval_s"], _us(episode["fired_at"])
    state = initial(rule)
    fired: list[int] = []
    for one in stored:
        if one.quality == Quality.GOOD:
            state, made = step(rule, interval_s, state, Reading(one.time_us, one.metric_id, one.value))
            fired += [item.event_us for item in made if item.kind == "fires"]
    if rule.judge.ticks:
        state, made = step(rule, interval_s, state, Tick(fired_us))
        fired += [item.event_us for item in made if item.kind == "fires"]
    core: Core = state.core
    if not core.last_us:
        return None, "the readings that it was decided by are no longer stored; what is told is what was kept"
    differs = ""
    if core.phase not in (FIRING, RECOVERING):
        differs = "by the readings in the table as they are now it would not be firing then"
    elif fired and fired[-1] != fired_us:
        differs = f"by the readings in the table as they are now it would have fired at {local(fired[-1], zone)}"
    return tree_of(rule, interval_s, core), differs


def sentence(told: Explained, language: Language, zone: ZoneInfo) -> str:
    """For a manager: what it is, since when, how it stands, and who takes care."""
    its, uk = told.episode, language == "uk"
    fired = local(_us(its["fired_at"]), zone)
    parts = [its[f"title_{language}"] + ".", its[f"sentence_{language}"]]
    if its["state"] == "firing":
        parts.append(f"Сповіщення триває від {fired}." if uk else f"The alert has been firing since {fired}.")
    else:
        ended = local(_us(its["resolved_at"]), zone)
        if its["state"] == "resolved":
            text = (f"Тривало від {fired} до {ended}.", f"It was firing from {fired} to {ended}.")
        else:
            text = (f"Від {fired}; правило прибрано {ended}.", f"From {fired}; its rule was removed at {ended}.")
        parts.append(text[not uk])
    if told.acknowledgements:
        last = told.acknowledgements[-1]
        at, by = local(_us(last["acked_at"]), zone), last["acked_by"]
        parts.append(f"Взято до роботи: {by}, {at}." if uk else f"Acknowledged by {by} at {at}.")
    return " ".join(parts)


def lines(told: Explained, language: Language, zone: ZoneInfo) -> Iterator[str]:
    """The sentence in the manager's language, and the whole tree for an engineer, in English."""
    its = told.episode
    yield sentence(told, language, zone)
    yield ""
    since = f", in force since {local(_us(its['rule_since']), zone)}" if its["rule_since"] else ""
    yield f"alert {its['episode_id']}: {its['severity']}, {its['state']}"
    yield f"rule {its['rule_id']}, version {its['rule_hash']}{since}"
    yield f"point {its['code']}, expected every {duration(its['interval_s'], 'en')}"
    if told.rule is None:
        yield f"  {told.unreadable}"
        yield f"  as kept: {json.dumps(its['definition'], ensure_ascii=False)}"
    else:
        yield f"  {rule_text(told.rule, 'en')}"
        yield f"  source: {told.rule.source}"
    yield ""
    yield "as it was decided (kept then):"
    yield f"  held from {local(_us(its['breached_at']), zone)}, fired {local(_us(its['fired_at']), zone)}"
    for row in told.transitions:
        evidence = row["evidence"] or {}
        figures = ", ".join(f"{key} {evidence[key]:g}" for key in ("value", "limit") if evidence.get(key) is not None)
        yield (
            f"  {local(_us(row['event_at']), zone)}  {row['from_state']} → {row['to_state']} ({row['severity']}): "
            f"{row['reason']}{'; ' + figures if figures else ''}; decided {local(_us(row['decided_at']), zone)}"
        )
    for row in told.acknowledgements:
        until = f" until {local(_us(row['until']), zone)}" if row["until"] else ""
        note = f": {row['note']}" if row["note"] else ""
        yield f"  {local(_us(row['acked_at']), zone)}  acknowledged by {row['acked_by']}{until}{note}"
    if told.tree is not None:
        yield ""
        yield "the condition when it fired, by the readings in the table:"
        yield from tree_lines(told.tree, zone)
    if told.differs:
        yield f"  note: {told.differs}"
    if told.readings:
        yield ""
        yield "readings (time, value, quality, received):"
        more = len(told.readings) - _MOST_READINGS
        if more > 0:
            yield f"  … {more} earlier ones; --json has them"
        for one, received in told.readings[-_MOST_READINGS:]:
            metric = metrics_by_id()[one.metric_id]
            came = local(_us(received), zone) if received else "no longer in the log"
            yield (
                f"  {local(one.time_us, zone)}  {metric_name(one.metric_id, 'en')} "
                f"{amount(one.value, metric.unit, 'en')}  {Quality(one.quality).name.lower()}  {came}"
            )


def tree_lines(node: NodeTold, zone: ZoneInfo, depth: int = 1) -> Iterator[str]:
    """A tree with a line for each node: its truth, what it asks for, why, and when it was last heard."""
    indent = "  " * depth
    if node.children:
        yield f"{indent}{_TRUTH[node.truth]}  {node.kind}: {node.reason.text('en', zone)}"
    else:
        heard = f" (last reading {local(node.last_us, zone)})" if node.last_us else ""
        yield f"{indent}{_TRUTH[node.truth]}  {node.kind}: {condition_text(node.condition, 'en')}"
        yield f"{indent}         {node.reason.text('en', zone)}{heard}"
    for child in node.children:
        yield from tree_lines(child, zone, depth + 1)


def as_json(told: Explained, language: Language, zone: ZoneInfo) -> dict[str, Any]:
    """Everything for programs. Times are RFC 3339; those ending in _us are microseconds since 1970."""
    its = dict(told.episode)
    return {
        "sentence": sentence(told, language, zone),
        "alert": {
            key: _plain(value) for key, value in its.items() if key not in {"definition", "rule_since", "point_id"}
        },
        "rule": {
            "id": its["rule_id"],
            "version": its["rule_hash"],
            "since": _plain(its["rule_since"]),
            "definition": its["definition"],
            "unreadable": told.unreadable or None,
        },
        "transitions": [{key: _plain(value) for key, value in row.items()} for row in told.transitions],
        "acknowledgements": [{key: _plain(value) for key, value in row.items()} for row in told.acknowledgements],
        "tree": told.tree.as_json() if told.tree else None,
        "differs": told.differs or None,
        "readings": [
            {
                "time_us": one.time_us,
                "metric": metrics_by_id()[one.metric_id].name,
                "value": one.value,
                "quality": Quality(one.quality).name.lower(),
                "received_at": _plain(received),
            }
            for one, received in told.readings
        ],
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
