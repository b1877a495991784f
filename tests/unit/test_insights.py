"""Consumption, collections and forecast on series whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.collections import collections
from insights.consumption import HOUR_US, Swap, amounts, hourly
from insights.forecast import forecast

T0 = 1_772_402_400_000_000
QUARTER = HOUR_US // 4


def times(count: int, step: int = QUARTER) -> np.ndarray:
    return T0 + np.arange(count, dtype=np.int64) * step


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_a_steady_counter() -> None:
    result = hourly(times(9), np.arange(9, dtype=float))
    assert result.bucket_us.tolist() == [T0, T0 + HOUR_US]
    assert result.amount.tolist() == [4, 4]
    assert not result.estimated.any()


def test_a_reset_counts_what_the_register_shows_then() -> None:
    assert amounts(times(4), array(100, 101, 0.5, 2)).tolist() == [1, 0.5, 1.5]


@pytest.mark.parametrize(
    ("values", "digits", "expected"),
    [
        ((99_998, 99_999, 1), 5, [1, 2]),
        ((99_998, 99_999, 1), None, [1, 2]),
        ((4294967.0, 4294967.2, 0.3), None, [0.2, 0.396]),
        ((50_000, 50_001, 3), 5, [1, 3]),
    ],
)
def test_rollover_and_reset(values: tuple[float, ...], digits: int | None, expected: list[float]) -> None:
    assert amounts(times(3), array(*values), digits).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("corrupt", [0.0, 3.0, 9_999_999.0])
def test_a_corrupt_reading_between_two_right_ones_is_left_out(corrupt: float) -> None:
    result = hourly(times(5), array(1000, 1001, corrupt, 1003, 1004))
    assert result.amount.sum() == pytest.approx(4)


def test_a_swapped_meter() -> None:
    values = array(1000, 1001, 7, 8)
    known = [Swap(T0 + QUARTER + 1, old_end=1001.5, new_start=6.75)]
    assert amounts(times(4), values, swaps=known).tolist() == [1, 0.75, 1]
    assert amounts(times(4), array(1000, 1001, 5000, 5001), swaps=[Swap(T0 + QUARTER + 1)]).tolist() == [1, 0, 1]


def test_a_gap_is_spread_and_estimated() -> None:
    result = hourly(np.array([T0, T0 + HOUR_US, T0 + 5 * HOUR_US]), array(0, 1, 9))
    assert result.amount.tolist() == [1, 2, 2, 2, 2]
    assert result.estimated.tolist() == [False, True, True, True, True]


@given(st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 1e6)), min_size=2, max_size=60, unique_by=lambda t: t[0]))
def test_consumption_is_never_negative_and_hours_are_whole(points: list[tuple[int, float]]) -> None:
    points.sort()
    result = hourly(
        np.array([T0 + minute * 60_000_000 for minute, _ in points], np.int64), np.array([value for _, value in points])
    )
    assert (result.amount >= 0).all()
    assert (result.bucket_us % HOUR_US == 0).all()
    assert np.isfinite(result.amount).all()


@given(
    st.lists(st.tuples(st.integers(1, 200), st.floats(0, 50)), min_size=1, max_size=60),
    st.integers(0, 10_000_000),
)
def test_a_rising_register_loses_nothing(steps: list[tuple[int, float]], start: int) -> None:
    minutes = np.cumsum([0] + [minute for minute, _ in steps])
    values = start + np.cumsum([0.0] + [amount for _, amount in steps])
    result = hourly(T0 + minutes.astype(np.int64) * 60_000_000, values)
    assert result.amount.sum() == pytest.approx(values[-1] - values[0], abs=1e-6)


def test_collections_need_confirmation() -> None:
    found = collections(times(8), array(70, 80, 5, 7, 60, 20, 62, 64))
    assert [(event.fill_before_pct, event.fill_after_pct) for event in found] == [(80, 5)]
    assert collections(times(3), array(70, 80, 5)) == []


def test_a_partial_collection_counts() -> None:
    assert [event.fill_after_pct for event in collections(times(4), array(95, 96, 50, 52))] == [50]


def test_forecast_of_a_steady_bin_despite_echoes() -> None:
    fill = 10 + np.arange(48) * 0.5
    fill[[7, 20, 33]] = 99
    said = forecast(times(48, HOUR_US), fill)
    assert said is not None
    assert said.rate_pct_per_h == pytest.approx(0.5, rel=0.05)
    assert said.full_us is not None
    assert (said.full_us - times(48, HOUR_US)[-1]) / HOUR_US == pytest.approx((100 - fill[-1]) / 0.5, rel=0.05)
    assert said.early_us is not None
    assert said.late_us is not None
    assert said.early_us <= said.full_us <= said.late_us


def test_forecast_without_readings_goes_by_past_cycles() -> None:
    said = forecast(times(2, HOUR_US), array(10, 11), [1.0, 2.0])
    assert said is not None
    assert said.rate_pct_per_h == pytest.approx(1.3)
    assert forecast(times(2, HOUR_US), array(10, 11)) is None
    assert forecast(times(0), array()) is None


def test_a_bin_that_does_not_fill_has_no_date() -> None:
    said = forecast(times(30, HOUR_US), np.full(30, 20.0))
    assert said is not None
    assert said.full_us is None
