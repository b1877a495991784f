"""The rule language and `step`: whatever the order of arrival, the same transitions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from catalogue.errors import FileProblems
from catalogue.yamlfile import parse_yaml
from rules.loader import load_documents, shipped_rules
from rules.model import Rule
from rules.refold import Open, refold, relisten
from rules.selftest import failures
from rules.step import RING, KeyState, Reading, Seen, Tick, Transition, initial, step

MINUTE_US = 60_000_000
T0 = 1_772_402_400_000_000  # 2026-03-02T00:00+02:00

HEAD = """\
version: 1
rules:
  - id: one
    title: {en: T, uk: Т}
    sentence: {en: S, uk: Р}
    advice: {en: A, uk: П}
    source: here
"""


def rule(text: str) -> Rule:
    (only,) = load_documents([parse_yaml(HEAD + text, "test.yaml")])
    return only


RULES = {
    "held": "    when: {threshold: {metric: fill_level_pct, above: 80, clear_below: 60}}\n    for: 30m\n",
    "at once": "    when: {threshold: {metric: fill_level_pct, below: 20, clear_above: 30}}\n",
    "clock": "    when: {threshold: {metric: fill_level_pct, above: 50}}\n    for: 15m\n    confirm: clock\n",
}


def fold(one: Rule, items: list[Any], state: KeyState | None = None) -> tuple[KeyState, list[Transition]]:
    state = state or initial(one)
    told: list[Transition] = []
    for item in items:
        state, made = step(one, 1800, state, item)
        told.extend(made)
    return state, told


def test_a_reading_that_the_clock_overtook_takes_back_what_it_decided() -> None:
    one = rule(RULES["clock"])
    state, told = fold(one, [Reading(T0, 30, 90), Tick(T0 + 16 * MINUTE_US)])
    assert [made.kind for made in told] == ["fires"]
    state, told = fold(one, [Reading(T0 + 14 * MINUTE_US, 30, 10)], state)
    assert [made.kind for made in told] == ["retracted"]
    assert state.core.phase == "inactive"


def test_a_part_that_is_no_longer_sent_is_unknown() -> None:
    one = rule(
        "    when: {any: [{threshold: {metric: voltage_l1_v, below: 207}}, {threshold: {metric: voltage_l2_v, below: 207}}]}\n"
        "    for: 10m\n    max_gap: 15m\n"
    )
    quiet = [Reading(T0 + minute * MINUTE_US, 11, 230) for minute in range(5, 60, 5)]
    state, told = fold(one, [Reading(T0, 10, 200), *quiet[3:]])
    assert told == [], "one old reading of a phase that is silent since is no evidence"
    state, told = fold(one, [Reading(T0, 10, 200), Reading(T0 + 10 * MINUTE_US, 10, 200), *quiet])
    assert [made.kind for made in told] == ["fires"], "nor does the other phase say that it is well again"
    state, told = fold(one, [Reading(T0 + 60 * MINUTE_US, 10, 231)], state)
    assert [made.kind for made in told] == ["resolves"]
    _, told = fold(one, [Reading(T0, 10, 230), *quiet, Reading(T0 + 70 * MINUTE_US, 11, 190),
                         Reading(T0 + 82 * MINUTE_US, 11, 190), Reading(T0 + 90 * MINUTE_US, 11, 230)])  # fmt: skip
    assert [made.kind for made in told] == ["fires", "resolves"], "a phase that was well and went away blocks nothing"


def test_the_nights_of_the_clock_change_are_measured_by_their_real_length() -> None:
    one = rule(
        '    when: {night: {metric: water_m3, window: "02:00-05:00", stat: mean_rate, above: 0.9, coverage: 0.9}}\n'
    )
    hour_us = 60 * MINUTE_US
    for last_hour_utc, hours in (("2026-03-28T21:00", 2), ("2026-10-24T20:00", 4), ("2026-11-10T21:00", 3)):
        begin_us = round(datetime.fromisoformat(f"{last_hour_utc}+00:00").timestamp() * 1e6)
        _, told = fold(one, [Reading(begin_us + hour * hour_us, 25, 100.0 + hour) for hour in range(12)])
        (fired,) = told
        # From 02:00 local, three hours after `begin_us`, to 05:00.
        assert fired.event_us == begin_us + (3 + hours) * hour_us
        assert fired.value == pytest.approx(1.0)


REFOLDED = [Reading(T0 + i * 30 * MINUTE_US, 30, value) for i, value in enumerate([10, 85, 90, 5, 70, 85, 86, 87])]


def test_a_new_rule_raises_only_what_is_so_now() -> None:
    state, told = refold(rule(RULES["held"]), 1800, REFOLDED, None)
    assert [(made.kind, made.breached_us) for made in told] == [("fires", REFOLDED[5].time_us)]
    assert state.core.phase == "firing"


def test_a_changed_rule_keeps_or_closes_the_open_alert() -> None:
    opened = Open(REFOLDED[0].time_us, REFOLDED[1].time_us)
    state, told = refold(rule(RULES["held"]), 1800, REFOLDED, opened)
    assert [(made.kind, made.breached_us) for made in told] == [("kept", opened.breached_us)]
    _, told = fold(rule(RULES["held"]), [Reading(REFOLDED[-1].time_us + 1, 30, 5)], state)  # type: ignore[assignment]
    assert [(made.kind, made.breached_us) for made in told] == [("resolves", opened.breached_us)]
    state, told = refold(rule(RULES["held"]), 1800, REFOLDED[:4], opened)
    assert [(made.kind, made.breached_us) for made in told] == [("resolves", opened.breached_us)]
    assert state.core.phase == "inactive"


def test_a_changed_absent_rule_keeps_or_closes_the_open_alert() -> None:
    one = rule("    when: {absent: {after: 2h}}\n")
    opened = Open(T0, T0 + 1)
    state, told = relisten(one, 1800, T0, T0 + 121 * MINUTE_US, opened)
    assert [made.kind for made in told] == ["kept"]
    _, told = fold(one, [Seen(T0 + 130 * MINUTE_US)], state)  # type: ignore[assignment]
    assert [(made.kind, made.breached_us) for made in told] == [("resolves", T0)]
    assert [made.kind for made in relisten(one, 1800, T0, T0 + 60 * MINUTE_US, opened)[1]] == ["resolves"]


def test_a_reading_older_than_the_ring_is_counted_and_not_judged() -> None:
    one = rule(RULES["held"])
    state, _ = fold(one, [Reading(T0 + i * 30 * MINUTE_US, 30, 10) for i in range(RING + 5)])
    state, made = step(one, 1800, state, Reading(T0, 30, 99))
    assert (made, state.late_unjudged) == ((), 1)


def test_a_gap_begins_anew() -> None:
    one = rule(RULES["held"])
    _, told = fold(one, [Reading(T0, 30, 90), Reading(T0 + 300 * MINUTE_US, 30, 90)])
    assert told == []


def test_late_data_takes_back_what_it_disproves() -> None:
    one = rule(RULES["held"])
    state, told = fold(one, [Reading(T0, 30, 90), Reading(T0 + 40 * MINUTE_US, 30, 90)])
    assert [made.kind for made in told] == ["fires"]
    _, made = step(one, 1800, state, Reading(T0 + 20 * MINUTE_US, 30, 10))
    assert [transition.kind for transition in made] == ["retracted"]


def test_every_shipped_rule_proves_itself() -> None:
    rules = shipped_rules()
    assert len(rules) == 25
    for one in rules:
        assert failures(one) == []
        assert any(test.expect for test in one.tests), f"{one.id} has no test that fires"
        assert any(not test.expect for test in one.tests), f"{one.id} has no test that stays quiet"


def test_a_wrong_expectation_is_told() -> None:
    wrong = rule(
        RULES["at once"]
        + '    tests:\n      - {name: odd, readings: {fill_level_pct: "50 10"}, expect: [{fires: 1h}]}\n'
    )
    assert failures(wrong) == ["one: test 'odd': expected fires at 60m, got fires at 30m"]


def test_texts_and_ids_are_checked() -> None:
    good = HEAD + RULES["held"]
    second = good[good.index("  - id") :].replace("{en: T, uk: Т}", "{en: T}").replace("en: S", 'en: "{place}"')
    with pytest.raises(FileProblems) as caught:
        load_documents([parse_yaml(good + second, "test.yaml")])
    assert [str(problem) for problem in caught.value.problems] == [
        "test.yaml:10: rules[1].id: the rule 'one' stands in test.yaml:3 too",
        "test.yaml:11: rules[1].title.uk: is missing",
        "test.yaml:12: rules[1].sentence.en: has no field {place}; there are address, contractor, fraction, hours,"
        " limit, point, since, site, value (it is '{place}')",
    ]
    with pytest.raises(FileProblems, match=r"two\.yaml:3: rules\[0\]\.id: the rule 'one' stands in one\.yaml:3 too"):
        load_documents([parse_yaml(good, "one.yaml"), parse_yaml(good, "two.yaml")])
