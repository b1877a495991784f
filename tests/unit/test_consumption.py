"""Consumption from any history of a meter's register: right where the truth can be known, and in any order of arrival."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.consumption import HOUR_US, REACH, Swap, amounts, hourly, without_corrupt

T0 = 1_772_402_400_000_000
MINUTE_US = 60_000_000
DIGITS = 5

Rows = list[tuple[int, float]]


def hours_of(rows: Rows, digits: int | None, swaps: list[Swap]) -> dict[int, tuple[float, bool]]:
    """Bucket → (amount, estimated), as the whole series gives it."""
    times, values = np.array([at for at, _ in rows], np.int64), np.array([value for _, value in rows], np.float64)
    found = hourly(times, values, digits=digits, swaps=swaps)
    return {
        int(bucket): (float(amount), bool(estimated))
        for bucket, amount, estimated in zip(found.bucket_us, found.amount, found.estimated, strict=True)
    }


class Derived:
    """The keeper's way (store/sql/derived.sql, `series_around`) on lists: only what is near to new readings is read."""

    def __init__(self, digits: int | None, swaps: list[Swap]) -> None:
        self.rows: Rows = []
        self.hours: dict[int, tuple[float, bool]] = {}
        self._digits, self._swaps = digits, swaps

    def arrive(self, new: Rows) -> None:
        """Readings come; those of a time that there is already are repeats."""
        known = {at for at, _ in self.rows}
        fresh = {}
        for at, value in new:
            if at not in known:
                fresh.setdefault(at, value)
        if not fresh:
            return
        self.rows = sorted([*self.rows, *fresh.items()])
        times = [at for at, _ in self.rows]
        first, last = bisect_left(times, min(fresh)), bisect_right(times, max(fresh)) - 1
        start = times[max(0, first - REACH)] // HOUR_US * HOUR_US
        stop = times[min(len(times) - 1, last + REACH)] // HOUR_US * HOUR_US + HOUR_US
        begin = max(0, bisect_left(times, start) - REACH)
        end = min(len(times), bisect_left(times, stop) + REACH)
        found = hours_of(self.rows[begin:end], self._digits, self._swaps)
        for bucket in [bucket for bucket in self.hours if start <= bucket < stop]:
            del self.hours[bucket]
        self.hours |= {bucket: told for bucket, told in found.items() if start <= bucket < stop}


def same(found: dict[int, tuple[float, bool]], expected: dict[int, tuple[float, bool]], scale: float) -> None:
    assert found.keys() == expected.keys()
    for bucket, (amount, estimated) in expected.items():
        assert found[bucket][0] == pytest.approx(amount, abs=1e-9 * scale)
        assert found[bucket][1] == estimated


registers = st.integers(0, 40) | st.sampled_from([0, 95_000, 99_999, 100_000, 4_294_967_290]) | st.floats(0, 1e6)


@settings(max_examples=600, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 1500), registers), min_size=1, max_size=40, unique_by=lambda row: row[0]),
    swaps=st.lists(
        st.tuples(st.integers(0, 1500), st.none() | st.integers(0, 50), st.none() | st.integers(0, 50)), max_size=3
    ),
    digits=st.none() | st.just(DIGITS),
    chance=st.randoms(use_true_random=False),
)
def test_whatever_the_register_shows_the_order_of_arrival_changes_nothing(
    rows: Rows, swaps: list[tuple[int, float | None, float | None]], digits: int | None, chance: Random
) -> None:
    series = [(T0 + minute * MINUTE_US, float(value)) for minute, value in rows]
    changes = [Swap(T0 + minute * MINUTE_US + 1, end, start) for minute, end, start in swaps]
    derived = Derived(digits, changes)
    arriving = series[:]
    chance.shuffle(arriving)
    while arriving:
        count = chance.randint(1, 6)
        some, arriving = arriving[:count], arriving[count:]
        derived.arrive([*some, *chance.sample(series, min(2, len(series)))] if not arriving else some)
    same(derived.hours, hours_of(sorted(series), digits, changes), max(value for _, value in series) + 1e5)


