"""Numbered messages; the same for the same plan, so that the account can tell what each had to become."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.cities import bins, building

ROUND_S = 1800
#: Rules remember some days: in more rounds than this the first would be history when they come.
MOST_ROUNDS = 150
METERS = 20


class Kind(StrEnum):
    """What a message is, and what it has to become."""

    TIMED = "timed"  # readings, known by device, metric and time
    CLOCKLESS = "clockless"  # one reading at the time of reception, known by its value
    POISON = "poison"  # an entry in quarantine, known by its payload


@dataclass(frozen=True, slots=True)
class Numbered:
    """One message. `readings` are (device address, metric, value); `time_us` is microseconds since 1970."""

    number: int
    kind: Kind
    topic: str
    payload: bytes
    time_us: int = 0
    readings: tuple[tuple[str, str, float], ...] = ()


@dataclass(frozen=True)
class Plan:
    """A city of `bins` bins and some meters, seen for `MOST_ROUNDS` half-hours that end at `end_s` (POSIX)."""

    seed: int
    bins: int
    end_s: int
    sites: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        meters = {f"m{number}": {"kind": "electricity", "interval": "30m"} for number in range(METERS)}
        sites = [bins(self.bins), building("hall", **meters)]
        # `building` names its devices after their points.
        object.__setattr__(self, "sites", sites)

    def messages(self) -> Iterator[Numbered]:
        """All messages in the order of sending: one in ten bins' messages late, one in fifty messages unreadable."""
        chance = random.Random(self.seed)
        levels = [chance.uniform(0, 90) for _ in range(self.bins)]
        late: dict[int, list[tuple[int, int, float]]] = {}
        number = 0
        for round_number in range(MOST_ROUNDS + 5):
            due = late.pop(round_number, [])
            if round_number < MOST_ROUNDS:
                at_s = self.end_s - (MOST_ROUNDS - round_number) * ROUND_S
                for bin_number, level in enumerate(levels):
                    emptied = level > 97 or chance.random() < 0.05
                    level = chance.uniform(0, 30) if emptied else min(level + chance.uniform(0, 12), 100.0)
                    levels[bin_number] = level
                    arrives = round_number + (chance.randint(1, 4) if chance.random() < 0.1 else 0)
                    entry = (bin_number, at_s, round(level, 2))
                    (due if arrives == round_number else late.setdefault(arrives, [])).append(entry)
            chance.shuffle(due)
            for bin_number, at_s, level in due:
                yield _of_bin(number, bin_number, at_s, level)
                number += 1
                if chance.random() < 0.25:
                    meter = chance.randrange(METERS)
                    yield (
                        _without_clock(number, meter)
                        if chance.random() < 0.5
                        else _of_meter(number, meter, self._meter_ms(number))
                    )
                    number += 1
                if chance.random() < 0.02:
                    yield Numbered(number, Kind.POISON, f"misto/dev-{bin_number}/up", b'{"poison": %d' % number)
                    number += 1

    def _meter_ms(self, number: int) -> int:
        """Each meter's message has a time of its own, before the end: there are fewer than two for each bin and round."""
        span_ms = MOST_ROUNDS * ROUND_S * 1000
        return self.end_s * 1000 - span_ms + number * span_ms // (2 * self.bins * MOST_ROUNDS)


def _of_bin(number: int, bin_number: int, at_s: int, level: float) -> Numbered:
    address = f"dev-{bin_number}"
    values = {"fill_level_pct": level, "temperature_c": round(5 + number % 97 / 10, 1), "battery_pct": 90.0}
    return _timed(number, address, at_s * 1000, values)


def _of_meter(number: int, meter: int, at_ms: int) -> Numbered:
    values = {"energy_kwh": float(number), "power_w": number % 5000 + 0.5, "voltage_v": 230.0}
    return _timed(number, f"hall-m{meter}-meter", at_ms, values)


def _timed(number: int, address: str, at_ms: int, values: dict[str, float]) -> Numbered:
    payload = json.dumps({"device": address, "time": at_ms, **values}).encode()
    readings = tuple((address, metric, value) for metric, value in values.items())
    return Numbered(number, Kind.TIMED, f"misto/{address}/up", payload, at_ms * 1000, readings)


def _without_clock(number: int, meter: int) -> Numbered:
    # A metric of its own, so that nothing of it falls on a reading with a time.
    address = f"hall-m{meter}-meter"
    payload = json.dumps({"apparent_power_va": number}).encode()
    return Numbered(
        number, Kind.CLOCKLESS, f"misto/{address}/up", payload, 0, ((address, "apparent_power_va", float(number)),)
    )
