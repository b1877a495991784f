"""Quantities that a format describes by a name and a unit: which metric they are, on which channel.

Used by the formats that describe themselves (Sparkplug B, Homie, Home Assistant's discovery). Names are paths of words
(`Meter/Energy/Total`, `engine/temperature`, `sensor_voltage_l1`). What is not certain has no meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from ingest.envelopes._names import by_name, by_name_and_unit, register
from ingest.envelopes._units import amount, fits
from ingest.numbers import number


def _table(text: str) -> dict[str, tuple[str, float]]:
    rows = (row.split() for row in text.strip().splitlines())
    return {spelling: (symbol, float(factor)) for symbol, factor, *spellings in rows for spelling in spellings}


# Symbol of `_units`, factor to it, spellings without blanks in lower case.
_SPELLED = _table("""
Wh 1 wh вт·год вт*год
kWh 1 kwh kw·h kw*h квт·год квт*год квт·г
kJ 1 kj
GJ 1 gj гдж
kWh 0.001163 kcal ккал
kWh 1163 gcal гкал
varh 1 varh
kvarh 1 kvarh квар·год
W 1 w watt watts вт
kW 1 kw квт
var 1 var
kvar 1 kvar
VA 1 va
kVA 1 kva
V 1 v volt volts в
mV 1 mv мв
A 1 a amp amps ampere amperes а
mA 1 ma ма
Hz 1 hz hertz гц
m3 1 m3 m³ m^3 cbm cubicmeter cubicmeters cubicmetre cubicmetres м3 м³
l 1 l liter liters litre litres dm3 dm³ л
m3 0.028316846592 ft3 ft³ cuft
m3 2.8316846592 ccf
l 3.785411784 gal gallon gallons
m3/h 1 m3/h m³/h m^3/h m3/hr м3/год м³/год
m3/min 1 m3/min m³/min
m3/s 1 m3/s m³/s
l/h 1 l/h l/hr л/год
l/min 1 l/min lpm л/хв
l/s 1 l/s л/с
degC 1 °c ℃ c cel celsius degc degreescelsius degreecelsius °с ºc
degF 1 °f ℉ f degf fahrenheit degreesfahrenheit
K 1 k kelvin
% 1 % pct percent percentage
%RH 1 %rh rh% %r.h.
ppm 1 ppm
Pa 1 pa
hPa 1 hpa mbar mb
kPa 1 kpa
bar 1 bar бар
kPa 6.894757293 psi
mm 1 mm millimeter millimeters мм
cm 1 cm centimeter centimeters см
m 1 m meter meters metre metres м
in 1 in inch inches
in 12 ft feet
m/s 1 m/s м/с
km/h 1 km/h kmh kph
m/s 0.44704 mph
m/s 0.514444 kn kt
W/m2 1 w/m2 w/m² w/m^2
deg 1 ° deg degree degrees
dBm 1 dbm
dB 1 db
count 1 # count counts pulse pulses impulse impulses imp
""")
#: Where the case matters: MWh is a thousand million times mWh.
_EXACT = {
    "MWh": ("MWh", 1.0), "mWh": ("Wh", 1e-3), "MW": ("MW", 1.0), "mW": ("W", 1e-3), "MJ": ("MJ", 1.0),
    "mJ": ("J", 1e-3), "МВт·год": ("MWh", 1.0), "µA": ("mA", 1e-3), "μA": ("mA", 1e-3), "MPa": ("bar", 10.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as `_units` names it, and the factor from what was told to it."""

    symbol: str
    factor: float


def spelled_unit(text: str) -> Unit | None:
    """The unit that a description names, or None for none or one that is not known."""
    squeezed = "".join(text.split())
    if not squeezed or len(squeezed) > 30:
        return None
    found = _EXACT.get(squeezed) or _SPELLED.get(squeezed.lower())
    return Unit(*found) if found else None


