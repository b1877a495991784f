"""The life of an alert after it has fired, in the real database: what is told, withheld and kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg
import pytest

from rules.lifecycle import Lifecycle
from rules.telling import plan
from store import alerts, silences, telling
from store.alerts import Change
from store.silences import NewSilence, SilenceRefused
from tests.board_city import build_city, point_id

Database = psycopg.Connection[Any]
HOUR = timedelta(hours=1)
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)


class Told(NamedTuple):
    kind: str
    reason: str
    because: str | None
    recipient: str | None


@pytest.fixture
def city(database: Database) -> Database:
    build_city(database, days=1)
    return database


def change(
    database: Database,
    kind: str,
    *,
    rule: str = "full",
    code: str = "stand-0-0",
    breached: float = 0,
    at: float = 1,
    severity: str = "warning",
    reopen_within_s: float = -1.0,
) -> None:
    """A transition as the engine writes it; times in hours."""
    texts = {f"{name}_{language}": name for name in ("title", "sentence", "advice") for language in ("en", "uk")}
    number = point_id(database, code)
    times = (BEGIN + breached * HOUR, BEGIN + at * HOUR)
    with database.transaction():
        alerts.write_change(
            database, Change(kind, rule, "h", number, severity, *times, f"{kind}", 1.0, texts, {}, reopen_within_s)
        )


def tell(database: Database, later: timedelta = timedelta(), **rules: dict[str, Any]) -> None:
    """What a worker does each second, as if it were `later`."""
    its = {name.replace("_", "-"): Lifecycle.model_validate(keys) for name, keys in rules.items()}
    with database.transaction():
        now = telling.lock(database)
        assert now is not None
        due = telling.due_rows(database, 1000)
        windows = {name: max(rule.flap.within, rule.flap.hold_s) for name, rule in its.items() if rule.flap}
        telling.write(
            database,
            plan(
                now + later, its, telling.active_silences(database), telling.episodes(database, due), due,
                telling.flips(database, windows),
            ),
        )  # fmt: skip


def outbox(database: Database, rule: str = "full") -> list[Told]:
    rows = database.execute(
        "SELECT o.kind, o.reason, o.withheld_because, o.recipient, released_at FROM alert_outbox AS o"
        " JOIN alert_episode USING (episode_id) WHERE rule_id = %s ORDER BY outbox_id",
        [rule],
    ).fetchall()
    assert all((row[4] is None) == (row[2] is not None) for row in rows)
    return [Told(*row[:4]) for row in rows]


def kinds(database: Database, rule: str = "full") -> list[tuple[str, str | None]]:
    return [(row.kind, row.because) for row in outbox(database, rule)]


def states(database: Database, rule: str = "full") -> list[str]:
    rows = database.execute("SELECT state FROM alert_episode WHERE rule_id = %s ORDER BY episode_id", [rule])
    return [row[0] for row in rows]


def listed(database: Database, rule: str = "full") -> dict[str, Any]:
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(
            "SELECT * FROM alert_list WHERE rule_id = %s ORDER BY episode_id DESC LIMIT 1", [rule]
        ).fetchone()
    assert row is not None
    return row


def silence(database: Database, hours: float = 4, **parts: Any) -> int:
    now = datetime.now(UTC)
    new = NewSilence(ends_at=now + hours * HOUR, author="Ann", reason="road works", **parts)
    return silences.add(database, new, now)


def take(database: Database, until: timedelta | None = None) -> None:
    database.execute(
        "INSERT INTO alert_ack (episode_id, acked_by, until) SELECT max(episode_id), 'Ann', now() + %s"
        " FROM alert_episode",
        [until],
    )


# what the outbox holds


def test_what_fires_and_ends_is_released_in_order(city: Database) -> None:
    change(city, "fires")
    assert city.execute("SELECT released_at FROM alert_outbox").fetchall() == [(None,)]
    tell(city)
    change(city, "resolves", at=2)
    tell(city)
    tell(city)
    assert outbox(city) == [Told("firing", "fires", None, None), Told("ended", "resolves", None, None)]


def test_a_transition_that_is_not_written_is_not_told(city: Database) -> None:
    with city.transaction():
        change(city, "fires")
        assert city.execute("SELECT count(*) FROM alert_outbox").fetchone() == (1,)
        raise psycopg.Rollback
    assert outbox(city) == []


def test_two_workers_do_not_decide_at_once(
    city: Database, new_connection: Callable[[], psycopg.Connection[Any]]
) -> None:
    other = new_connection()
    with city.transaction():
        assert telling.lock(city) is not None
        assert telling.lock(other) is None
    other.rollback()
    assert telling.lock(other) is not None


# retracted, reopened


def test_what_late_data_disproves_is_retracted_and_told_to_who_was_told(city: Database) -> None:
    change(city, "fires")
    change(city, "retracted", at=1)
    change(city, "fires", code="stand-0-1")
    tell(city)
    assert states(city) == ["retracted", "firing"]
    assert kinds(city) == [("firing", None), ("retracted", None), ("firing", None)]
    silence(city, rules=["full"])
    change(city, "fires", code="stand-0-2")
    tell(city)
    change(city, "retracted", code="stand-0-2")
    tell(city)
    assert kinds(city)[3:] == [("firing", "silenced"), ("retracted", "not_told")]


def test_true_again_soon_after_goes_on_as_the_same_alert(city: Database) -> None:
    change(city, "fires")
    change(city, "resolves", at=2)
    change(city, "fires", breached=2.5, at=2.6, reopen_within_s=3600)
    assert states(city) == ["firing"]
    assert alerts.open_episodes(city)["full", point_id(city, "stand-0-0")][0] == BEGIN + 2.5 * HOUR
    change(city, "resolves", breached=2.5, at=3)
    assert states(city) == ["resolved"]
    change(city, "fires", breached=4.1, at=4.2, reopen_within_s=3600)
    assert states(city) == ["resolved", "firing"]
    rows = city.execute(
        "SELECT from_state, to_state FROM alert_transition WHERE episode_id = (SELECT min(episode_id)"
        " FROM alert_episode) ORDER BY transition_id"
    ).fetchall()
    assert rows == [("pending", "firing"), ("firing", "resolved"), ("resolved", "firing"), ("firing", "resolved")]


def test_a_reopening_that_late_data_disproves_leaves_the_alert_ended(city: Database) -> None:
    change(city, "fires")
    change(city, "resolves", at=2)
    change(city, "fires", breached=2.5, at=2.6, reopen_within_s=3600)
    change(city, "retracted", breached=2.5, at=2.6)
    assert city.execute("SELECT state, resolved_at FROM alert_episode").fetchall() == [("resolved", BEGIN + 2 * HOUR)]


# acknowledgements


def test_an_acknowledgement_ends_with_the_alert(city: Database) -> None:
    change(city, "fires")
    take(city)
    assert listed(city)["acked_by"] == "Ann"
    change(city, "resolves", at=2)
    change(city, "fires", breached=2.5, at=2.6, reopen_within_s=3600)
    assert listed(city)["acked_by"] is None
    assert city.execute("SELECT action, note FROM alert_ack ORDER BY ack_id").fetchall() == [
        ("taken", ""),
        ("ended", "the alert ended"),
    ]


@pytest.mark.parametrize(("severity", "ends"), [("critical", True), ("info", False), ("warning", False)])
def test_an_acknowledgement_ends_when_the_severity_rises(city: Database, severity: str, ends: bool) -> None:
    change(city, "fires")
    take(city)
    tell(city)
    change(city, "kept", severity=severity)
    tell(city)
    assert (listed(city)["acked_by"] is None) == ends
    assert [kind for kind, _ in kinds(city)] == ["firing"] + ["severity"] * (severity != "warning")


def test_an_acknowledgement_that_runs_out_reminds_once(city: Database) -> None:
    change(city, "fires")
    tell(city)
    take(city, timedelta(milliseconds=1))
    tell(city)
    tell(city)
    assert kinds(city) == [("firing", None), ("reminder", None)]
    assert city.execute("SELECT action, note FROM alert_ack ORDER BY ack_id DESC LIMIT 1").fetchone() == (
        "ended",
        "its time is over",
    )


def test_an_alert_whose_rule_is_gone_ends_for_everybody(city: Database) -> None:
    change(city, "fires")
    tell(city)
    take(city)
    with city.transaction():
        assert alerts.drop_states(city, ["another"]) == 1
    tell(city)
    assert states(city) == ["closed_rule_removed"]
    assert outbox(city)[1:] == [Told("ended", "the rule is no longer in force", None, None)]
    assert city.execute("SELECT action FROM alert_ack ORDER BY ack_id").fetchall() == [("taken",), ("ended",)]


# silences


def test_a_silence_withholds_and_its_end_tells(city: Database) -> None:
    number = silence(city, points=["stand-0-0"], kinds=["bin"])
    change(city, "fires")
    change(city, "fires", code="stand-0-1")
    tell(city)
    assert kinds(city) == [("firing", "silenced"), ("firing", None)]
    assert states(city) == ["firing", "firing"]
    row = city.execute("SELECT silenced_by FROM alert_list ORDER BY episode_id").fetchall()
    assert row == [(number,), (None,)]
    assert silences.end(city, number, "Bob")
    assert not silences.end(city, number, "Bob")
    tell(city)
    tell(city)
    assert outbox(city)[2:] == [Told("firing", "the silence has ended", None, None)]
    assert city.execute("SELECT silenced_by FROM alert_list ORDER BY episode_id").fetchall() == [(None,), (None,)]


def test_the_end_of_what_was_silenced_goes_to_who_was_told(city: Database) -> None:
    change(city, "fires")
    tell(city)
    silence(city, rules=["full"])
    change(city, "fires", code="stand-0-1")
    tell(city)
    change(city, "resolves", at=2)
    change(city, "resolves", at=2, code="stand-0-1")
    tell(city)
    assert kinds(city) == [("firing", None), ("firing", "silenced"), ("ended", None), ("ended", "not_told")]


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({}, "everything"), ({"zones": ["nowhere"]}, "unknown"), ({"kinds": ["cow"]}, "unknown"),
        ({"points": ["stand-0-0"], "hours": -1}, "times"), ({"points": ["stand-0-0"], "hours": 24 * 400}, "long"),
    ],
)  # fmt: skip
def test_a_silence_that_cannot_be_is_refused(city: Database, parts: dict[str, Any], why: str) -> None:
    with pytest.raises(SilenceRefused) as caught:
        silence(city, **parts)
    assert caught.value.why == why
    assert silences.silences(city) == []


# inhibition


def test_an_alert_is_hidden_by_its_cause_and_told_when_that_ends(city: Database) -> None:
    inhibited: dict[str, Any] = {"inhibited_by": [{"rule": "cause", "equal": ["site"]}]}
    change(city, "fires", rule="cause", code="stand-0-1")
    change(city, "fires")
    change(city, "fires", code="stand-1-0")
    tell(city, full=inhibited)
    assert kinds(city) == [("firing", "inhibited"), ("firing", None)]
    assert kinds(city, "cause") == [("firing", None)]
    cause = listed(city, "cause")["episode_id"]
    assert city.execute("SELECT hidden_by FROM alert_list WHERE hidden_by IS NOT NULL").fetchall() == [(cause,)]
    change(city, "resolves", rule="cause", code="stand-0-1", at=2)
    tell(city, full=inhibited)
    assert outbox(city)[2] == Told("firing", "the alert that hid it has ended", None, None)


# flapping


def test_what_flaps_is_told_once_until_it_rests(city: Database) -> None:
    flap: dict[str, Any] = {"flap": {"transitions": 3, "within": "1h"}}
    for number in range(4):
        change(city, "fires", breached=number, at=number + 0.1)
        tell(city, full=flap)
        change(city, "resolves", breached=number, at=number + 0.5)
        tell(city, full=flap)
    change(city, "fires", breached=5, at=5.1)
    tell(city, full=flap)
    assert kinds(city) == [
        ("firing", None), ("ended", None), ("firing", None), ("ended", "flapping"), ("flapping", None),
        ("firing", "flapping"), ("ended", "flapping"), ("firing", "flapping"), ("ended", "flapping"),
        ("firing", "flapping"),
    ]  # fmt: skip
    assert listed(city)["flapping"]
    tell(city, timedelta(hours=2), full=flap)
    tell(city, timedelta(hours=2), full=flap)
    assert kinds(city)[10:] == [("ended", None), ("firing", None)]
    assert not listed(city)["flapping"]


# escalation, repetition


def test_what_nobody_takes_over_is_escalated_once(city: Database) -> None:
    rule: dict[str, Any] = {"escalate": [{"after": "4h", "unless": "acknowledged", "to": "supervisor"}]}
    change(city, "fires")
    tell(city, full=rule)
    tell(city, timedelta(hours=3), full=rule)
    assert kinds(city) == [("firing", None)]
    take(city)
    tell(city, timedelta(hours=5), full=rule)
    assert kinds(city) == [("firing", None)]
    city.execute(
        "INSERT INTO alert_ack (episode_id, acked_by, action) SELECT max(episode_id), 'Ann', 'withdrawn' FROM alert_ack"
    )
    tell(city, timedelta(hours=5), full=rule)
    tell(city, timedelta(hours=5), full=rule)
    assert outbox(city)[1:] == [Told("escalation", "open for long and nobody takes care", None, "supervisor")]


def test_what_stays_open_is_repeated(city: Database) -> None:
    change(city, "fires")
    tell(city, full={"repeat": "1d"})
    tell(city, timedelta(hours=23), full={"repeat": "1d"})
    assert kinds(city) == [("firing", None)]
    tell(city, timedelta(hours=25), full={"repeat": "1d"})
    assert kinds(city) == [("firing", None), ("reminder", None)]


# feedback and history


def test_feedback_is_counted_by_rule_and_the_newest_word_counts(city: Database) -> None:
    for code in ("stand-0-0", "stand-0-1", "stand-0-2"):
        change(city, "fires", code=code)
    first, second, _ = [row[0] for row in city.execute("SELECT episode_id FROM alert_episode ORDER BY 1")]
    for number, verdict in ((first, "right"), (first, "false"), (second, "right")):
        city.execute(
            "INSERT INTO alert_feedback (episode_id, verdict, given_by) VALUES (%s, %s, 'Ann')", [number, verdict]
        )
    row = city.execute("SELECT rule_id, fired, was_right, was_false, unanswered FROM rule_feedback").fetchall()
    assert row == [("full", 3, 1, 1, 1)]


@pytest.mark.parametrize("role", ["misto_ingest", "misto_rules", "misto_board", "misto_read"])
@pytest.mark.parametrize(
    "table", ["alert_transition", "alert_ack", "alert_mark", "alert_feedback", "silence", "silence_end", "alert_outbox"]
)
def test_no_service_can_change_what_has_happened(city: Database, role: str, table: str) -> None:
    asked = "SELECT has_table_privilege(%s, %s, 'UPDATE, DELETE, TRUNCATE'), has_any_column_privilege(%s, %s, 'UPDATE')"
    decides = role == "misto_rules" and table == "alert_outbox"
    assert city.execute(asked, [role, table] * 2).fetchone() == (False, decides)


def test_the_rules_role_can_do_all_that_telling_needs(city: Database) -> None:
    silence(city, points=["stand-0-1"])
    change(city, "fires")
    take(city, timedelta(milliseconds=1))
    with city.transaction():
        city.execute("SET LOCAL ROLE misto_rules")
        change(city, "fires", code="stand-0-1")
        tell(city, full={"repeat": "1m", "flap": {"transitions": 2, "within": "1h"}})
    assert kinds(city) == [("firing", None), ("firing", "silenced")]
