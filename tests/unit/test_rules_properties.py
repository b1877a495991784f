"""Whatever the order of arrival within the accepted lateness, duplicates, batches, restarts and ticks: the same alerts.

`EXAMPLES` has a rule or more for each kind of condition and each key that takes part in deciding. A new kind is a line
more; a test says so if there is none.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.yamlfile import parse_yaml
from rules import state_json
from rules.conditions.tree import Node
from rules.engine import Decided, Engine
from rules.loader import load_documents
from rules.model import Rule
from rules.step import RING, KeyState, Reading, Seen, Tick, Transition, initial, step
from store.alerts import PointInfo
from store.reading_log import LogBatch

MINUTE_US = 60_000_000
INTERVAL_S = 1800
FILL, TILTED, TEMPERATURE, WATER = 30, 32, 40, 25
# An hour before midnight: Sunday to Monday, and the nights of both clock changes.
STARTS = [
    round(datetime.fromisoformat(text).timestamp() * 1e6)
    for text in ("2026-03-01T23:00+02:00", "2026-03-28T23:00+02:00", "2026-10-24T23:00+03:00")
]
T0 = STARTS[0]

HEAD = """\
version: 1
rules:
  - id: one
    title: {en: T, uk: Т}
    sentence: {en: S, uk: Р}
    advice: {en: A, uk: П}
    source: here
"""


@dataclass(frozen=True)
class Example:
    """A rule, and the readings that it is tried with: of these metrics, with these values, on a grid of minutes; of
    counters the values are added up."""

    text: str
    metrics: tuple[int, ...] = (FILL, FILL, FILL, TEMPERATURE, TILTED)
    values: tuple[float, ...] = (5.0, 25.0, 45.0, 55.0, 75.0, 85.0, 95.0)
    every_min: int = 10
    most_steps: int = 45
    counters: bool = False

    def counted(self, series: list[Reading]) -> list[Reading]:
        """Readings in order of time, added up where they are a counter's."""
        if not self.counters:
            return series
        sums: Counter[int] = Counter()
        added = []
        for reading in series:
            sums[reading.metric_id] += round(reading.value)
            added.append(reading._replace(value=float(sums[reading.metric_id])))
        return added


HIGH = "when: {threshold: {metric: fill_level_pct, above: 50, clear_below: 40}}"
UNLESS = "unless: {threshold: {metric: tilted, above: 50}}"
NIGHTS = 'active: {windows: [{days: mon-sun, from: "23:30", to: "03:30"}], outside: %s}'
LEVELS = """levels:
      - {severity: warning, when: {threshold: {metric: fill_level_pct, above: 50, clear_below: 40}}, for: 30m}
      - {severity: critical, when: {threshold: {metric: fill_level_pct, above: 80, clear_below: 70}}, for: 10m}"""
CROSSED = """levels:
      - {severity: critical, when: {threshold: {metric: temperature_c, above: 50}}, for: 30m}
      - {severity: info, when: {threshold: {metric: fill_level_pct, above: 20}}}
      - {severity: warning, when: {threshold: {metric: fill_level_pct, above: 50}}, for: 20m}"""
BY_CLOCK = "confirm: clock"


def lines(*parts: str, **more: Any) -> Example:
    return Example("".join(f"    {part}\n" for part in parts), **more)


