"""The truth: what really went wrong, where, from when to when. Written to a file that the service never sees.

JSON lines: the first says what the file is (`truth` is its version), each other one a fault (docs/simulators.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from catalogue.faults import fault_kinds
from simulators.calendar import HOUR_US
from simulators.chance import Ints
from simulators.city import City, Meter
from simulators.errors import SimulatorError
from simulators.faults import Fault

VERSION = 1
#: From these on a person would notice (DOMAIN W1, W9; a LoRaWAN gateway's margin is used up).
NEARLY_FULL_PCT, OVERFLOWING_PCT, BATTERY_LOW_PCT, SIGNAL_WEAK_DBM = 80.0, 95.0, 20.0, -120.0
_GRID_US = 600_000_000


@dataclass(frozen=True)
class Truth:
    """One fault. `noticeable_us`: from when on it could be seen; None if it never could."""

    kind: str
    points: tuple[str, ...]
    site: str
    from_us: int
    to_us: int
    noticeable_us: int | None
    amount: float = 0.0
    gateway: str = ""

    def as_json(self) -> dict[str, Any]:
        """As a line of the file."""
        line: dict[str, Any] = {
            "kind": self.kind, "points": list(self.points), "site": self.site,
            "from": _text(self.from_us), "to": _text(self.to_us),
            "noticeable_from": None if self.noticeable_us is None else _text(self.noticeable_us),
        }  # fmt: skip
        if unit := fault_kinds()[self.kind].unit:
            line |= {"amount": self.amount, "unit": unit}
        return line | ({"gateway": self.gateway} if self.gateway else {})


@dataclass(frozen=True)
class TruthFile:
    """A whole file: the time that it covers, and its faults."""

    seed: int
    from_us: int
    to_us: int
    faults: list[Truth]

    def write(self, path: Path) -> None:
        """Write it whole or not at all."""
        head = {"truth": VERSION, "seed": self.seed, "from": _text(self.from_us), "to": _text(self.to_us)}
        lines = [head, *(fault.as_json() for fault in self.faults)]
        fresh = path.with_name(path.name + ".new")
        try:
            fresh.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
            fresh.replace(path)
        except OSError as error:
            raise SimulatorError(f"the truth cannot be written to {path}: {error.strerror}") from None

    @classmethod
    def read(cls, path: Path) -> TruthFile:
        """Read a file. Raises `SimulatorError` with the line that is wrong."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SimulatorError(f"{path} cannot be read: {error}") from None
        number = 1
        try:
            head = json.loads(lines[0]) if lines else {}
            if not isinstance(head, dict) or head.get("truth") != VERSION:
                raise ValueError('its first line must be {"truth": 1, "seed": …, "from": …, "to": …}')
            file = cls(int(head["seed"]), _us(head["from"]), _us(head["to"]), [])
            for line in lines[1:]:
                number += 1
                file.faults.append(_fault(json.loads(line)))
            return file
        except KeyError as error:
            raise SimulatorError(f"{path}:{number}: {error.args[0]} is missing; see docs/simulators.md") from None
        except (ValueError, TypeError) as error:
            raise SimulatorError(f"{path}:{number}: is no line of a truth file: {error}") from None


def truth_of(city: City, from_us: int, to_us: int) -> TruthFile:
    """Everything that is wrong in the city at some time between two moments."""
    faults = joined(fault for meter in city.meters for fault in of_meter(city, meter, from_us, to_us))
    return TruthFile(city.seed, from_us, to_us, faults)


def of_meter(city: City, meter: Meter, from_us: int, to_us: int) -> Iterator[Truth]:
    """What is wrong at one point between two moments."""
    for fault in city.faults.get(meter.point.id, ()):
        if fault.from_us < to_us and (fault.to_us > from_us or fault.from_us >= from_us):
            noticeable = _noticeable_us(city, meter, fault)
            if noticeable is not None and noticeable >= to_us:
                noticeable = None
            yield Truth(
                fault.kind, (meter.point.id,), meter.site.id, fault.from_us, fault.to_us, noticeable, fault.amount,
                fault.group.partition(" ")[0],
            )  # fmt: skip
    if meter.point.id in city.bins:
        yield from _full(city, meter, from_us, to_us)


def _full(city: City, meter: Meter, from_us: int, to_us: int) -> Iterator[Truth]:
    """Times in which a bin is nearly full or overflows. Shorter than its sensor looks twice: nobody could know."""
    grid = np.arange(from_us, to_us, _GRID_US, dtype=np.int64)
    level = city.bins[meter.point.id].level_pct(grid, meter.faults)
    for kind, limit in (("bin-nearly-full", NEARLY_FULL_PCT), ("bin-overflow", OVERFLOWING_PCT)):
        above = np.concatenate([[False], level > limit, [False]])
        edges = np.flatnonzero(above[1:] != above[:-1])
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            first, last = int(grid[begin]), int(grid[end - 1]) + _GRID_US
            seen = last - first >= 3 * meter.interval_us
            yield Truth(kind, (meter.point.id,), meter.site.id, first, last, first if seen else None)


def _noticeable_us(city: City, meter: Meter, fault: Fault) -> int | None:
    match fault.kind:
        case "bin-overflow":
            # Much is thrown in; the overflow that may come of it stands for itself.
            return None
        case "missed-collection" | "bin-blocked":
            grid = _grid(fault)
            level = city.bins[meter.point.id].level_pct(grid, meter.faults)
            return _first(grid, level > NEARLY_FULL_PCT)
        case "battery-fading":
            grid = _grid(fault, HOUR_US)
            return _first(grid, meter.measure(grid)["battery_pct"] < BATTERY_LOW_PCT)
        case "signal-fading":
            grid = _grid(fault, HOUR_US)
            rssi = meter.measure(grid)["rssi_dbm"]
            smooth = np.convolve(rssi, np.ones(12) / 12, "valid")
            return _first(grid[11:], smooth < SIGNAL_WEAK_DBM)
    return fault.from_us


def _grid(fault: Fault, step_us: int = _GRID_US) -> Ints:
    return np.arange(fault.from_us, fault.to_us, step_us, dtype=np.int64)


def _first(grid: Ints, where: Any) -> int | None:
    found = np.flatnonzero(where)
    return int(grid[found[0]]) if len(found) else None


def joined(faults: Iterable[Truth]) -> list[Truth]:
    """In order of time; faults of one gateway at one time become one."""
    groups: dict[tuple[str, int], list[Truth]] = {}
    whole = []
    for fault in faults:
        if fault.gateway:
            groups.setdefault((fault.gateway, fault.from_us), []).append(fault)
        else:
            whole.append(fault)
    for its in groups.values():
        points = tuple(sorted(point for fault in its for point in fault.points))
        whole.append(replace(its[0], points=points, site=""))
    return sorted(whole, key=lambda fault: (fault.from_us, fault.kind, fault.points))


def _fault(line: dict[str, Any]) -> Truth:
    if line["kind"] not in fault_kinds():
        raise ValueError(f"there is no fault {line['kind']!r}")
    noticeable = line["noticeable_from"]
    return Truth(
        line["kind"], tuple(line["points"]), line["site"], _us(line["from"]), _us(line["to"]),
        None if noticeable is None else _us(noticeable), float(line.get("amount", 0)), line.get("gateway", ""),
    )  # fmt: skip


def _text(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _us(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} needs a time zone")
    return round(moment.timestamp() * 1e6)
