"""Names of quantities with their usual units, for formats that send bare values under a name.

Only a whole phrase counts (`energy total`, `battery voltage`), never a part of one: `energy today` is something else.
A name whose usual unit is not certain (`flow`, `pressure`) has a meaning only with a unit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ingest.sent_units import sent_unit
from ingest.units import converter

Converter = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class _Sense:
    """A metric that a phrase may mean; `usual` is its unit where none is told, None if one must be."""

    metric: str
    usual: str | None


def _phrases() -> dict[str, tuple[_Sense, ...]]:
    senses: dict[str, list[_Sense]] = {}

    def add(metric: str, usual: str | None, phrases: str) -> None:
        for phrase in phrases.split(","):
            senses.setdefault(phrase.strip(), []).append(_Sense(metric, usual))

    add(
        "energy_kwh",
        "kWh",
        "energy total, total energy, energy import, energy imported, import energy, energy in,"
        " energy consumed, energy consumption total, total energy consumption, consumption total, total consumption,"
        " energy counter, energy register, energy meter, energy reading, energy import total, total energy import,"
        " energy total in, active energy import, active energy total, total active energy, electricity total,"
        " total electricity, electricity meter, heat total, heat energy total, total heat energy, total import",
    )
    add("energy_kwh", None, "total, meter, register, counter reading, meter reading")
    add(
        "energy_export_kwh",
        "kWh",
        "energy export, energy exported, export energy, energy out, energy returned,"
        " energy export total, energy returned total, total energy export, total energy returned, total returned,"
        " total export, energy production total, total energy production, production total, active energy export",
    )
    add("reactive_energy_kvarh", "kvarh", "reactive energy total, total reactive energy, reactive energy import")
    add(
        "power_w",
        "W",
        "power, active power, power active, total power, power total, current power, actual power,"
        " power now, power current, total active power, active power total, electric power, power consumption",
    )
    add("reactive_power_var", "var", "reactive power, power reactive, total reactive power, reactive power total")
    add("apparent_power_va", "VA", "apparent power, power apparent, total apparent power, apparent power total")
    add("power_factor", "1", "power factor, powerfactor, cos phi, cosphi, pf")
    add("frequency_hz", "Hz", "frequency, freq, mains frequency, grid frequency, line frequency")
    add("voltage_v", "V", "voltage, mains voltage, grid voltage, line voltage")
    add("current_a", "A", "current, amperage, load current")
    for number, letter in (("1", "a"), ("2", "b"), ("3", "c")):
        for name, metric, unit in (
            ("voltage", f"voltage_l{number}_v", "V"),
            ("current", f"current_l{number}_a", "A"),
            ("power", f"power_l{number}_w", "W"),
        ):
            add(
                metric,
                unit,
                f"{name} l{number}, l{number} {name}, {name} phase {number}, phase {number} {name},"
                f" {name} phase {letter}, phase {letter} {name}"
                + (f", {name} {number}, {name}{number}" if name != "power" else f", active power l{number}"),
            )
    add(
        "temperature_c",
        "degC",
        "temperature, temp, air temperature, ambient temperature, room temperature,"
        " outdoor temperature, outside temperature, indoor temperature",
    )
    add(
        "supply_temperature_c",
        "degC",
        "supply temperature, flow temperature, forward temperature, supply temp,"
        " flow temp, temperature supply, temperature flow",
    )
    add("return_temperature_c", "degC", "return temperature, return temp, temperature return, backflow temperature")
    add("humidity_pct", "pct", "humidity, hum, relative humidity, air humidity")
    add("co2_ppm", "ppm", "co2, carbon dioxide, co2 concentration, eco2")
    add("air_pressure_hpa", "hPa", "air pressure, barometric pressure, atmospheric pressure, barometer, pressure hpa")
    add("pressure_bar", "bar", "water pressure, system pressure, pressure bar")
    add("wind_speed_ms", "m/s", "wind speed, windspeed")
    add("rain_mm", "mm", "rain, rainfall, precipitation")
    add("rain_total_mm", "mm", "rain total, total rain, total rainfall, rain gauge total")
    add("wind_direction_deg", "deg", "wind direction, wind bearing, winddirection")
    add("illuminance_lx", "lx", "illuminance, lux, ambient light, light level lux, brightness lux")
    add("soil_moisture_pct", "pct", "soil moisture, soilmoisture, soil humidity")
    add("pm1_ugm3", "ug/m3", "pm1, pm 1")
    add("pm2_5_ugm3", "ug/m3", "pm25, pm2 5, pm 2 5, pm 25")
    add("pm10_ugm3", "ug/m3", "pm10, pm 10")
    add("tvoc_ppb", "ppb", "tvoc, total voc")
    add("sound_level_db", "dB", "sound level, noise level, noise")
    add("weight_kg", "kg", "weight, net weight, bin weight")
    add("water_level_mm", None, "water level, waterlevel, river level")
    add("water_leak", "1", "water leak, leak, leak detected, flood")
    add("contact_open", "1", "door open, window open")
    add("occupied", "1", "occupancy, occupied, presence, motion")
    add("device_temperature_c", "degC", "device temperature, cpu temperature, chip temperature")
    add("irradiance_wm2", "W/m2", "irradiance, solar radiation, solar irradiance, global radiation")
    add(
        "fill_level_pct",
        "pct",
        "fill, fill level, filllevel, filling level, fillinglevel, fill percent,"
        " fill percentage, level, bin level, container level, waste level, level percent",
    )
    add("distance_mm", None, "distance, distance to content, ultrasonic distance")
    add("tilted", "1", "tilted, is tilted, overturned, upturned")
    add("tilt_deg", "deg", "tilt angle")
    add("lid_open", "1", "lid open, lid opened")
    for medium in ("water", "gas"):
        add(
            f"{medium}_m3",
            "m3",
            f"{medium} total, total {medium}, {medium} meter, {medium}meter, {medium} counter,"
            f" {medium} register, {medium} reading, {medium} index, {medium} volume, {medium} volume total,"
            f" {medium} consumption total, total {medium} consumption, {medium} meter total, {medium} meter reading",
        )
    add("heat_carrier_m3", "m3", "heat volume total, heat volume, heating volume total")
    add("flow_m3h", None, "flow, flow rate, flowrate, water flow, water flow rate, volume flow, gas flow")
    add("pulse_count", "1", "pulses, pulse count, pulse counter, impulses, impulse count, pulses total")
    add(
        "battery_pct",
        "pct",
        "battery, battery level, battery percent, battery percentage, battery state, battery charge, batt, bat",
    )
    add("battery_v", "V", "battery voltage, batt voltage, bat voltage, battery volt, vbat, vbatt, batv")
    add("battery_v", None, "battery, batt, bat")
    add("rssi_dbm", "dBm", "rssi, signal strength, wifi rssi, wifi signal, lora rssi")
    add("snr_db", "dB", "snr, lora snr")
    add("air_pressure_hpa", None, "pressure")
    return {phrase: tuple(found) for phrase, found in senses.items()}  # fmt: skip


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PHRASES = _phrases()
#: Units that end a name (`battery v`, `total kwh`): those that are no word of their own.
_TAILS = _set(
    "kwh wh mwh gj kvarh w kw var kvar va kva v mv a ma hz m3 l m3h c degc celsius pct percent ppm hpa bar mm cm dbm"
)
_TAIL_UNITS = {"mwh": "MWh", "m3h": "m3/h"}
#: Water in a pipe is told in bar, air in hPa.
_BAR = frozenset({"bar", "kPa"})
_LONGEST_PHRASE = 6
_WORD = re.compile(r"[A-Z]?[a-z]+\d{0,2}|[A-Z]+\d{0,2}(?![a-z])|\d+")


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in camelCase, snake_case, kebab-case or with blanks, in lower case."""
    return tuple(word.lower() for word in _WORD.findall(name[:120]))