@dataclass(frozen=True, slots=True)
class Meaning:
    """The metric of a described quantity, the channel of its device, and how its values are sent."""

    metric: str
    channel: str = ""
    unit: Unit | None = None

    @property
    def symbol(self) -> str | None:
        """The unit of what `sent` gives, as `_units` names it; None: the metric's own."""
        return self.unit.symbol if self.unit else None

    def sent(self, told: Any) -> Any:
        """A value as it was sent, in the unit `symbol`. Raises ValueError for what is no number."""
        if self.unit is None or self.unit.factor == 1 or isinstance(told, bool):
            return told
        return number(told) * self.unit.factor


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+")
#: Longer names than this are nobody's.
_LONGEST_NAME = 200
_MOST_WORDS = 16

# A limit, an extreme, another day's or a tariff's: understood, and no reading of now.
_NOT_NOW = _set(
    "set setpoint target limit threshold alarm max min maximum minimum avg average mean peak offpeak today yesterday"
    " daily day night hourly hour weekly week monthly month yearly year annual billing tariff last previous delta"
    " interval period window forecast predicted dew feels session cost price heute gestern tag monat jahr"
    " сьогодні вчора доба місяць тариф"
)
#: The same in two words.
_TARIFFS = _set("t1 t2 t3 t4 rate1 rate2 rate3 rate4 setpoint offpeak")
#: A device's own temperature is none of its place.
INTERNAL = _set("cpu chip internal board core soc mcu esp processor module case enclosure")

# Words that say nothing about which of several: what is left beside them is a channel of the device.
_NEUTRAL = _set(
    "meter counter sensor sensors value values measurement measurements measured current actual present now live"
    " instantaneous inputs input data reading readings properties main total sum electricity electric electrical power"
    " energy environment environmental ambient climate weather air water gas heat status state info device node system"
    " bin container metrics telemetry wifi radio network lora lte gsm modem analog ac grid mains supply n"
    " phase phases level the of in"
)
_OF_REGISTERS = _set(
    "register cumulative reading index lifetime import imported export exported active reactive consumption consumed"
    " volume forward backward reverse positive negative delivered returned generated generation produced production"
    " feedin injected injection back heating cooling flow fed pulses impulse impulses count"
)
_FILLED = _set("bin container fill filling waste content trash garbage litter dumpster")

_PHASE = {"1": "1", "2": "2", "3": "3", "a": "1", "b": "2", "c": "3"}
_IN_BRACKETS = re.compile(r"[(\[]([^()\[\]]{1,12})[)\]]\s*$")
_AT_END = re.compile(r"[_\s]([^\W\d_]{1,5}\d?)$")


def words(name: str) -> list[str]:
    """The words of a path in camelCase, snake_case or with blanks, in lower case."""
    return [word.lower() for word in _WORD.findall(name[:_LONGEST_NAME])[:_MOST_WORDS]]


def is_not_now(name: str) -> bool:
    """Whether a name is that of a limit, a tariff, another day's register: understood, and no reading."""
    found = words(name)
    pairs = {first + second for first, second in pairwise(found)}
    return bool(_NOT_NOW & set(found)) or bool(pairs & _TARIFFS)


@lru_cache(maxsize=20_000)
def meaning(name: str, unit_text: str, medium: str = "", *, cumulative: bool = False) -> Meaning | None:
    """What a described quantity is, or None where that is not certain.

    `medium` holds the words of what it belongs to (a node's or device's name), which tell water from gas;
    `cumulative` says that the format itself calls it a running total. Without a unit of its own one at the end of the
    name counts (`Energy_kWh`, `Power (W)`), and without that the metric's.
    """
    if len(name) > _LONGEST_NAME or is_not_now(name):
        return None
    unit = spelled_unit(unit_text)
    if unit is None and unit_text.strip():
        return None
    if unit is None:
        tail = _IN_BRACKETS.search(name) or _AT_END.search(name)
        unit = spelled_unit(tail[1]) if tail else None
        if unit is not None and tail is not None:
            name = name[: tail.start()]
    parts, phase = without_phase(words(name))
    if phase is None:
        return None  # between two phases
    if unit is None:
        return _unitless(parts, phase)
    quantity = amount(unit.symbol)
    if quantity is not None:
        return _amount(parts, phase, quantity, unit, medium, cumulative)
    return _momentary(parts, phase, unit)


