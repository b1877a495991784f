"""What may be told of alerts, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from rules.lifecycle import Flap, Lifecycle
from rules.model import Rule
from rules.telling import ack_ended, fits, hidden_by, is_flapping, plan
from store.telling import Due, Episode, Silence

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def episode(number: int = 1, rule: str = "a", **values: Any) -> Episode:
    given: dict[str, Any] = {
        "episode_id": number, "rule_id": rule, "point_id": 7, "state": "firing", "severity": "warning", "point": "bin-1",
        "kind": "bin", "site": "stand", "zone": None, "contractor": "clean", "labels": {"side": "north"},
    }  # fmt: skip
    return Episode(**given | values)


@pytest.mark.parametrize(
    ("parts", "whether"),
    [
        ({"rules": ["a"]}, True), ({"rules": ["b", "a"]}, True), ({"rules": ["b"]}, False), ({"points": ["bin-1"]}, True),
        ({"sites": ["stand"], "kinds": ["bin"]}, True), ({"sites": ["stand"], "kinds": ["water"]}, False),
        ({"zones": ["centre"]}, False), ({"contractors": ["clean"], "severities": ["warning"]}, True),
        ({"severities": ["critical"]}, False), ({"labels": {"side": "north"}}, True),
        ({"labels": {"side": "south"}}, False), ({"labels": {"other": "north"}}, False),
    ],
)  # fmt: skip
def test_all_given_parts_of_a_silence_must_fit(parts: dict[str, Any], whether: bool) -> None:
    assert fits(Silence(1, **parts), episode()) == whether


@pytest.mark.parametrize(
    ("already", "minutes_ago", "whether"),
    [
        (False, [1, 2, 3], False), (False, [1, 2, 3, 4], True), (False, [1, 2, 3, 61], False), (True, [119], True),
        (True, [120], False), (True, [], False),
    ],
)  # fmt: skip
def test_flapping_begins_with_many_changes_and_ends_with_rest(
    already: bool, minutes_ago: list[int], whether: bool
) -> None:
    flap = Flap.model_validate({"transitions": 3, "within": "1h", "hold": "2h"})
    flips = [NOW - timedelta(minutes=minutes) for minutes in minutes_ago]
    assert is_flapping(flap, already, flips, NOW) == whether


def test_an_acknowledgement_ends_at_its_time() -> None:
    assert not ack_ended(None, NOW)
    assert not ack_ended(NOW + timedelta(seconds=1), NOW)
    assert ack_ended(NOW, NOW)


RULE: dict[str, Any] = {
    "id": "bin-fire", "title": {"en": "a", "uk": "a"}, "sentence": {"en": "a", "uk": "a"}, "advice": {"en": "a", "uk": "a"},
    "source": "x", "when": {"threshold": {"metric": "temperature_c", "above": 70}},
}  # fmt: skip


def rules(**inhibited_by: str) -> dict[str, Lifecycle]:
    return {
        name: Lifecycle.model_validate({"inhibited_by": [{"rule": cause, "equal": ["site"]}]})
        for name, cause in inhibited_by.items()
    }


def test_an_alert_is_hidden_over_others_and_two_never_hide_each_other() -> None:
    there = [
        episode(1, "a"),
        episode(2, "b"),
        episode(3, "c"),
        episode(4, "c", site="elsewhere"),
        episode(5, "c", site=None),
    ]
    assert hidden_by(rules(c="b", b="a"), there) == {3: 2, 2: 1}
    assert hidden_by(rules(a="b", b="a"), there) == {1: 2}
    assert hidden_by(rules(a="b", b="c", c="a"), there[:3]) == {1: 2, 2: 3}
    assert hidden_by(rules(c="b"), [episode(2, "b", state="resolved"), episode(3, "c")]) == {}


def test_an_end_is_told_to_who_was_told_even_under_a_silence() -> None:
    silence = [Silence(9, rules=["a"])]
    told = episode(1, state="resolved", told=True)
    not_told = episode(2, state="resolved", point_id=8)
    due = [Due(11, 1, "ended"), Due(12, 2, "ended")]
    made = plan(NOW, {}, silence, [told, not_told], due, {})
    assert [(verdict.outbox_id, verdict.because) for verdict in made.verdicts] == [(11, None), (12, "not_told")]


def test_firing_and_ending_in_one_look_are_both_told() -> None:
    made = plan(NOW, {}, [], [episode(1, state="resolved")], [Due(1, 1, "firing"), Due(2, 1, "ended")], {})
    assert [verdict.because for verdict in made.verdicts] == [None, None]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"inhibited_by": [{"rule": "bin-fire"}]}, "inhibited by itself"),
        ({"escalate": [{"after": "4h", "to": "a"}, {"after": "1h", "to": "b"}]}, "in order of after"),
        ({"repeat": "1s"}, "at least 1m"),
    ],
)
def test_keys_that_cannot_be_are_mistakes(keys: dict[str, Any], sentence: str) -> None:
    Rule.model_validate(RULE)
    with pytest.raises(ValidationError, match=sentence):
        Rule.model_validate(RULE | keys)


def test_keys_of_telling_do_not_make_a_rule_begin_anew() -> None:
    keys = {"flap": {"transitions": 4, "within": "1h"}, "repeat": "1d", "reopen_within": "1h"}
    assert Rule.model_validate(RULE | keys).hash == Rule.model_validate(RULE).hash