def find(words: Sequence[str], unit: str | None = None) -> tuple[str, Converter] | None:
    """The metric that a phrase means, and the function from a number as sent to the metric's unit.

    `unit` is as a device spells it (`kWh`, `°C`, `m³/h`); without one, that at the phrase's end or the usual one
    counts. None for what is not certain, and for a unit that is not known or does not fit.
    """
    if not 0 < len(words) <= _LONGEST_PHRASE or (unit is not None and len(unit) > 20):
        return None
    return _found(tuple(word.lower() for word in words), unit)


@lru_cache(maxsize=20_000)
def _found(words: tuple[str, ...], unit: str | None) -> tuple[str, Converter] | None:
    senses = _PHRASES.get(" ".join(words))
    if senses is None and unit is None and words[-1] in _TAILS:
        unit = _TAIL_UNITS.get(words[-1], words[-1])
        senses = _PHRASES.get(" ".join(words[:-1]))
    if senses is None:
        return None
    if unit is None:
        first = senses[0]
        if first.usual is None:
            return None
        return first.metric, converter(first.metric, None if first.usual == "1" else first.usual)
    try:
        spelled = sent_unit(unit)
    except ValueError:
        return None
    for sense in senses:
        metric = "pressure_bar" if words[-1] == "pressure" and len(words) == 1 and spelled in _BAR else sense.metric
        try:
            return metric, converter(metric, spelled)
        except ValueError:
            continue
    return None
