"""Guesses which metric a field is: by its name and unit, by the range of its values, by whether they ever fall."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from catalogue.metrics import metrics
from ingest.numbers import number
from ingest.sent_units import sent_unit
from ingest.units import converter
from ingest.vocabulary import find, words_of


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WITH_SUFFIX = re.compile(r"^\s*[-+]?\d+(?:[.,]\d+)?\s*([^\d\s][^\d]{0,9})$")
#: Of another time, or no measurement at all.
_NOT_NOW = _set(
    "max min maximum minimum avg average mean today yesterday day daily hour hourly week month year last previous delta"
    " limit threshold alarm target setpoint set interval period time count code status state id version"
)
_REGISTERS = _set("total register index counter meter reading energy consumption volume pulses pulse")
_SCALES = (0.1, 0.01, 0.001)
#: Below this a voltage is that of a battery.
_MAINS_FROM_V = 40


@dataclass
class Column:
    """A field of several messages: its values as sent, by device and in order of their time."""

    name: str
    by_device: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def values(self) -> list[Any]:
        """All of them."""
        return [value for values in self.by_device.values() for value in values]


@dataclass(frozen=True)
class Guess:
    """What a field may be: keys of the profile's field (metric, unit …); empty where there is no idea.

    `sure` ones may stand in a profile; `note` says what speaks for or against it.
    """

    spec: Mapping[str, Any]
    sure: bool
    note: str


def columns(samples: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Column]:
    """The fields of (device, fields) by their dotted path; a list is one field."""
    found: dict[str, Column] = {}
    for device, fields in samples:
        for name, value in flat(fields).items():
            column = found.setdefault(name, Column(name))
            if value is not None:
                column.by_device.setdefault(device, []).append(value)
    return found


def flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted path; what is within a list stays there."""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def guess_all(found: Mapping[str, Column]) -> dict[str, Guess]:
    """A guess for each field; of several that would be one metric the shortest name has it."""
    guesses = {name: _guess(column, found) for name, column in found.items()}
    units = {str(guess.spec["unit_from"]) for guess in guesses.values() if "unit_from" in guess.spec}
    taken: dict[str, str] = {}
    for name in sorted(guesses, key=lambda name: (len(name.split(".")), len(name), name)):
        guess = guesses[name]
        if name in units:
            guesses[name] = Guess({}, True, "the unit of the field beside it")
        elif guess.sure and (first := taken.setdefault(str(guess.spec["metric"]), name)) != name:
            note = f"{first} is that already; a further channel has `channel: name`"
            guesses[name] = replace(guess, sure=False, note=note)
    return guesses


def seen(column: Column) -> str:
    """The values of a field in a few words."""
    if not column.values:
        return "never with a value"
    numbers = _numbers(column.values)
    count = len(column.values)
    if numbers is None or any(isinstance(value, bool) for value in column.values):
        shown = list(dict.fromkeys(_short(value) for value in column.values))
        return f"seen {', '.join(shown[:4])}{' …' if len(shown) > 4 else ''}"
    if len(set(numbers)) == 1:
        return f"seen {numbers[0]:g}" + (f" in {count} messages" if count > 1 else "")
    way = "never falls" if _is_rising(column, lambda value: value) else "rises and falls"
    return f"seen {min(numbers):g} to {max(numbers):g} in {count} messages, {way}"


def _guess(column: Column, found: Mapping[str, Column]) -> Guess:
    if not column.values:
        return Guess({}, False, "")
    *outer, last = column.name.split(".")
    if not all(isinstance(value, bool | int | float | str) for value in column.values):
        if all(isinstance(value, list) for value in column.values) and column.values:
            return Guess({}, False, "a list: one number a place, `combine`, or with times `series`")
        return Guess({}, False, "")
    told: dict[str, Any] = {}
    unit = _told_unit(column, found, told)
    own, whole = words_of(last), words_of(" ".join((*outer[-1:], last)))
    for words in dict.fromkeys((own, whole)):
        hit = find(words, unit)
        if hit is not None:
            return _judged(column, hit, words, unit, told)
    if _NOT_NOW & set(own):
        return Guess({}, False, "")
    for length in range(len(whole) - 1, 0, -1):
        for start in range(len(whole) - length, -1, -1):
            part = whole[start : start + length]
            hit = find(part, unit)
            if hit is not None:
                guess = _judged(column, hit, part, unit, told)
                return replace(
                    guess, sure=False, note=f"its name has {' '.join(part)!r} in it; {guess.note}".rstrip("; ")
                )
    return _by_behaviour(column, set(whole))


def _told_unit(column: Column, found: Mapping[str, Column], told: dict[str, Any]) -> str | None:
    """The unit that stands beside the field, or behind its numbers."""
    outer, dot, last = column.name.rpartition(".")
    for beside in (f"{last}_unit", f"{last}Unit", "unit"):
        other = found.get(f"{outer}{dot}{beside}")
        units = set(map(str, other.values)) if other else set()
        if len(units) == 1 and _known_unit(unit := units.pop()):
            told["unit_from"] = f"{outer}{dot}{beside}"
            return unit
    if all(isinstance(value, str) for value in column.values):
        ends = {match[1].strip() for value in column.values if (match := _WITH_SUFFIX.match(value))}
        if len(ends) == 1 and _known_unit(end := ends.pop()):
            told["suffix"] = end
            return end
    return None