EXAMPLES = {
    "threshold": lines("when: {threshold: {metric: fill_level_pct, below: 20, clear_above: 30}}"),
    "threshold held": lines(HIGH, "for: 30m"),
    "threshold kept": lines(HIGH, "keep_firing_for: 40m"),
    "threshold by the clock": lines(HIGH, "for: 15m", BY_CLOCK),
    "jump": lines("when: {jump: {metric: fill_level_pct, down_by: 40, within: 1h}}"),
    "stuck": lines("when: {stuck: {metric: fill_level_pct, over: 1h, tolerance: 5, min_points: 3}}"),
    "night": lines(
        'when: {night: {metric: water_m3, window: "02:00-05:00", stat: min_hourly_rate, above: 300, coverage: 0.5}}',
        metrics=(WATER,),
        counters=True,
    ),
    "rate": lines(
        "when: {rate: {metric: fill_level_pct, over: 2h, above: 20, clear_below: 10, min_points: 3}}", "for: 20m"
    ),
    "forecast": lines(
        "when: {forecast: {metric: fill_level_pct, reaches: 95, within: 36h, over: 6h, min_points: 3, min_span: 1h}}"
    ),
    "forecast of a bin": lines(
        "when: {forecast: {metric: fill_level_pct, reaches: 95, within: 36h, over: 6h, min_points: 3, min_span: 1h,"
        " reset_on: emptied}}"
    ),
    "continuous_flow": lines(
        "when: {continuous_flow: {metric: water_m3, bucket: 30m, buckets: 3, min_volume: 5}}", metrics=(WATER,)
    ),
    "counter_reset": lines("when: {counter_reset: {metric: water_m3}}", metrics=(WATER,)),
    "setback": lines(
        'when: {setback: {metric: water_m3, window: "00:00-04:00", share_above: 0.95, usual_times: 1, nights: 7, raise_after: 1, coverage: 0.3}}',
        metrics=(WATER,),
        every_min=60,
        most_steps=500,
        counters=True,
    ),
    "flag": lines("when: {flag: {metric: tilted, in: [1]}}", "for: 20m", metrics=(TILTED,), values=(0.0, 1.0)),
    "at_least": lines(
        "when: {at_least: {n: 2, of: [{threshold: {metric: fill_level_pct, above: 50}},"
        " {threshold: {metric: temperature_c, above: 50}}, {threshold: {metric: tilted, above: 50}}]}}",
        "max_gap: 1h",
    ),
    "any and not": lines(
        "when: {any: [{threshold: {metric: fill_level_pct, above: 90}},"
        " {not: {threshold: {metric: temperature_c, above: 50}}}]}",
        "for: 20m",
    ),
    "all, with stale parts": lines(
        "when: {any: [{threshold: {metric: fill_level_pct, above: 50}},"
        " {all: [{threshold: {metric: temperature_c, above: 50}}, {threshold: {metric: fill_level_pct, above: 20}}]}]}",
        "for: 20m",
        "max_gap: 25m",
    ),
    "any by the clock": lines(
        "when: {any: [{threshold: {metric: fill_level_pct, above: 90}}, {threshold: {metric: temperature_c, above: 50}}]}",
        "for: 25m",
        BY_CLOCK,
        "max_gap: 1h",
    ),
    "levels": lines(LEVELS),
    "levels kept": lines(LEVELS, "keep_firing_for: 30m"),
    "levels of several metrics": lines(CROSSED),
    "levels by the clock": lines(CROSSED, BY_CLOCK, "max_gap: 1h"),
    "unless": lines(HIGH, UNLESS, "for: 20m", "max_gap: 40m"),
    "unless, by the clock": lines(HIGH, UNLESS, "for: 20m", BY_CLOCK),
    "active, held": lines(HIGH, NIGHTS % "hold", "for: 20m"),
    "active, held, by the clock": lines(HIGH, NIGHTS % "hold", "for: 20m", BY_CLOCK),
    "active, resolved": lines(HIGH, NIGHTS % "resolve", "keep_firing_for: 30m"),
    "active, resolved, by the clock": lines(HIGH, NIGHTS % "resolve", "for: 20m", BY_CLOCK),
    "all of it": lines(CROSSED, UNLESS, NIGHTS % "resolve", BY_CLOCK, "keep_firing_for: 20m"),
}
SILENT = "    when: {absent: {misses: 2}}\n"


def rule(text: str) -> Rule:
    (only,) = load_documents([parse_yaml(HEAD + text, "test.yaml")])
    return only


RULES = {name: rule(example.text) for name, example in EXAMPLES.items()}