@dataclass
class History:
    """The telegrams that a meter sent, and what had been consumed since the first at each that is not corrupt.

    What a reset loses, between the last telegram and itself, nobody can know: it is not among the consumed.
    """

    telegrams: Rows = field(default_factory=list)
    consumed: Rows = field(default_factory=list)
    swaps: list[Swap] = field(default_factory=list)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Quarter-hourly telegrams of a register of `DIGITS` digits, with four of them at the least between two events."""
    history, limit = History(), 10.0**DIGITS
    register = draw(st.sampled_from([0.0, 1000.0, 50_000.0, 99_950.0, 99_990.0]))
    at, consumed = T0 + draw(st.integers(0, 59)) * MINUTE_US, 0.0

    def consume() -> float:
        nonlocal register, consumed
        amount = draw(st.integers(0, 32)) / 8  # without rounding errors
        register = (register + amount) % limit
        consumed += amount
        return amount

    def send(shown: float) -> None:
        nonlocal at
        history.telegrams.append((at, shown))
        at += 15 * MINUTE_US

    events = draw(st.lists(st.sampled_from(["reset", "swap", "two swaps", "low", "high", "gap"]), max_size=6))
    for event in [*events, "end"]:
        for _ in range(draw(st.integers(4, 9))):
            history.consumed.append((at, consumed))
            send(register)
            consume()
        if event == "reset" and 20_000 < register < 0.9 * limit:
            consumed, register = history.consumed[-1][1], 0.0
            consume()
        elif event in ("swap", "two swaps"):
            for number in range(1 + (event == "two swaps")):
                end, register = register, float(draw(st.integers(0, 90_000)))
                history.swaps.append(Swap(at - 14 * MINUTE_US + number, end, register))
                consume()
        elif event == "low" and 1000 < register < limit - 100:
            send(float(draw(st.integers(0, 500))))
        elif event == "high" and 100 < register < limit - 100:
            send(limit * 50 + draw(st.integers(0, 500)))
        elif event == "gap":
            at += draw(st.integers(1, 100)) * 60 * MINUTE_US
    return history


@settings(max_examples=150, deadline=None)
@given(history=histories(), chance=st.randoms(use_true_random=False))
def test_what_was_consumed_is_found_again(history: History, chance: Random) -> None:
    times = np.array([at for at, _ in history.consumed])
    first = times[0] // HOUR_US * HOUR_US
    edges = np.arange(first, times[-1] + HOUR_US, HOUR_US)
    expected = np.diff(np.interp(edges - first, times - first, [amount for _, amount in history.consumed]))
    whole = hours_of(history.telegrams, DIGITS, history.swaps)
    for bucket, amount in zip(edges, expected, strict=False):
        assert whole.get(int(bucket), (0.0, False))[0] == pytest.approx(amount, abs=1e-6)
    assert sum(amount for amount, _ in whole.values()) == pytest.approx(history.consumed[-1][1], abs=1e-6)

    derived = Derived(DIGITS, history.swaps)
    arriving = history.telegrams + chance.sample(history.telegrams, min(8, len(history.telegrams)))
    # Most in order, some late, some much later.
    arriving.sort(key=lambda row: row[0] + chance.choice([0, 0, 0, 45, 3000]) * MINUTE_US)
    while arriving:
        count = chance.randint(1, 12)
        some, arriving = arriving[:count], arriving[count:]
        derived.arrive(some)
    same(derived.hours, whole, 1e5)


def test_reach_is_needed_in_full() -> None:
    """20 is corrupt until 25 comes: then 15 is. That changes the hour after 10, three readings before 25."""
    series = [(T0 + hour * HOUR_US, value) for hour, value in enumerate([9.0, 10, 20, 15, 25])]
    derived = Derived(None, [])
    derived.arrive(series[:-1])
    assert derived.hours[T0 + HOUR_US] == (2.5, True)
    derived.arrive(series[-1:])
    assert derived.hours[T0 + HOUR_US] == (10, False)
    same(derived.hours, hours_of(series, None, []), 1)


def test_of_a_low_and_a_high_one_side_by_side_the_low_one_is_corrupt() -> None:
    times = T0 + np.arange(7, dtype=np.int64) * HOUR_US
    _, kept = without_corrupt(times, np.array([100.0, 0, 101, 0, 102, 0, 103]))
    assert kept.tolist() == [100, 101, 102, 103]


def test_neighbours_of_another_meter_judge_nothing() -> None:
    times = T0 + np.arange(4, dtype=np.int64) * HOUR_US
    values, swap = np.array([99.0, 100, 90, 200]), Swap(int(times[1]) + 1)
    assert without_corrupt(times, values, [swap])[1].tolist() == [99, 100, 90, 200]
    assert amounts(times, values, swaps=[swap]).tolist() == [1, 0, 110]


def test_two_swaps_between_two_telegrams() -> None:
    times, values = np.array([T0, T0 + HOUR_US], np.int64), np.array([100.0, 8])
    both = [Swap(T0 + 1, 103, 50), Swap(T0 + 2, 54, 7)]
    assert amounts(times, values, swaps=both).tolist() == [3 + 4 + 1]
    assert amounts(times, values, swaps=both[::-1]).tolist() == [3 + 4 + 1]
    assert amounts(times, values, swaps=[Swap(T0 + 1, 103, None), Swap(T0 + 2, 54, 7)]).tolist() == [3 + 1]


def test_a_register_that_rolls_over_before_its_swap() -> None:
    times, values = np.array([T0, T0 + HOUR_US], np.int64), np.array([99_998.0, 6])
    assert amounts(times, values, DIGITS, [Swap(T0 + 1, 3, 5)]).tolist() == [5 + 1]
    assert amounts(times, np.array([48_213.7, 6]), DIGITS, [Swap(T0 + 1, 48_213, 5)]).tolist() == [1]


@pytest.mark.parametrize(("fallen", "consumed"), [(999.0, 0), (901, 0), (899, 899), (0.5, 0.5)])
def test_a_register_that_is_set_back_a_little_has_not_begun_anew(fallen: float, consumed: float) -> None:
    times = T0 + np.arange(2, dtype=np.int64) * HOUR_US
    assert amounts(times, np.array([1000, fallen])).tolist() == [consumed]
