"""Kinds of condition: what they hold to be true, false and unknown, whatever the order of arrival."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.errors import FileProblems
from catalogue.metrics import metrics
from catalogue.yamlfile import parse_yaml
from rules import state_json
from rules.conditions import Node
from rules.conditions.base import Condition, State, Truth
from rules.conditions.counter_reset import CounterReset
from rules.conditions.tree import KINDS
from rules.loader import load_documents
from rules.model import Rule
from rules.step import KeyState, Reading, Transition, initial, step

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
T0 = 1_772_402_400_000_000  # 2026-03-02T00:00+02:00, a Monday
FILL, TEMPERATURE, WATER, ENERGY, POWER, LID = (
    metrics()[name].id
    for name in ("fill_level_pct", "temperature_c", "water_m3", "energy_kwh", "power_w", "lid_open")
)  # fmt: skip


def rule(when: str, more: str = "") -> Rule:
    text = (
        "version: 1\nrules:\n  - id: one\n    title: {en: T, uk: Т}\n    sentence: {en: S, uk: Р}\n"
        f"    advice: {{en: A, uk: П}}\n    source: here\n    when: {{{when}}}\n{more}"
    )
    (only,) = load_documents([parse_yaml(text, "test.yaml")])
    return only


def condition(when: str) -> Condition:
    single = rule(when).when.single
    assert single is not None
    return single


def folded(its: Condition | Node, values: list[float | None], step_us: int = HOUR_US, metric: int = 0) -> State:
    """State after a value each step from T0 on; None is a missing one."""
    state = its.initial()
    metric = metric or min(its.metric_ids())
    for number, value in enumerate(values):
        if value is not None:
            state = its.fold(state, T0 + number * step_us, metric, value)
    return state


def fold(one: Rule, items: list[Reading], state: KeyState | None = None) -> tuple[KeyState, list[Transition]]:
    state = state or initial(one)
    told: list[Transition] = []
    for item in items:
        state, made = step(one, 1800, state, item)
        told.extend(made)
    return state, told


def test_every_kind_is_found() -> None:
    assert set(KINDS) == {
        "threshold", "jump", "stuck", "night", "rate", "forecast", "continuous_flow", "counter_reset", "flag", "setback",
    }  # fmt: skip
    for name, kind in KINDS.items():
        assert kind.__module__ == f"rules.conditions.{name}"
        assert Node.model_fields[name].annotation == kind | None


# --- whatever the order of arrival, duplicates and restarts


EVERY = {
    "rate": "rate: {metric: fill_level_pct, over: 2h, above: 20, clear_below: 5, min_points: 3}",
    "rate of least squares": "rate: {metric: water_m3, over: 2h, below: 3, min_points: 3, method: least_squares}",
    "forecast": "forecast: {metric: fill_level_pct, reaches: 90, within: 3h, clear_within: 6h, over: 6h, min_points: 4,"
    " min_span: 1h, reset_on: emptied}",
    "continuous flow": "continuous_flow: {metric: water_m3, bucket: 30m, buckets: 4, min_volume: 10}",
    "counter reset": "counter_reset: {metric: water_m3, longest_gap: 2h}",
    "flag": "flag: {metric: lid_open, in: [1]}",
    "bits": "flag: {metric: alarm_bits, bits: [1, 3]}",
    "stuck while": "stuck: {metric: water_m3, over: 30m, min_points: 2, while: {metric: power_w, above: 40}}",
    "night by sort of day": 'night: {metric: water_m3, window: "02:00-05:00", above: 3, ratio_above: 1.5,'
    " same_daytype: true}",
    "setback": 'setback: {metric: energy_kwh, window: "00:00-04:00", share_above: 0.8}',
    "at least": "at_least: {n: 2, of: [{threshold: {metric: fill_level_pct, above: 50}}, {threshold: {metric: power_w,"
    " above: 50}}, {not: {flag: {metric: lid_open, in: [1]}}}]}",
}

series = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 2), st.sampled_from([0.0, 1.0, 5.0, 25.0, 45.0, 55.0, 85.0, 95.0])),
    min_size=1,
    max_size=24,
    unique_by=lambda item: item[:2],
)


@pytest.mark.parametrize("name", EVERY)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_of_arrival_does_not_matter(name: str, data: st.DataObject) -> None:
    one = rule(EVERY[name], "    for: 20m\n")
    watched = sorted(one.when.metric_ids())
    drawn = data.draw(series)
    readings = sorted(
        {
            (moment, metric % len(watched)): Reading(
                T0 + moment * 10 * MINUTE_US, watched[metric % len(watched)], value
            )
            for moment, metric, value in drawn
        }.values()
    )
    expected, _ = fold(one, readings)
    state = initial(one)
    for reading in data.draw(st.permutations(readings)):
        state, _ = step(one, 1800, state, reading)
        assert step(one, 1800, state, reading)[1] == (), "a duplicate changes nothing"
        if data.draw(st.booleans()):
            state = state_json.load(one, 1800, json.loads(json.dumps(state_json.dump(state))))
    assert state.core == expected.core


@pytest.mark.parametrize("name", EVERY)
def test_a_state_stays_small(name: str) -> None:
    its = rule(EVERY[name]).when
    state = its.initial()
    for number in range(3000):
        for metric in sorted(its.metric_ids()):
            state = its.fold(state, T0 + number * MINUTE_US, metric, 0.01 * number)
    assert len(json.dumps(state)) < 2500


# --- rate


def test_a_rate_holds_until_it_is_back_at_the_clear_limit() -> None:
    its = condition("rate: {metric: fill_level_pct, over: 4h, per: 1h, above: 5, clear_below: 2}")
    quarter = 15 * MINUTE_US
    steep = folded(its, [number * 1.5 for number in range(17)], quarter)
    assert its.truth(steep) is True
    assert its.shown(steep) == (pytest.approx(6), 5)
    gentle = folded(its, [number * 1.5 for number in range(17)] + [25.5 + number for number in range(16)], quarter)
    assert (its.truth(gentle), its.truth(gentle, firing=True)) == (False, True)
    level = folded(its, [number * 1.5 for number in range(17)] + [25.0] * 20, quarter)
    assert its.truth(level, firing=True) is False


def test_a_rate_of_few_or_close_readings_is_unknown() -> None:
    its = condition("rate: {metric: fill_level_pct, over: 10h, above: 5, min_points: 4}")
    assert its.truth(folded(its, [0, 9, 18])) is None, "three readings"
    assert its.truth(folded(its, [0, 9, 18, 27, 36])) is None, "they span four hours of ten"
    assert its.truth(folded(its, [0, 9, 18, 27, 36, 45, 54])) is True
    assert its.truth(folded(its, [0, 9, 18, 27, 36, 45, 54] + [None] * 12 + [60])) is None, "a gap"
    assert its.truth(folded(its, [0, 9, 18, 27, 36, 45, 54] + [None] * 12 + [60]), firing=True) is None


def test_an_echo_moves_least_squares_and_not_theil_sen() -> None:
    values = [10.0] * 12
    values[-1] = 100.0
    for method, truth in (("theil_sen", False), ("least_squares", True)):
        its = condition(f"rate: {{metric: fill_level_pct, over: 12h, above: 2, method: {method}}}")
        assert its.truth(folded(its, values)) is truth  # type: ignore[arg-type]


def test_a_counter_that_fell_has_no_rate_at_first() -> None:
    its = condition("rate: {metric: water_m3, over: 6h, below: 1, min_points: 3}")
    assert its.truth(folded(its, [100.0 + 2 * n for n in range(6)])) is False
    assert its.truth(folded(its, [100.0 + 2 * n for n in range(6)] + [0.0])) is None
    assert its.truth(folded(its, [100.0 + 2 * n for n in range(6)] + [0.1 * n for n in range(5)])) is True


# --- forecast

FORECAST = "forecast: {metric: fill_level_pct, reaches: 95, within: 24h, clear_within: 40h, reset_on: emptied}"


def test_a_bin_that_fills_will_be_full() -> None:
    its = condition(FORECAST)
    rising: list[float | None] = [20 + 2.0 * n for n in range(13)]
    assert its.truth(folded(its, rising[:12])) is None, "they span eleven hours of twelve"
    state = folded(its, rising)
    # 44 %, two points an hour: 25.5 hours.
    assert (its.truth(state), its.truth(state, firing=True)) == (False, True)
    state = folded(its, [*rising, 46])
    assert its.truth(state) is False
    state = folded(its, [*rising, 46, 48])
    assert its.truth(state) is True
    assert its.shown(state) == (pytest.approx(23.5), 24)
    assert its.truth(folded(its, [96])) is True, "it is there already"


def test_an_emptying_begins_anew_and_an_echo_does_not() -> None:
    its = condition(FORECAST)
    rising: list[float | None] = [40 + 2.0 * n for n in range(20)]
    assert its.truth(folded(its, rising), firing=True) is True
    assert its.truth(folded(its, [*rising, 5]), firing=True) is True, "not confirmed yet"
    assert its.truth(folded(its, [*rising, 5, 79]), firing=True) is True, "an echo"
    emptied = [*rising, 5, 6]
    assert its.truth(folded(its, emptied), firing=True) is False
    assert its.truth(folded(its, [*emptied, 7]), firing=True) is None
    assert its.truth(folded(its, [*emptied, *(6 + 0.5 * n for n in range(12))]), firing=True) is False


def test_a_forecast_wants_most_slopes_to_agree() -> None:
    wavering: list[float | None] = [40 + 2.0 * n + (12 if n % 2 else -12) for n in range(24)]
    bold = condition("forecast: {metric: fill_level_pct, reaches: 110, within: 24h, confidence: 0.5}")
    sure = condition("forecast: {metric: fill_level_pct, reaches: 110, within: 24h, confidence: 0.9}")
    assert bold.truth(folded(bold, wavering)) is True
    assert sure.truth(folded(sure, wavering)) is False


# --- continuous flow

FLOW = "continuous_flow: {metric: water_m3, min_volume: 0.02, clear_below: 0.01}"


def test_flow_in_every_hour_of_a_day_is_a_leak() -> None:
    its = condition(FLOW)
    leaking: list[float | None] = [0.03 * n for n in range(26)]
    assert its.truth(folded(its, leaking[:25])) is None, "23 hours are known"
    state = folded(its, leaking)
    assert its.truth(state) is True
    assert its.shown(state) == (pytest.approx(0.03), 0.02)
    drips: list[float | None] = [*leaking, 0.765, 0.78]
    assert (its.truth(folded(its, drips)), its.truth(folded(its, drips), firing=True)) == (False, True)
    quiet: list[float | None] = [*leaking, 0.75, 0.75]
    assert its.truth(folded(its, quiet), firing=True) is False


def test_an_hour_without_a_good_reading_neither_raises_nor_clears() -> None:
    its = condition(FLOW)
    gap: list[float | None] = [0.03 * n if n != 30 else None for n in range(40)]
    assert its.truth(folded(its, gap), firing=True) is None
    later = [its.truth(folded(its, [0.03 * n if n != 30 else None for n in range(count)])) for count in (56, 57)]
    assert later == [None, True], "of the hour after the gap it is not known either what it counted"
    silent: list[float | None] = [0.03 * n for n in range(26)] + [None] * 3 + [0.755, 0.78]
    assert its.truth(folded(its, silent), firing=True) is False, "three hours that together counted nothing"
    swapped: list[float | None] = [0.03 * n for n in range(30)] + [0.03 * n for n in range(10)]
    assert its.truth(folded(its, swapped), firing=True) is None, "the register fell"


@pytest.mark.parametrize("day", ["2026-03-28T20:00", "2026-10-24T20:00"])
def test_the_day_of_the_clock_change_has_24_hours_of_flow(day: str) -> None:
    its = condition(FLOW)
    begin_us = round(datetime.fromisoformat(f"{day}+00:00").timestamp() * 1e6)
    state, truths = its.initial(), []
    for number in range(26):
        state = its.fold(state, begin_us + number * HOUR_US, WATER, 0.03 * number)
        truths.append(its.truth(state))
    assert truths == [None] * 25 + [True]


# --- counter reset


@pytest.mark.parametrize(
    ("before", "after", "truth"),
    [
        (48213.5, 0.2, True),
        (48213.5, 48213.2, False),
        (99998.5, 3.5, False),
        (4294967.1, 0.4, False),
        (4294967290.0, 12.0, False),
        (99998.5, 30000.0, True),
        (8000.0, 3.0, True),
    ],
)
def test_a_register_that_falls_has_been_reset_unless_it_rolled_over(before: float, after: float, truth: bool) -> None:
    its = CounterReset(metric="water_m3")
    state = folded(its, [before - 1, before, after])
    assert its.truth(state) is truth
    if truth:
        assert its.shown(state) == (after, before)
    assert its.truth(folded(its, [before - 1, before, after, after + 1])) is False


def test_a_new_meter_may_be_allowed_and_a_gap_hides_what_happened() -> None:
    its = CounterReset(metric="water_m3", allow_replacement=True)
    assert its.truth(folded(its, [8000.0, 42.0])) is False
    assert its.truth(folded(its, [8000.0, 4200.0])) is True
    assert its.truth(folded(its, [8000.0])) is None
    assert its.truth(folded(its, [8000.0, *[None] * 24, 4200.0])) is None


# --- flag


def test_a_flag_is_a_code_or_a_bit() -> None:
    lid = condition("flag: {metric: lid_open, in: [1]}")
    assert [lid.truth(folded(lid, list(values))) for values in ([], [0], [0, 1], [1, 0])] == [None, False, True, False]
    alarm = condition("flag: {metric: alarm_bits, bits: [0, 3]}")
    assert [alarm.truth(folded(alarm, [value])) for value in (0, 1, 2, 8, 6, 15)] == [
        False, True, False, True, False, True,
    ]  # fmt: skip


# --- stuck while


def stuck_while(power: list[float | None], water: list[float | None]) -> list[Truth]:
    its = condition("stuck: {metric: water_m3, over: 3h, min_points: 3, while: {metric: power_w, above: 500}}")
    state, truths = its.initial(), []
    for number, (watt, value) in enumerate(zip(power, water, strict=True)):
        if watt is not None:
            state = its.fold(state, T0 + number * HOUR_US, POWER, watt)
        if value is not None:
            state = its.fold(state, T0 + number * HOUR_US + 1, WATER, value)
        truths.append(its.truth(state))
    return truths


def test_rest_counts_only_while_flow_is_expected() -> None:
    flat: list[float | None] = [7.0] * 8
    assert stuck_while([900] * 8, flat) == [None, None, False, *[True] * 5]
    assert stuck_while([0] * 8, flat) == [False] * 8
    assert stuck_while([900, 900, 0, 900, 900, 900, 900, 900], flat)[2:] == [False, None, None, False, True, True]
    assert stuck_while([None] * 8, flat) == [None] * 8
    assert stuck_while([900, *[None] * 7], flat)[3:] == [None] * 5, "what is expected is not known for so long"
    assert stuck_while([900] * 8, [7.0, 7.0, 7.0, 7.0, 8.0, 8.0, 8.0, 8.0])[3:] == [True, False, None, False, True]


# --- night


def nights(rates: list[float], more: str = "") -> list[Truth]:
    """Truth after each night, at the hour after its window; nights from Monday on, a value each hour."""
    its = condition(
        'night: {metric: energy_kwh, window: "00:00-05:00", above: 1, ratio_above: 1.5, time_zone: Etc/GMT-2'
        + more
        + "}"
    )
    state, value, truths = its.initial(), 0.0, []
    for day, rate in enumerate(rates):
        for hour in range(24):
            state = its.fold(state, T0 + (day * 24 + hour) * HOUR_US, ENERGY, value)
            value += rate if hour < 5 else 9.0
        truths.append(its.truth(state))
    return truths


def test_nights_are_compared_with_those_of_the_same_sort_of_day() -> None:
    # A building that rests at weekends at 2 kW and on weekdays at 6 kW.
    week = [6.0] * 5 + [2.0] * 2
    high = [*week, *week, *[6.0] * 5, 5.0]
    assert nights(high)[-1] is False, "5 kW is nothing against all nights"
    assert nights(high, ", same_daytype: true")[-1] is True, "it is against Saturdays and Sundays"
    assert nights([*week, 6.0], ", same_daytype: true")[5:7] == [False, False], "two nights of rest are no measure yet"
    assert nights([*week, *week], ", same_daytype: true")[3:] == [False] * 11


def test_a_public_holiday_is_a_day_of_rest() -> None:
    its = condition(
        'night: {metric: energy_kwh, window: "00:00-05:00", above: 1, ratio_above: 1.5, time_zone: Etc/GMT-3,'
        " same_daytype: true}"
    )
    begin_us = round(datetime.fromisoformat("2026-08-03T00:00:00+03:00").timestamp() * 1e6)
    state, value, truths = its.initial(), 0.0, []
    for day in range(22):
        rate = 2.0 if day % 7 >= 5 else 5.0
        for hour in range(24):
            state = its.fold(state, begin_us + (day * 24 + hour) * HOUR_US, ENERGY, value)
            value += rate if hour < 5 else 9.0
        truths.append(its.truth(state))
    assert truths[-8:] == [False] * 7 + [True], "5 kW on the Independence Day, a Monday"


@pytest.mark.parametrize(
    ("window", "begin", "truth"),
    [
        # The clock goes from 03:00 to 04:00: an hour that is not there is no night.
        ("03:00-04:00", "2026-03-28T21:00", None),
        ("03:30-03:50", "2026-03-28T21:00", None),
        ("02:00-05:00", "2026-03-28T21:00", True),
        # It goes from 04:00 back to 03:00.
        ("03:00-04:00", "2026-10-24T20:00", True),
        ("02:00-05:00", "2026-10-24T20:00", True),
    ],
)
def test_windows_in_the_hour_of_the_clock_change(window: str, begin: str, truth: Truth) -> None:
    its = condition(f'night: {{metric: water_m3, window: "{window}", above: 0.9, coverage: 0.9}}')
    begin_us = round(datetime.fromisoformat(f"{begin}+00:00").timestamp() * 1e6)
    state = its.initial()
    for quarter in range(48):
        state = its.fold(state, begin_us + quarter * 15 * MINUTE_US, WATER, 0.25 * quarter)
    assert its.truth(state) is truth


# --- setback


def lowered(days: list[tuple[float, float]], begin: str = "2026-02-02T00:00:00+02:00") -> list[Truth]:
    """Truth after each night of a building with these rates by night and by day; a value each hour."""
    its = condition('setback: {metric: energy_kwh, window: "00:00-04:00", share_above: 0.95, least: 5, raise_after: 1}')
    time_us = round(datetime.fromisoformat(begin).timestamp() * 1e6)
    state, value, truths = its.initial(), 0.0, []
    for night, day in days:
        for hour in range(24):
            state = its.fold(state, time_us, ENERGY, value)
            value += night if hour < 4 else day
            time_us += HOUR_US
        truths.append(its.truth(state))
    return truths


def test_heating_that_is_no_longer_lowered_whatever_the_weather() -> None:
    usual = [(8.0, 20.0)] * 13
    assert lowered([*usual, (20, 20), (8, 20)]) == [*[None] * 12, False, True, False], "five days, then seven nights"
    assert lowered([*usual, (16, 40), (16, 40)])[-2:] == [False, False], "frost"
    assert lowered([*usual, (8, 8), (8, 8), (8, 8)])[-3:] == [False] * 3, "days that are lowered as well"
    assert lowered([*usual, (20, 20), (20, 20)])[-2:] == [True, True], "a holiday heated through"
    assert lowered([(20.0, 20.0)] * 20)[13:] == [False] * 7, "never lowered"
    assert lowered([(2.0, 4.0)] * 12 + [(4, 4)] * 3)[6:] == [False] * 9, "too little to be heating"
    assert lowered([*usual, (20, -5), (20, 20)])[-2:] == [True, True], (
        "a day in which the register fell is none to compare with"
    )


def test_a_cold_spell_is_forgotten_after_two_weeks() -> None:
    mild = [(8.0, 20.0)] * 13
    assert lowered([*mild, (8, 60), *mild, (20, 20)])[-1] is False, "no more than a day of that spell, 14 days ago"
    assert lowered([*mild, (8, 60), *mild, (8, 20), (20, 20)])[-1] is True


def test_a_night_without_a_reading_changes_nothing() -> None:
    its = condition('setback: {metric: energy_kwh, window: "00:00-04:00", share_above: 0.95}')
    state = its.initial()
    for hour in range(24 * 20):
        if hour % 24 > 5:
            state = its.fold(state, T0 + hour * HOUR_US, ENERGY, 20.0 * hour)
    assert its.truth(state) is None


@pytest.mark.parametrize("begin", ["2026-03-15T00:00:00+02:00", "2026-10-11T00:00:00+03:00"])
def test_the_nights_of_the_clock_change_are_shares_too(begin: str) -> None:
    # The change comes on the fifteenth night; the readings go on by real hours, an hour beside the window from then on.
    truths = lowered([(8.0, 20.0)] * 20, begin)
    assert truths == [*[None] * 12, *[False] * 8]


# --- at least


def test_at_least_by_three_values() -> None:
    one = rule(
        "at_least: {n: 2, of: [{threshold: {metric: fill_level_pct, above: 50}}, {threshold: {metric: temperature_c,"
        " above: 50}}, {threshold: {metric: power_w, above: 50}}]}"
    ).when
    names: dict[str, Any] = {"T": 90.0, "F": 10.0}

    def truth(values: str, late: str = "") -> Truth:
        """One of T, F, a letter in `late` older than fresh, - for never sent."""
        state = one.initial()
        for number, (metric, value) in enumerate(zip((FILL, TEMPERATURE, POWER), values, strict=True)):
            if value != "-":
                state = one.fold(state, T0 - (HOUR_US if str(number) in late else 0), metric, names[value])
        return one.truth(state, fresh_us=T0 - MINUTE_US)

    assert [truth(values) for values in ("TTT", "TTF", "TFF", "FFF")] == [True, True, False, False]
    assert [truth(values) for values in ("TT-", "TF-", "T--", "---")] == [True, False, False, None]
    assert [truth("TTF", late) for late in ("0", "2", "01")] == [None, True, None]
    assert truth("TFF", "0") is False, "one that is unknown cannot make two"


# --- late data through `step`


def test_a_late_reading_takes_back_a_forecast() -> None:
    one = rule(FORECAST)
    rising = [Reading(T0 + n * HOUR_US, FILL, 40 + 2.0 * n) for n in range(16)]
    state, told = fold(one, rising)
    assert [made.kind for made in told] == ["fires"]
    state, told = fold(one, [Reading(T0 + 67 * HOUR_US // 6, FILL, 4.0)], state)
    assert told == [], "one low reading is an echo"
    _, told = fold(one, [Reading(T0 + 68 * HOUR_US // 6, FILL, 5.0)], state)
    assert [made.kind for made in told] == ["retracted"]


def test_a_late_hour_completes_the_day_of_flow() -> None:
    one = rule("continuous_flow: {metric: water_m3, buckets: 6, min_volume: 0.02}")
    hours = [Reading(T0 + n * HOUR_US, WATER, 0.03 * n) for n in range(9)]
    state, told = fold(one, [hour for number, hour in enumerate(hours) if number != 4])
    assert told == []
    _, told = fold(one, [hours[4]], state)
    assert [(made.kind, made.event_us) for made in told] == [("fires", T0 + 7 * HOUR_US)]


# --- mistakes

BAD = {
    "rate: {metric: power_w, over: 1h, above: 1, clear_below: 2}": "clear_below 2 must not be higher than above 1",
    "rate: {metric: power_w, over: 1h, below: 1, clear_above: 0}": "clear_above 0 must not be lower than below 1",
    "rate: {metric: power_w, over: 1h}": "needs either above or below",
    "forecast: {metric: fill_level_pct, reaches: 95, within: 24h, clear_within: 12h}": "clear_within must not be shorter"
    " than within: it would clear what it has just raised",
    "forecast: {metric: fill_level_pct, reaches: 95, within: 24h, over: 6h}": "min_span must not be longer than over: it"
    " would always be unknown",
    "forecast: {metric: weight_kg, reaches: 95, within: 24h, reset_on: emptied}": "reset_on emptied goes with"
    " fill_level_pct alone: an emptying is a fall of the fill level",
    "continuous_flow: {metric: flow_m3h, min_volume: 1}": "needs a counter, and flow_m3h is none",
    "continuous_flow: {metric: water_m3, min_volume: 1, clear_below: 2}": "clear_below 2 must not be higher than"
    " min_volume 1",
    "counter_reset: {metric: power_w}": "needs a counter, and power_w is none",
    "flag: {metric: lid_open}": "needs either in or bits",
    "flag: {metric: power_w, in: [1]}": "needs a state, and power_w is none; there are tilted, lid_open, on_fire,"
    " water_leak, contact_open, occupied, alarm_bits",
    "flag: {metric: lid_open, in: [2]}": "lid_open is never 2: its values are from 0 to 1",
    "flag: {metric: lid_open, bits: [3]}": "lid_open is never 8: its values are from 0 to 1",
    'night: {metric: water_m3, window: "02:00-05:00", above: 1, same_daytype: true}': "same_daytype needs ratio_above:"
    " there is nothing to compare otherwise",
    "at_least: {n: 3, of: [{flag: {metric: lid_open, in: [1]}}, {flag: {metric: tilted, in: [1]}}]}": "n 3 must not be"
    " more than the 2 conditions of `of`",
    "at_least: {n: 1, of: [{absent: {misses: 3}}, {flag: {metric: tilted, in: [1]}}]}": "absent stands alone: it goes by"
    " the clock, the others by the readings' own time",
}  # fmt: skip


@pytest.mark.parametrize("when", BAD)
def test_mistakes_are_told(when: str) -> None:
    with pytest.raises(FileProblems) as caught:
        rule(when)
    (problem,) = caught.value.problems
    assert str(problem).split(": ", 2)[2].removeprefix("rules[0].when: ") == BAD[when]
