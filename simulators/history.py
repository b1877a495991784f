"""Months of readings at once, in order of time over the whole city, as ingest would have stored them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalogue.geometry import fill_from_distance
from catalogue.metrics import Quality, metrics
from simulators.chance import Floats, Ints
from simulators.city import City, Meter


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


def _readings(index: int, meter: Meter, start: int, end: int) -> Iterator[tuple[npt.NDArray[np.generic], ...]]:
    times = meter.times_us(start, end)
    if len(times) == 0:
        return
    measured = meter.measure(times)
    qualities = {name: np.full(len(times), int(Quality.GOOD), np.int16) for name in measured}
    if "distance_mm" in measured and meter.point.bin is not None:
        filled = [fill_from_distance(distance, meter.point.bin) for distance in measured["distance_mm"].tolist()]
        measured["fill_level_pct"] = np.array([fill for fill, _ in filled])
        trusted = np.array([plausible for _, plausible in filled]) & (measured["tilted"] == 0)
        qualities["fill_level_pct"] = np.where(trusted, int(Quality.GOOD), int(Quality.SUSPECT)).astype(np.int16)
    for name, values in measured.items():
        yield (
            times,
            np.full(len(times), index, np.int32),
            np.full(len(times), metrics()[name].id, np.int16),
            values.astype(np.float64),
            qualities[name],
        )
