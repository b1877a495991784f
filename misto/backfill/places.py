"""Where readings belong: names become numbers of points and metrics, units are converted, times have bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import inf

import numpy as np

from catalogue.geometry import BinGeometry, fills_from_distances
from catalogue.metrics import Metric, Quality, metrics
from catalogue.units import linear
from misto.backfill.records import Ints, Refused, Rows, SeriesKey
from store.registry import RegisteredDevice
from store.writer import ReadingBatch

#: The newest that a reading may be, ahead of the clock.
FUTURE_TOLERANCE_US = 5 * 60 * 1_000_000

_DISTANCE, _FILL = metrics()["distance_mm"], metrics()["fill_level_pct"]

#: Makes a device known that is not: (address, metric) → the device with a point of its own.
Claim = Callable[[str, str], RegisteredDevice]


@dataclass
class _Series:
    """Where a series belongs. `spans`: (from, until in µs, point, geometry), those that count first in front."""

    metric: Metric
    factor: float = 1.0
    zero: float = 0.0
    spans: list[tuple[float, float, int, BinGeometry | None]] = field(default_factory=list)


@dataclass(frozen=True)
class _Nowhere:
    """A series that is refused; `unknown` if only because of a name."""

    reason: str
    unknown: bool


class Places:
    """Numbers series and places their readings. `oldest_us` and `newest_us` bound the times that are taken."""

    def __init__(
        self,
        devices: Mapping[str, RegisteredDevice],
        points: Mapping[str, tuple[int, BinGeometry | None]],
        *,
        oldest_us: int,
        newest_us: int,
        too_old: str,
        claim: Claim | None = None,
    ) -> None:
        self._devices = devices
        self._points = points
        self._oldest_us, self._newest_us = oldest_us, newest_us
        self._too_old = too_old
        self._claim = claim
        self._numbers: dict[SeriesKey, int] = {}
        self._series: list[_Series | _Nowhere] = []

    def number(self, key: SeriesKey) -> int:
        """The number of a series; all numbers are below `len(self)`."""
        known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = len(self._series)
            self._series.append(self._find(key))
        return known

    def _find(self, key: SeriesKey) -> _Series | _Nowhere:
        metric = metrics().get(key.metric)
        if metric is None:
            near = get_close_matches(key.metric, metrics(), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return _Nowhere(f"there is no metric {key.metric!r} in the catalogue{hint}", True)
        series = _Series(metric)
        if key.unit and key.unit != metric.unit:
            try:
                series.factor, series.zero = linear(key.unit, metric.unit)
            except ValueError:
                reason = f"the unit {key.unit!r} cannot become {metric.unit} of {metric.name}"
                return _Nowhere(reason, False)
        if key.point:
            if key.point not in self._points:
                return _Nowhere(f"there is no point {key.point!r} in the inventory", True)
            series.spans = [(-inf, inf, *self._points[key.point])]
            return series
        device, channel = self._device(key)
        if device is None:
            return _Nowhere(f"there is no device {_address(key)!r} in the inventory", True)
        own = [its for its in device.assignments if its.channel == channel]
        others = [] if channel else [its for its in device.assignments if its.channel]
        series.spans = [
            (its.valid_from * 1e6, its.valid_to * 1e6, its.point_id, its.geometry) for its in (*own, *others)
        ]
        return series

    def _device(self, key: SeriesKey) -> tuple[RegisteredDevice | None, str]:
        """The device and the channel of its; a channel that its device has no point for is a device of its own."""
        device = self._devices.get(key.device)
        if not key.channel or (device is not None and any(its.channel == key.channel for its in device.assignments)):
            address, channel = key.device, key.channel
        else:
            address, channel = _address(key), ""
        device = self._devices.get(address)
        if device is None and self._claim is not None:
            device = self._claim(address, key.metric)
        return device, channel

    def place(self, rows: Rows) -> tuple[ReadingBatch, list[Refused]]:
        """The readings in the order in which they are best stored, and the rows that belong nowhere."""
        point = np.full(len(rows), -1, np.int32)
        metric = np.zeros(len(rows), np.int16)
        value = rows.value.copy()
        low, high = np.full(len(rows), -inf), np.full(len(rows), inf)
        refused: list[tuple[int, str, bool]] = []
        bins: list[tuple[Ints, BinGeometry]] = []
        for number, here in _by_series(rows.series):
            series = self._series[number]
            if isinstance(series, _Nowhere):
                refused += [(index, series.reason, series.unknown) for index in here.tolist()]
                continue
            metric[here] = series.metric.id
            if (series.factor, series.zero) != (1.0, 0.0):
                value[here] = value[here] * series.factor + series.zero
            low[here], high[here] = series.metric.range
            for begin, end, point_id, geometry in series.spans:
                times = rows.time_us[here]
                mine = here[(times >= begin) & (times < end) & (point[here] < 0)]
                point[mine] = point_id
                if geometry is not None and series.metric is _DISTANCE:
                    bins.append((mine, geometry))
            nowhere = here[point[here] < 0]
            refused += [(index, "at its time the device was at no point", False) for index in nowhere.tolist()]
        for late, reason in (
            (rows.time_us > self._newest_us, "the time lies in the future"),
            (rows.time_us < self._oldest_us, self._too_old),
        ):
            refused += [(index, reason, False) for index in np.flatnonzero(late & (point >= 0)).tolist()]
            point[late] = -1
        quality = np.where((value >= low) & (value <= high), rows.quality, np.int16(Quality.SUSPECT))
        batch = _batch(rows.time_us, point, metric, value, quality, _fill(rows, point, value, quality, bins))
        told = [
            Refused(int(rows.lines[index]), reason, rows.texts[index], unknown)
            for index, reason, unknown in sorted(refused)
        ]
        return batch, told


def _address(key: SeriesKey) -> str:
    return f"{key.device}/{key.channel.lower()}" if key.channel else key.device


def _by_series(series: Ints) -> list[tuple[int, Ints]]:
    """Each series in the block with the places of its rows."""
    order = np.argsort(series, kind="stable")
    found = series[order]
    edges = np.flatnonzero(np.diff(found)) + 1
    return [(int(series[here[0]]), here) for here in np.split(order, edges) if len(here)]


#: Columns: time, point, metric, value, quality.
_Columns = tuple[np.ndarray, ...]


def _fill(
    rows: Rows, point: np.ndarray, value: np.ndarray, quality: np.ndarray, bins: list[tuple[Ints, BinGeometry]]
) -> list[_Columns]:
    """Fill levels of bins whose sensors tell the distance, as ingest works them out."""
    found: list[_Columns] = []
    for at, geometry in bins:
        here = at[point[at] >= 0]
        fills, plausible = fills_from_distances(value[here], geometry)
        its = np.where(plausible, rows.quality[here], np.int16(Quality.SUSPECT))
        found.append((rows.time_us[here], point[here], np.full(len(here), _FILL.id, np.int16), fills, its))
    return found


#: Chunks of the hypertable are weeks.
_CHUNK_US = 7 * 86_400_000_000


def _batch(
    time_us: Ints, point: np.ndarray, metric: np.ndarray, value: np.ndarray, quality: np.ndarray, more: list[_Columns]
) -> ReadingBatch:
    """What is placed, chunk by chunk, in each by series and time: neighbours of the index are stored together."""
    kept = point >= 0
    columns: list[list[np.ndarray]] = [[column[kept]] for column in (time_us, point, metric, value, quality)]
    for extra in more:
        for column, its in zip(columns, extra, strict=True):
            column.append(its)
    times, points, metric_ids, values, qualities = (np.concatenate(column) for column in columns)
    order = np.lexsort((times, metric_ids, points, times // _CHUNK_US))
    return ReadingBatch(
        times[order], points[order].astype(np.int32), metric_ids[order].astype(np.int16), values[order],
        qualities[order].astype(np.int16), received_at=0.0,
    )  # fmt: skip
