"""Passing over what cannot matter gives the same transitions as folding everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.metrics import Quality, metrics, metrics_by_id
from misto.score import offline
from misto.score.skim import places
from rules.loader import shipped_rules
from rules.model import Rule
from rules.step import Reading, Tick, Transition, initial, step
from tests.unit.test_rules import RULES, T0, rule

MINUTE_US = 60_000_000
ALL: dict[str, Rule] = {name: rule(text) for name, text in RULES.items()} | {
    one.id: one for one in shipped_rules() if one.when.absent is None
}
ALL["all"] = rule(
    "    when: {all: [{threshold: {metric: fill_level_pct, above: 80, clear_below: 30}},"
    " {jump: {metric: temperature_c, up_by: 20, within: 40m}}]}\n    for: 20m\n"
)
SKIMMED = [
    name for name, one in ALL.items() if places(one, 900, *(np.zeros(1, np.int64),) * 2, np.zeros(1)) is not None
]


def plain(one: Rule, series: list[Reading], end_us: int) -> list[Transition]:
    """Every reading through `step`."""
    state, told = initial(one), []
    for reading in series:
        state, made = step(one, 900, state, reading)
        told += made
    if one.judge.ticks:
        told += step(one, 900, state, Tick(end_us))[1]
    return told


def skimmed(one: Rule, series: list[Reading], end_us: int) -> list[Transition]:
    times = np.unique([reading.time_us for reading in series])
    columns: dict[str, Any] = {}
    for number in sorted({reading.metric_id for reading in series}):
        its = [reading for reading in series if reading.metric_id == number]
        values, qualities = np.zeros(len(times)), np.full(len(times), int(Quality.SUSPECT), np.int16)
        place = np.searchsorted(times, [reading.time_us for reading in its])
        values[place], qualities[place] = [reading.value for reading in its], int(Quality.GOOD)
        columns[metrics_by_id()[number].name] = (values, qualities)
    return offline.transitions(one, 900, times, times, columns, end_us)[0]


def test_most_shipped_rules_are_skimmed() -> None:
    assert {"bin-nearly-full", "bin-fire", "bin-tipped", "voltage-out-of-band", "register-fell", "all"} <= set(SKIMMED)
    assert "meter-stuck" not in SKIMMED


@pytest.mark.parametrize("name", SKIMMED)
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_the_same_transitions(name: str, data: st.DataObject) -> None:
    one = ALL[name]
    ids = sorted(one.when.metric_ids())[:3]
    limits = sorted(
        {
            round(value + more, 3)
            for node in leaves(one.when)
            for value in (node.get("above"), node.get("below"), node.get("clear_below"), node.get("clear_above"),
                          node.get("up_by"), node.get("down_by"))
            if value is not None
            for more in (-abs(value) / 2, -1, 0, 1, abs(value) / 2)
        }
    )  # fmt: skip
    rows = data.draw(
        st.lists(
            st.tuples(st.integers(0, 300), st.sampled_from(ids), st.sampled_from(limits)),
            max_size=120,
            unique_by=lambda row: row[:2],
        )
    )
    series = sorted(Reading(T0 + step * 7 * MINUTE_US, metric, value) for step, metric, value in rows)
    end_us = T0 + 301 * 7 * MINUTE_US
    assert skimmed(one, series, end_us) == plain(one, series, end_us)


def leaves(node: Any) -> list[dict[str, Any]]:
    return (
        [node.single.model_dump()]
        if node.single
        else [leaf for child in node.all or node.any for leaf in leaves(child)]
    )


@pytest.mark.parametrize("name", ["bin-nearly-full", "power-factor-low", "register-fell", "voltage-out-of-band"])
def test_long_random_walks(name: str) -> None:
    """Hundreds of readings with hundreds between those that matter."""
    one = ALL[name]
    dice = np.random.default_rng(5)
    ids = sorted(one.when.metric_ids())
    middle = {metrics()["power_factor"].id: 0.88, 9: 240, 10: 240, 11: 240, 12: 240, 30: 74, 4: 1400}
    spread = {metrics()["power_factor"].id: 0.01, 30: 2.5, 4: 90}
    told = 0
    for _ in range(12):
        series = []
        for number in ids:
            walk = middle.get(number, 500) + np.cumsum(
                dice.normal(0, spread.get(number, 1.5), 1500) * (dice.random(1500) < 0.6)
            )
            series += [Reading(T0 + index * 15 * MINUTE_US, number, float(value)) for index, value in enumerate(walk)]
        series.sort()
        end_us = T0 + 1501 * 15 * MINUTE_US
        expected = plain(one, series, end_us)
        told += len(expected)
        assert skimmed(one, series, end_us) == expected
    assert told, "something happens in them"