@st.composite
def arriving(draw: st.DrawFn, name: str) -> list[Reading]:
    """Readings in the order in which they come: each later than at most the accepted number of newer ones."""
    example, ids = EXAMPLES[name], RULES[name].metric_ids
    start_us = draw(st.sampled_from(STARTS))
    drawn = draw(
        st.lists(
            st.tuples(
                st.integers(0, example.most_steps),
                st.sampled_from([metric for metric in example.metrics if metric in ids]),
                st.sampled_from(example.values),
                st.integers(0, RING - 2),
            ),
            min_size=1,
            max_size=RING + 12,
            unique_by=lambda item: item[:2],
        )
    )
    drawn.sort()
    series = example.counted(
        [Reading(start_us + at * example.every_min * MINUTE_US, metric, value) for at, metric, value, _ in drawn]
    )
    late = sorted(range(len(series)), key=lambda place: (place + drawn[place][3], place))
    return [series[place] for place in late]


def fold(one: Rule, items: list[Any], state: KeyState | None = None) -> tuple[KeyState, list[Transition]]:
    state = state or initial(one)
    told: list[Transition] = []
    for item in items:
        state, made = step(one, INTERVAL_S, state, item)
        told.extend(made)
    return state, told


def episodes(told: list[Transition]) -> dict[int, list[int | None]]:
    """Breach → [fired, resolved, level] as the database would hold it in the end."""
    held: dict[int, list[int | None]] = {}
    for made in told:
        match made.kind:
            case "fires":
                held[made.breached_us] = [made.event_us, None, made.level]
            case "resolves":
                held[made.breached_us][1] = made.event_us
            case "revised":
                held[made.breached_us][0] = made.event_us
            case "reopened":
                held[made.breached_us][1] = None
            case "raised" | "lowered":
                held[made.breached_us][2] = made.level
            case "retracted":
                del held[made.breached_us]
    return held


def kept(state: KeyState) -> tuple[Any, ...]:
    """All that matters of a state: how many more readings than the last ones hang together does not."""
    return state.core, [entry[:3] for entry in state.ring], state.now_us, state.late_unjudged


def restarted(one: Rule, state: KeyState) -> KeyState:
    again = state_json.load(one, INTERVAL_S, json.loads(json.dumps(state_json.dump(state))))
    assert kept(again) == kept(state)
    return again


@pytest.mark.parametrize("name", EXAMPLES)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_order_duplicates_restarts_and_ticks_do_not_matter(name: str, data: st.DataObject) -> None:
    one = RULES[name]
    series = data.draw(arriving(name))
    end = Tick(max(series).time_us + 2000 * MINUTE_US)
    whole, expected = fold(one, [*sorted(series), end])
    # After each reading: how often it comes, how far the clock has come since, and whether the process restarts.
    what_else = st.tuples(st.integers(1, 2), st.none() | st.integers(0, 100), st.booleans())
    state, told, now_us = initial(one), [], min(series).time_us
    for reading in series:
        copies, minutes, restarts = data.draw(what_else)
        items: list[Any] = [reading] * copies
        if minutes is not None:
            now_us += minutes * MINUTE_US
            items += [Tick(now_us)] * copies
        for place, item in enumerate(items):
            state, made = step(one, INTERVAL_S, state, item)
            told += made
            assert not (made and place and item == items[place - 1]), "the same again changes nothing"
        if restarts:
            state = restarted(one, state)
    state, made = step(one, INTERVAL_S, state, end)
    assert episodes([*told, *made]) == episodes(expected)
    assert state.core == whole.core


@pytest.mark.parametrize("name", EXAMPLES)
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_one_alert_at_a_time_and_never_the_same_twice(name: str, data: st.DataObject) -> None:
    series = sorted(data.draw(arriving(name)))
    _, told = fold(RULES[name], [*series, Tick(series[-1].time_us + 2000 * MINUTE_US)])
    breaches = [made.breached_us for made in told if made.kind == "fires"]
    assert len(set(breaches)) == len(breaches)
    level, at = None, 0
    for made in told:
        assert made.event_us >= at
        at = made.event_us
        match made.kind:
            case "fires":
                assert level is None
                assert made.breached_us <= made.event_us
            case "raised":
                assert level is not None
                assert made.level > level
            case "lowered":
                assert level is not None
                assert made.level < level
            case "resolves":
                assert level is not None
        level = None if made.kind == "resolves" else made.level


