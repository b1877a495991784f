"""The rule language and `step`: whatever the order of arrival, the same transitions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.errors import FileProblems
from catalogue.yamlfile import parse_yaml
from rules import state_json
from rules.loader import load_documents, shipped_rules
from rules.model import Rule
from rules.selftest import failures
from rules.step import RING, KeyState, Reading, Tick, Transition, initial, step

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
    "kept": "    when: {threshold: {metric: fill_level_pct, above: 50}}\n    keep_firing_for: 40m\n",
    "clock": "    when: {threshold: {metric: fill_level_pct, above: 50}}\n    for: 15m\n    confirm: clock\n",
    "jump": "    when: {jump: {metric: fill_level_pct, down_by: 40, within: 1h}}\n",
    "stuck": "    when: {stuck: {metric: fill_level_pct, over: 1h, tolerance: 5, min_points: 3}}\n",
    "tree": "    when: {any: [{threshold: {metric: fill_level_pct, above: 90}},"
    " {not: {threshold: {metric: temperature_c, above: 50}}}]}\n    for: 20m\n",
}

readings = st.lists(
    st.tuples(
        st.integers(0, 60), st.sampled_from([30, 40]), st.sampled_from([5.0, 25.0, 45.0, 55.0, 75.0, 85.0, 95.0])
    ),
    min_size=1,
    max_size=RING,
    unique_by=lambda item: item[:2],
).map(lambda items: [Reading(T0 + minute * 10 * MINUTE_US, metric, value) for minute, metric, value in items])


def watched(one: Rule, series: list[Reading]) -> list[Reading]:
    return [reading for reading in series if reading.metric_id in one.when.metric_ids()]


def fold(one: Rule, items: list[Any], state: KeyState | None = None) -> tuple[KeyState, list[Transition]]:
    state = state or initial(one)
    told: list[Transition] = []
    for item in items:
        state, made = step(one, 1800, state, item)
        told.extend(made)
    return state, told


def episodes(told: list[Transition]) -> dict[int, tuple[int | None, int | None]]:
    """Breach → (fired, resolved) as the database would hold it in the end."""
    held: dict[int, tuple[int | None, int | None]] = {}
    for made in told:
        fired, resolved = held.get(made.breached_us, (None, None))
        match made.kind:
            case "fires":
                held[made.breached_us] = (made.event_us, None)
            case "resolves":
                held[made.breached_us] = (fired, made.event_us)
            case "revised":
                held[made.breached_us] = (made.event_us, resolved)
            case "reopened":
                held[made.breached_us] = (fired, None)
            case "retracted":
                del held[made.breached_us]
    return held


@pytest.mark.parametrize("name", RULES)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_the_order_of_arrival_does_not_matter(name: str, data: st.DataObject) -> None:
    one = rule(RULES[name])
    series = watched(one, data.draw(readings))
    shuffled = data.draw(st.permutations(series))
    in_order, told = fold(one, sorted(series))
    late, told_late = fold(one, shuffled)
    assert late.core == in_order.core
    assert episodes(told_late) == episodes(told)


@pytest.mark.parametrize("name", RULES)
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_duplicates_and_restarts_do_not_matter(name: str, data: st.DataObject) -> None:
    one = rule(RULES[name])
    series = watched(one, data.draw(readings))
    order = data.draw(st.permutations(series))
    expected, told = fold(one, list(order))
    state, again = initial(one), []
    for reading in order:
        for copy in range(data.draw(st.integers(1, 2))):
            state, made = step(one, 1800, state, reading)
            again.extend(made)
            assert not (copy and made), "a duplicate changes nothing"
        if data.draw(st.booleans()):
            state = state_json.load(one, 1800, json.loads(json.dumps(state_json.dump(state))))
    assert again == told
    assert state.core == expected.core
    assert state.ring == expected.ring


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_how_often_the_clock_ticks_does_not_matter(data: st.DataObject) -> None:
    one = rule(RULES["clock"])
    series = sorted(watched(one, data.draw(readings)))
    ticks = [Tick(T0 + minute * MINUTE_US) for minute in data.draw(st.lists(st.integers(0, 700), max_size=20))]
    mixed = sorted([*series, *ticks], key=lambda item: item[0])
    end = Tick(T0 + 2000 * MINUTE_US)
    _, told = fold(one, [*series, end])
    _, ticked = fold(one, [*mixed, end])
    assert episodes(ticked) == episodes(told)


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
    assert {one.id for one in rules} == {
        "bin-nearly-full", "bin-overflowing", "bin-fire", "bin-tipped", "device-silent", "battery-low",
        "water-night-flow", "electricity-night-high", "voltage-out-of-band",
    }  # fmt: skip
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


BAD = {
    "an unknown key": ("    when: {threshold: {metric: power_w, above: 1}}\n    fro: 30m\n",
        "test.yaml:9: rules[0].fro: is not a known key here; check the spelling or remove it"),
    "an unknown metric": ("    when: {threshold: {metric: power_kw, above: 1}}\n",
        "test.yaml:8: rules[0].when.threshold.metric: there is no metric 'power_kw' in the catalogue"),
    "clear on the wrong side": ("    when: {threshold: {metric: power_w, above: 1, clear_below: 2}}\n",
        "test.yaml:8: rules[0].when.threshold: clear_below 2 must not be higher than above 1"),
    "both directions": ("    when: {threshold: {metric: power_w, above: 1, below: 2}}\n",
        "test.yaml:8: rules[0].when.threshold: needs either above or below"),
    "two kinds": ("    when: {threshold: {metric: power_w, above: 1}, absent: {misses: 3}}\n",
        "test.yaml:8: rules[0].when: needs exactly one of threshold, jump, stuck, night, absent, all, any, not;"
        " it has threshold, absent"),
    "no duration": ("    when: {threshold: {metric: power_w, above: 1}}\n    for: 30\n",
        "test.yaml:9: rules[0].for: must be a number with a unit s, m, h or d, for example 15m (it is 30)"),
    "a window of nothing": ('    when: {night: {metric: water_m3, window: "2-2", above: 1}}\n',
        "test.yaml:8: rules[0].when.night.window: must be two local times, for example \"02:00-05:00\" (it is '2-2')"),
    "a kind of point that is none": ("    when: {threshold: {metric: power_w, above: 1}}\n    scope: {kind: [tram]}\n",
        "test.yaml:9: rules[0].scope.kind[0]: Input should be 'electricity', 'heat', 'gas', 'water', 'bin' or 'weather'"
        " (it is 'tram')"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_told_with_their_place(name: str) -> None:
    text, message = BAD[name]
    with pytest.raises(FileProblems) as caught:
        rule(text)
    assert [str(problem) for problem in caught.value.problems] == [message]


def test_texts_and_ids_are_checked() -> None:
    good = HEAD + RULES["held"]
    second = good[good.index("  - id") :].replace("{en: T, uk: Т}", "{en: T}").replace("en: S", 'en: "{place}"')
    with pytest.raises(FileProblems) as caught:
        load_documents([parse_yaml(good + second, "test.yaml")])
    assert [str(problem) for problem in caught.value.problems] == [
        "test.yaml:11: rules[1].title.uk: is missing",
        "test.yaml:12: rules[1].sentence.en: has no field {place}; there are address, contractor, fraction, hours,"
        " limit, point, since, site, value (it is '{place}')",
    ]
    with pytest.raises(FileProblems, match=r"two\.yaml:3: rules\[0\]\.id: the rule 'one' stands in one\.yaml:3 too"):
        load_documents([parse_yaml(good, "one.yaml"), parse_yaml(good, "two.yaml")])