def _judged(
    column: Column,
    hit: tuple[str, Callable[[float], float]],
    words: Sequence[str],
    unit: str | None,
    told: Mapping[str, Any],
) -> Guess:
    """The metric that the name says, held against the values."""
    metric, convert = hit
    spec = {"metric": metric, **_unit_spec(metric, convert, words, unit), **told}
    kind, (low, high) = metrics()[metric].kind, metrics()[metric].range
    numbers = _numbers([_bare(value, told) for value in column.values])
    if numbers is None:
        words_seen = list(dict.fromkeys(map(str, column.values)))
        if kind == "state" and len(words_seen) == 2:
            return Guess({**spec, "values": {words_seen[0]: 0, words_seen[1]: 1}}, False, "which word is 1?")
        return Guess(spec, False, "its values are no numbers")
    converted = [convert(value) for value in numbers]
    if kind == "state" and not set(numbers) <= {0.0, 1.0}:
        return Guess(spec, False, "it is neither 0 nor 1: `values` says which word is which")
    if metric == "battery_pct" and max(numbers) <= 5 and any(value % 1 for value in numbers):
        return Guess({"metric": "battery_v", "unit": "V"}, False, "as a percentage it is too low; volts?")
    if metric == "battery_v" and min(converted) > 60 and unit is None:
        return Guess({"metric": metric, "unit": "mV"}, False, "for volts it is too high; millivolts?")
    if metric == "voltage_v" and 0 < max(converted) < _MAINS_FROM_V:
        return Guess({**spec, "metric": "battery_v"}, False, "for the mains it is too low; a battery's?")
    if not all(low <= value <= high for value in converted):
        return _scaled(spec, converted, low, high)
    if metric == "temperature_c" and all(value % 1 == 0 for value in numbers) and max(map(abs, converted)) > 60:
        return Guess({**spec, "scale": 0.1}, False, "tenths of a degree?")
    if kind == "counter" and not _is_rising(column, lambda value: number(_bare(value, told))):
        return Guess(spec, False, "it falls: no register, unless the device started anew")
    return Guess(spec, True, "")


def _scaled(spec: Mapping[str, Any], converted: Sequence[float], low: float, high: float) -> Guess:
    for scale in _SCALES:
        if all(low <= value * scale <= high for value in converted):
            return Guess({**spec, "scale": scale}, False, "too high as it is; with this scale it would be plausible")
    return Guess(spec, False, f"its values are outside of the plausible {low:g} to {high:g}")


def _by_behaviour(column: Column, words: set[str]) -> Guess:
    """A number that never falls may be a register; of what, its words may say."""
    numbers = _numbers(column.values)
    if numbers is None or any(isinstance(value, bool) for value in column.values):
        return Guess({}, False, "")
    rising = _is_rising(column, float) and any(len(set(map(str, values))) > 1 for values in column.by_device.values())
    if not rising or not _REGISTERS & words:
        return Guess({}, False, "")
    for medium, metric in (
        ("water", "water_m3"),
        ("gas", "gas_m3"),
        ("pulse", "pulse_count"),
        ("pulses", "pulse_count"),
    ):
        if medium in words:
            return Guess(_plain(metric), False, "it never falls: a register? Which unit?")
    if words & {"energy", "consumption"}:
        return Guess(_plain("energy_kwh"), False, "it never falls: a register? Which unit?")
    return Guess({}, False, "it never falls: a register? Of what, in which unit?")


def _plain(metric: str) -> dict[str, Any]:
    unit = metrics()[metric].unit
    return {"metric": metric} if unit in ("1", "state") else {"metric": metric, "unit": unit}


def _unit_spec(
    metric: str, convert: Callable[[float], float], words: Sequence[str], unit: str | None
) -> dict[str, Any]:
    """The unit by its name, or as a scale: that whose conversion is the one that was found."""
    own = metrics()[metric].unit
    for candidate in (own, _spelled(unit), *(_spelled(word) for word in reversed(words)), "L", "mV", "cm", "m", "Wh"):
        if candidate is None:
            continue
        try:
            same = converter(metric, candidate)
        except ValueError:
            continue
        if all(abs(same(value) - convert(value)) < 1e-9 for value in (0.0, 1.0)):
            return {} if candidate in ("1", "state") else {"unit": candidate}
    return {"scale": convert(1.0) - convert(0.0)}


def _spelled(unit: str | None) -> str | None:
    try:
        return sent_unit(unit) if unit else None
    except ValueError:
        return None


def _known_unit(text: str) -> bool:
    return _spelled(text) is not None


def _bare(value: Any, told: Mapping[str, Any]) -> Any:
    return value.strip().removesuffix(told["suffix"]) if "suffix" in told and isinstance(value, str) else value


def _numbers(values: Sequence[Any]) -> list[float] | None:
    try:
        return [number(value) for value in values]
    except ValueError:
        return None


def _is_rising(column: Column, value_of: Callable[[Any], float]) -> bool:
    for values in column.by_device.values():
        told = _numbers([value_of(value) for value in values]) or []
        if any(later < earlier for earlier, later in pairwise(told)):
            return False
    return True


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= 30 else text[:29] + "…"