def batch(readings: list[Reading]) -> LogBatch:
    times, metrics, values = zip(*readings, strict=True)
    return LogBatch(
        1, 1, datetime.fromtimestamp(max(times) / 1e6, UTC), np.array(times, np.int64), np.ones(len(times), np.int32),
        np.array(metrics, np.int16), np.array(values, np.float64), np.zeros(len(times), np.int16),
        reading_count=len(times),
    )  # fmt: skip


POINT = PointInfo(1, "p", "bin", INTERVAL_S, "paper", {}, "P", "П", "s", "S", "С", *(None,) * 7)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_batches_do_not_matter(data: st.DataObject) -> None:
    """All examples in one engine, whatever is judged at once, and with engines that begin anew from what was saved."""
    rules = [one.model_copy(update={"id": f"rule-{place}"}) for place, one in enumerate(RULES.values())]
    name = data.draw(st.sampled_from(sorted(EXAMPLES)))
    series = data.draw(arriving(name))
    whole = Engine(rules, judge_history=True)
    whole.set_points([POINT], {})
    expected, _ = whole.fold(batch(series))
    engine, told, saved, begun = Engine(rules, judge_history=True), list[Decided](), dict[tuple[str, int], Any](), 0
    engine.set_points([POINT], {})
    while begun < len(series):
        count = data.draw(st.integers(1, 12))
        told += engine.fold(batch(series[begun : begun + count]))[0]
        begun += count
        saved |= {(row[0], row[1]): (row[2], json.loads(json.dumps(row[3]))) for row in engine.take_changed()}
        if data.draw(st.booleans()):
            engine = Engine(rules, judge_history=True)
            engine.set_points([POINT], saved)
    for one in rules:
        assert [made.transition for made in told if made.rule is one] == [
            made.transition for made in expected if made.rule is one
        ]
        assert kept(engine.machines[one.id, 1].state) == kept(whole.machines[one.id, 1].state)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_silence_does_not_depend_on_ticks_duplicates_and_restarts(data: st.DataObject) -> None:
    """That the clock comes round at least each minute is the only thing that it needs."""
    one = rule(SILENT)
    heard = data.draw(st.sets(st.integers(0, 600), max_size=8))
    more = data.draw(st.lists(st.tuples(st.integers(0, 700), st.integers(1, 59)), max_size=20))

    def items(extra: bool) -> list[Seen | Tick]:
        at = [(minute * MINUTE_US, 1, Tick) for minute in range(700)] + [(each * MINUTE_US, 0, Seen) for each in heard]
        if extra:
            at += [(minute * MINUTE_US + second * 1_000_000, 1, Tick) for minute, second in more]
            at += [(each * MINUTE_US, 0, Seen) for each in heard]
        return [kind(T0 + time_us) for time_us, _, kind in sorted(at, key=lambda item: item[:2])]

    _, expected = fold(one, items(extra=False))
    state, told = initial(one), []
    for item in items(extra=True):
        state, made = step(one, INTERVAL_S, state, item)
        told += made
        if isinstance(item, Seen):
            state = restarted(one, state)
    assert [made[:3] for made in told] == [made[:3] for made in expected]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_can_fire(name: str) -> None:
    """Else the other tests would say nothing of it."""
    example, one, chance = EXAMPLES[name], RULES[name], random.Random(1)
    metrics = sorted(one.metric_ids & set(example.metrics))
    for _ in range(300):
        series = [
            Reading(T0 + place * example.every_min * MINUTE_US, metric, chance.choice(example.values))
            for place in range(example.most_steps)
            for metric in metrics
            if chance.random() < 0.8
        ]
        if any(made.kind == "fires" for made in fold(one, example.counted(series))[1]):
            return
    pytest.fail("none of 300 series makes it fire")


def _kinds(node: Any) -> set[str]:
    if isinstance(node, list):
        return {kind for each in node for kind in _kinds(each)}
    return {kind for key, value in node.items() for kind in {key} | _kinds(value)} if isinstance(node, dict) else set()


def test_every_kind_has_an_example() -> None:
    kinds = {field.alias or name for name, field in Node.model_fields.items()}
    texts = [*(example.text for example in EXAMPLES.values()), SILENT]
    assert kinds <= {kind for text in texts for kind in _kinds(parse_yaml(HEAD + text, "test.yaml").data)}
