"""Months of readings at once, in order of time over the whole city, as ingest would have stored them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalogue.geometry import fills_from_distances
from catalogue.metrics import Quality, metrics
from simulators.chance import Floats, Ints
from simulators.city import City, Meter
from simulators.transport import Deliveries

#: Ingest refuses times that lie further ahead.
_AHEAD_US = 5 * 60 * 1_000_000


@dataclass(frozen=True)
class Chunk:
    """Readings as parallel arrays; `meter` is the place in `City.meters`."""

    time_us: Ints
    meter: npt.NDArray[np.int32]
    metric_id: npt.NDArray[np.int16]
    value: Floats
    quality: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.time_us)


def history(city: City, from_us: int, to_us: int, window_us: int = 6 * 3_600_000_000) -> Iterator[tuple[int, Chunk]]:
    """Chunks of `window_us` from `from_us` until before `to_us`; each with the moment that it reaches to."""
    start = from_us
    while start < to_us:
        end = min(start + window_us, to_us)
        parts = [part for index, meter in enumerate(city.meters) for part in _readings(index, meter, start, end)]
        if parts:
            columns = [np.concatenate([part[column] for part in parts]) for column in range(5)]
            order = np.argsort(columns[0], kind="stable")
            times, meters, metric_ids, values, qualities = (column[order] for column in columns)
            yield end, Chunk(times, meters, metric_ids, values, qualities)
        start = end


def stored(
    meter: Meter, from_us: int, to_us: int
) -> tuple[Deliveries, dict[str, tuple[Floats, npt.NDArray[np.int16]]]]:
    """What ingest would store of one point, in order of reception: metric → (values, qualities)."""
    sent = meter.deliveries(from_us, to_us)
    readable = ~sent.garbage & ~sent.copy & (sent.time_us <= sent.sent_us + _AHEAD_US)
    if not readable.all():
        sent = Deliveries(
            sent.measured_us[readable], sent.time_us[readable], sent.sent_us[readable],
            {name: values[readable] for name, values in sent.values.items()},
            sent.garbage[readable], sent.copy[readable],
        )  # fmt: skip
    columns: dict[str, tuple[Floats, npt.NDArray[np.int16]]] = {}
    for name, values in sent.values.items():
        low, high = metrics()[name].range
        columns[name] = (values, _quality((values >= low) & (values <= high)))
    geometry = meter.point.bin
    if geometry is not None and "distance_mm" in sent.values:
        distance = sent.values["distance_mm"]
        fills, plausible = fills_from_distances(distance, geometry)
        columns["fill_level_pct"] = (fills, _quality(plausible & (sent.values["tilted"] == 0)))
    return sent, columns


def _quality(good: npt.NDArray[np.bool_]) -> npt.NDArray[np.int16]:
    return np.where(good, int(Quality.GOOD), int(Quality.SUSPECT)).astype(np.int16)


def _readings(index: int, meter: Meter, start: int, end: int) -> Iterator[tuple[npt.NDArray[np.generic], ...]]:
    sent, columns = stored(meter, start, end)
    if len(sent) == 0:
        return
    for name, (values, qualities) in columns.items():
        yield (
            sent.time_us,
            np.full(len(sent), index, np.int32),
            np.full(len(sent), metrics()[name].id, np.int16),
            values.astype(np.float64),
            qualities,
        )
