"""Which device is at which point once an inventory is loaded: the file's word, the database's history, and what was
made by hand meanwhile. Pure.

- A file without dates says what is so now: what began earlier keeps its beginning, what is new begins when the other
  ended, and where a device stood at the point until now, when the new one took over.
- What was made by hand (a claim, the end of a swapped or released device) stays until the file knows it.
- Where two devices would be at a point at the same time, the one that came later ends the time of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

_ALWAYS = datetime.min.replace(tzinfo=UTC)
_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Assigned:
    """A device at a point. Times are None for always and for ever; `row_id` is None for what is not stored yet."""

    address: str
    channel: str
    point: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    register_start: float | None = None
    register_end: float | None = None
    by_hand: bool = False
    row_id: int | None = None

    @property
    def start(self) -> datetime:
        return self.valid_from or _ALWAYS

    @property
    def end(self) -> datetime:
        return self.valid_to or _FOREVER

    @property
    def device(self) -> tuple[str, str]:
        return self.address, self.channel

    def holds(self, now: datetime) -> bool:
        """Whether it has not ended."""
        return self.end > now

    def overlaps(self, other: Assigned) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class Settled:
    """`target`: what the file says and what was made by hand, new ones without `row_id`. `cut`: rows that the file does
    not have, with their new end; None where they never were. `by_hand`: those of `target` that the file lacks."""

    target: list[Assigned]
    cut: list[tuple[Assigned, datetime | None]]
    by_hand: list[Assigned]


#: When a device that the file puts at a point without a date took over from the one that was there.
Takeover = Callable[[Assigned], datetime]


def settle(
    wanted: Iterable[Assigned],
    held: Sequence[Assigned],
    *,
    points: Collection[str],
    now: datetime,
    takeover: Takeover,
    exact: bool = False,
) -> Settled:
    """`wanted` is the file's, `held` the database's, `points` those that there are once the file is loaded.

    With `exact` what was made by hand is taken back where the file does not have it.
    """
    before = _Index(held)
    known = _match(list(wanted), before, exact)
    target = [
        _merged(want, row, exact) if row is not None else _begun(want, before, now, takeover) for want, row in known
    ]
    used = {row.row_id for _, row in known if row is not None}
    rest = [row for row in held if row.row_id not in used]
    kept: list[Assigned] = []
    if not exact:
        filed = _Index(target)
        for row in rest:
            if row.by_hand and row.holds(now) and row.point in points:
                stays = _beside(row, filed, now)
                if stays is not None:
                    kept.append(stays)
        beside = _Index(kept)
        for number, its in enumerate(target):
            starts = [row.start for row in beside.at_point(its) if its.start < row.start < its.end]
            if starts:
                target[number] = replace(its, valid_to=min(starts), by_hand=True)
    kept_ids = {row.row_id for row in kept}
    whole = target + kept
    after = _Index(whole)
    cut = [(row, end) for row in rest if row.row_id not in kept_ids and (end := _end_of(row, after, now)) != row.end]
    return Settled(
        whole,
        [(row, end if end > row.start else None) for row, end in cut],
        [row for row in whole if row.by_hand],
    )


class _Index:
    """Assignments by point and by device."""

    def __init__(self, rows: Iterable[Assigned]) -> None:
        self._points: dict[str, list[Assigned]] = {}
        self._devices: dict[tuple[str, str], list[Assigned]] = {}
        for row in rows:
            self._points.setdefault(row.point, []).append(row)
            self._devices.setdefault(row.device, []).append(row)

    def at_point(self, row: Assigned) -> list[Assigned]:
        """All at the same point."""
        return self._points.get(row.point, [])

    def of_device(self, row: Assigned) -> list[Assigned]:
        """All of the same device and channel."""
        return self._devices.get(row.device, [])

    def near(self, row: Assigned) -> list[Assigned]:
        """All at the same point or of the same device."""
        return [*self.at_point(row), *(other for other in self.of_device(row) if other.point != row.point)]


def _match(wanted: list[Assigned], held: _Index, exact: bool) -> list[tuple[Assigned, Assigned | None]]:
    """Each of the file's, and the row that it means."""
    found: dict[int, Assigned] = {}
    taken: set[int | None] = set()

    def same(want: Assigned) -> list[Assigned]:
        return [row for row in held.of_device(want) if row.point == want.point and row.row_id not in taken]

    def take(number: int, candidates: Iterable[Assigned]) -> None:
        row = next(iter(candidates), None)
        if row is not None:
            found[number] = row
            taken.add(row.row_id)

    for number, want in enumerate(wanted):
        if want.valid_from is not None:
            take(number, (row for row in same(want) if row.start == want.start))
    for number, want in enumerate(wanted):
        if number in found:
            continue
        rows = sorted(same(want), key=lambda row: row.start)
        if want.valid_from is not None:
            take(number, (row for row in rows if row.overlaps(want)))  # its date was mended
        elif want.valid_to is not None:
            take(number, rows)
        else:
            take(number, (row for row in reversed(rows) if _goes_on(row, held, exact)))
    return [(want, found.get(number)) for number, want in enumerate(wanted)]


def _goes_on(row: Assigned, held: _Index, exact: bool) -> bool:
    """Whether a file that names this device without dates means this row, and not a new time at the point."""
    if row.valid_to is None or (row.by_hand and not exact):
        return True
    return not any(other.end > row.end for other in held.near(row))


def _merged(want: Assigned, row: Assigned, exact: bool) -> Assigned:
    """The file's word for a row that there is; what it does not say of something made by hand is kept."""
    result = replace(want, row_id=row.row_id, valid_from=want.valid_from or row.valid_from)
    if want.valid_from is None and want.valid_to is not None and want.end <= result.start:
        result = replace(result, valid_from=None)
    if not row.by_hand or exact:
        return result
    if want.valid_to is None:
        result = replace(result, valid_to=row.valid_to)
    result = replace(
        result,
        register_start=row.register_start if want.register_start is None else want.register_start,
        register_end=row.register_end if want.register_end is None else want.register_end,
    )
    told = (want.valid_to, want.register_start, want.register_end)
    return replace(result, by_hand=told != (result.valid_to, result.register_start, result.register_end))


def _begun(want: Assigned, held: _Index, now: datetime, takeover: Takeover) -> Assigned:
    """When something new begins that the file gives no date for."""
    if want.valid_from is not None or want.valid_to is not None:
        return want
    starts = [min(row.end, now) for row in held.of_device(want)]
    for row in held.at_point(want):
        if row.device == want.device:
            continue
        if row.holds(now):
            moment = takeover(want)
            starts.append(moment if row.start < moment <= now else now)
        else:
            starts.append(row.end)
    return replace(want, valid_from=max(starts, default=None))


def _beside(row: Assigned, target: _Index, now: datetime) -> Assigned | None:
    """What was made by hand beside the file's: None where the file tells otherwise of this device or of now."""
    if any(other.overlaps(row) for other in target.of_device(row)):
        return None
    for other in target.at_point(row):
        if other.overlaps(row):
            if other.start == row.start:
                return None
            if other.start > row.start:
                row = replace(row, valid_to=other.start)
    return row if row.holds(now) else None


def _end_of(row: Assigned, target: _Index, now: datetime) -> datetime:
    """The end of a row that the file does not have: when something else begins there or for its device, at the latest
    now. Where the file tells of its whole time otherwise, it never was."""
    end = min(row.end, now)
    for other in target.near(row):
        if other.overlaps(row):
            if other.start <= row.start:
                return row.start
            end = min(end, other.start)
    return end