def without_phase(parts: list[str]) -> tuple[list[str], str | None]:
    """The words without the phase, and that ("" for none, None for two)."""
    rest: list[str] = []
    phases: set[str] = set()
    index = 0
    while index < len(parts):
        following = parts[index + 1] if index + 1 < len(parts) else ""
        if parts[index] in ("l", "phase", "ph") and following in _PHASE:
            phases.add(_PHASE[following])
            index += 2
        else:
            rest.append(parts[index])
            index += 1
    return rest, None if len(phases) > 1 else next(iter(phases), "")


def phased(metric: str, phase: str) -> str | None:
    """The metric of one phase; None where the catalogue has none."""
    if not phase:
        return metric
    return {"voltage_v": f"voltage_l{phase}_v", "current_a": f"current_l{phase}_a", "power_w": f"power_l{phase}_w"}.get(
        metric
    )


def _windows(parts: list[str]) -> list[tuple[int, int]]:
    """Neighbouring words, three before one, the last ones first."""
    return [
        (start, start + length)
        for length in (3, 2, 1)
        for start in range(len(parts) - length, -1, -1)
        if start + length <= len(parts)
    ]


def _momentary(parts: list[str], phase: str, unit: Unit) -> Meaning | None:
    if not parts or parts == ["value"]:
        found = by_name_and_unit("value", unit.symbol)
        metric = phased(found[0], phase) if found else None
        return Meaning(metric, "", unit) if metric else None
    for start, end in _windows(parts):
        used = parts[start:end]
        found = by_name_and_unit(" ".join(used), unit.symbol)
        if found is None or found[1] or "".join(used).isdigit() or used == ["value"]:
            continue
        rest = parts[:start] + parts[end:]
        if found[0] == "fill_level_pct" and used == ["level"] and not _FILLED & set(rest):
            return None  # of a signal, of sound …
        if found[0] == "temperature_c" and INTERNAL & set(rest):
            return None
        metric = phased(found[0], phase)
        return Meaning(metric, _channel(rest, used), unit) if metric else None
    return None


def _amount(parts: list[str], phase: str, quantity: str, unit: Unit, medium: str, cumulative: bool) -> Meaning | None:
    if phase:
        return None  # the catalogue has registers of all phases together
    hints: list[str] = (
        [word for word in ("water", "gas", "heat") if word in words(medium)] if quantity == "volume" else []
    )
    if quantity == "energy" and cumulative:
        hints = ["energy"]
    metric = register(" ".join([*hints, *parts])[:80], quantity, told=cumulative)
    if metric is None or not fits(metric, unit.symbol):
        return None
    return Meaning(metric, _channel([part for part in parts if part not in _OF_REGISTERS], []), unit)


def _unitless(parts: list[str], phase: str) -> Meaning | None:
    for length in (3, 2, 1):
        used = parts[-length:]
        if len(used) < length:
            continue
        name = by_name(" ".join(used))
        if name is not None:
            metric = phased(name, phase)
            rest = parts[:-length]
            if metric is None or (metric == "temperature_c" and INTERNAL & set(rest)):
                return None
            return Meaning(metric, _channel(rest, used))
    return None


def _channel(rest: list[str], used: list[str]) -> str:
    """What tells it from others of its kind on the same device."""
    left = [word for word in rest if word not in _NEUTRAL and word not in used]
    return "-".join(left)[:60]


def kind_of(metric: str) -> str:
    """The kind of point that a register tells for certain, or nothing."""
    kinds = {"gas_m3": "gas", "water_m3": "water", "heat_carrier_m3": "heat", "fill_level_pct": "bin"}
    return kinds.get(metric, "")
