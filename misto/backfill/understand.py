"""Cells become times, numbers and series. What cannot be understood is refused with its reason; the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np

from catalogue.inventory import normal_address
from catalogue.metrics import Quality
from misto.backfill.records import Floats, Ints, Part, Records, Refused, Rows, SeriesKey, Shorts
from simulators.replay.moments import Moment, local_moment

#: Distinct times and series that are remembered; they are input, so their memory has an end.
_MOST_TIMES = 500_000

_MILLISECONDS_FROM = 1e11

_QUALITIES: dict[object, int] = {None: 0, "": 0}
for _quality in Quality:
    _number = int(_quality)
    _QUALITIES |= {_quality.name.lower(): _number, str(_number): _number, _number: _number}


class Understanding:
    """Turns `Records` into rows. `number` gives a series its number; times without a zone are local in `zone`."""

    def __init__(self, zone: ZoneInfo, number: Callable[[SeriesKey], int]) -> None:
        self._zone = zone
        self._number = number
        self._moments: dict[object, Moment | str] = {}
        self._plain: dict[object, int] = {}
        self._series: dict[tuple[object, ...], int | str] = {}
        self._latest: dict[int, int] = {}
        #: Times in the hour that autumn repeats.
        self.repeated = 0
        self.position = 0

    def parts(self, blocks: Iterator[Records]) -> Iterator[Part]:
        """Each block understood."""
        for records in blocks:
            yield self.part(records)

    def part(self, records: Records) -> Part:
        """One block understood."""
        count = len(records.lines)
        bad: dict[int, tuple[str, object]] = {}
        series = self._numbers(records, count, bad)
        value = _values(records.cells["value"], bad)
        quality = _qualities(records.cells.get("quality"), count, bad)
        time_us = self._times(records.cells["time"], series, bad)
        keep = np.ones(count, bool)
        keep[list(bad)] = False
        refused = records.broken + [
            Refused(int(records.lines[index]), reason, records.texts[index], example=example)
            for index, (reason, example) in sorted(bad.items())
        ]
        self.position += records.taken
        texts: Sequence[Sequence[object]] = records.texts
        if bad:
            texts = [records.texts[index] for index in np.flatnonzero(keep).tolist()]
        rows = Rows(records.lines[keep], time_us[keep], series[keep], value[keep], quality[keep], texts)
        return Part(rows, refused, self.position, records.taken)

    def _numbers(self, records: Records, count: int, bad: dict[int, tuple[str, object]]) -> Ints:
        nothing = [None] * count
        names = ("device", "point", "metric", "channel", "unit")
        keys = list(zip(*(records.cells.get(name, nothing) for name in names), strict=True))
        known = self._series
        found: list[int | str | None] = [known.get(key) for key in keys]
        if None in found:
            for index, key in enumerate(keys):
                if found[index] is None:
                    if key not in known:
                        known[key] = self._new_series(key)
                    found[index] = known[key]
        return _whole(found, bad)

    def _new_series(self, key: tuple[object, ...]) -> int | str:
        device, point, metric, channel, unit = ("" if cell is None else str(cell).strip() for cell in key)
        if bool(device) == bool(point):
            return "it names a device and a point; give one of them" if device else "it names no device and no point"
        if not metric:
            return "it names no metric"
        return self._number(SeriesKey(normal_address(device), point, metric, channel, unit))

    def _times(self, cells: Sequence[object], series: Ints, bad: dict[int, tuple[str, object]]) -> Ints:
        plain, latest = self._plain, self._latest
        found = [plain.get(cell, -1) for cell in cells]
        again: dict[int, int] = {}
        if -1 in found:
            if len(plain) + len(self._moments) > _MOST_TIMES:
                plain.clear()
                self._moments.clear()
            for index, cell in enumerate(cells):
                if found[index] == -1:
                    moment = self._moment(cell)
                    if isinstance(moment, str):
                        bad.setdefault(index, (moment, cell))
                    else:
                        found[index], second = moment
                        if second is None:
                            plain[cell] = moment[0]
                        else:
                            again[index] = second
        if not again:
            latest.update(zip(series.tolist(), found, strict=True))
            return np.array(found, np.int64)
        # The hour that autumn repeats comes for the second time once a series has been in it before.
        self.repeated += len(again)
        for index, its in enumerate(series.tolist()):
            if index in again and latest.get(its, -1) >= found[index]:
                found[index] = again[index]
            latest[its] = found[index]
        return np.array(found, np.int64)

    def _moment(self, cell: object) -> Moment | str:
        known = self._moments.get(cell) if isinstance(cell, str) else None
        if known is None:
            try:
                known = _read_moment(cell, self._zone)
            except ValueError as error:
                known = str(error)
            if isinstance(cell, str):
                self._moments[cell] = known
        return known


def _read_moment(cell: object, zone: ZoneInfo) -> Moment:
    if isinstance(cell, datetime):
        return local_moment(cell, zone)
    if isinstance(cell, date):
        return local_moment(datetime(cell.year, cell.month, cell.day), zone)  # noqa: DTZ001
    if cell is None or cell == "":
        raise ValueError("the time is empty")
    if isinstance(cell, str):
        text = cell.strip()
        try:
            cell = float(text) if text.replace(".", "", 1).isdigit() and len(text) > 8 else text
        except ValueError:
            cell = text
    if isinstance(cell, str):
        try:
            return local_moment(datetime.fromisoformat(cell), zone)
        except ValueError as error:
            if "clocks skipped" in str(error):
                raise ValueError(f"the time does not exist in {zone.key}, the clocks skipped it") from None
            raise ValueError("the time is none; expected for example 2026-11-23T10:15:00Z") from None
        except OverflowError:
            raise ValueError("the time is none; expected for example 2026-11-23T10:15:00Z") from None
    if isinstance(cell, bool) or not isinstance(cell, int | float) or not -1e15 < cell < 1e15:
        raise ValueError("the time is none; expected for example 2026-11-23T10:15:00Z")
    return round(cell * (1e3 if abs(cell) >= _MILLISECONDS_FROM else 1e6)), None


def _values(cells: Sequence[object], bad: dict[int, tuple[str, object]]) -> Floats:
    try:
        values: Floats = np.array(cells, np.float64)
        if np.isfinite(values).all() and not any(type(cell) is str and "_" in cell for cell in cells):
            return values
    except (ValueError, TypeError):
        pass
    values = np.zeros(len(cells))
    for index, cell in enumerate(cells):
        text = cell.strip() if isinstance(cell, str) else cell
        if text is None or text == "":
            bad.setdefault(index, ("the value is empty", ""))
            continue
        try:
            values[index] = float(text) if not (isinstance(text, str) and "_" in text) else np.nan  # type: ignore[arg-type]
        except (TypeError, ValueError):
            bad.setdefault(index, ("the value is no number", cell))
            continue
        if not np.isfinite(values[index]):
            bad.setdefault(index, ("the value is no finite number", cell))
    return values


def _qualities(cells: Sequence[object] | None, count: int, bad: dict[int, tuple[str, object]]) -> Shorts:
    if cells is None:
        return np.zeros(count, np.int16)
    try:
        return np.array([_QUALITIES[cell] for cell in cells], np.int16)
    except (KeyError, TypeError):
        pass
    values = np.zeros(count, np.int16)
    for index, cell in enumerate(cells):
        its = _QUALITIES.get(cell.strip().lower() if isinstance(cell, str) else str(cell) if cell is not None else "")
        if its is None:
            bad.setdefault(index, ("the quality is none; expected good, estimated or suspect", cell))
        else:
            values[index] = its
    return values


def _whole(found: Sequence[int | str | None], bad: dict[int, tuple[str, object]]) -> Ints:
    try:
        return np.array(found, np.int64)
    except ValueError:
        pass
    result = np.full(len(found), -1, np.int64)
    for index, one in enumerate(found):
        if isinstance(one, int):
            result[index] = one
        else:
            bad.setdefault(index, (str(one), ""))
    return result
