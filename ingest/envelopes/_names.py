"""Names of fields, where a format leaves them to whoever sends: only those that mean one thing become a metric."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

from catalogue.metrics import metrics
from ingest.envelopes._units import convert, fits
from ingest.numbers import number

# Metric → names (folded: lower case, letters and digits only) that mean it, in the metric's own unit.
_MEANING = {
    "temperature_c": "temperature temp tempc airtemperature ambienttemperature",
    "humidity_pct": "humidity hum rh relativehumidity airhumidity",
    "co2_ppm": "co2 co2concentration carbondioxide",
    "air_pressure_hpa": "airpressure atmosphericpressure barometricpressure",
    "wind_speed_ms": "windspeed",
    "rain_mm": "rain precipitation rainfall",
    "wind_direction_deg": "winddirection",
    "illuminance_lx": "illuminance lux ambientlight",
    "soil_moisture_pct": "soilmoisture",
    "pm1_ugm3": "pm1",
    "pm2_5_ugm3": "pm25 pm2p5",
    "pm10_ugm3": "pm10",
    "tvoc_ppb": "tvoc",
    "sound_level_db": "soundlevel noiselevel laeq",
    "water_leak": "waterleak leakdetected",
    "occupied": "occupancy presence occupied",
    "device_temperature_c": "devicetemperature internaltemperature chiptemperature cputemperature",
    "irradiance_wm2": "irradiance solarradiation solarirradiance",
    "fill_level_pct": "filllevel fillinglevel fillpct fillpercent fillpercentage filllevelpercent fillinglvl",
    "distance_mm": "distance",
    "tilt_deg": "tiltangle",
    "tilted": "istilted",
    "lid_open": "islidopen",
    "battery_pct": "battery batterylevel batterypercent batterypercentage batteryremaining",
    "battery_v": "batteryvoltage batvoltage batv vbat vbatt battv",
    "rssi_dbm": "rssi lorarssi",
    "snr_db": "snr lorasnr",
    "voltage_v": "voltage mainsvoltage gridvoltage",
    "current_a": "current",
    "power_w": "power activepower totalpower powertotal totalactivepower",
    "reactive_power_var": "reactivepower totalreactivepower",
    "apparent_power_va": "apparentpower totalapparentpower",
    "power_factor": "powerfactor totalpowerfactor cosphi",
    "frequency_hz": "frequency mainsfrequency gridfrequency linefrequency",
    "supply_temperature_c": "supplytemperature supplytemp",
    "return_temperature_c": "returntemperature returntemp",
    "pulse_count": "pulses",
    "energy_kwh": "totalenergykwh energytotalkwh totalactiveenergyimportkwh",
    **{f"power_l{n}_w": f"powerl{n} l{n}power activepowerl{n} phasepowerl{n}" for n in (1, 2, 3)},
    **{f"voltage_l{n}_v": f"voltagel{n} l{n}voltage phasevoltagel{n}" for n in (1, 2, 3)},
    **{f"current_l{n}_a": f"currentl{n} l{n}current phasecurrentl{n}" for n in (1, 2, 3)},
}

#: Names that mean something only with a unit, and names whose unit decides between two metrics.
_WITH_UNIT = {
    "flow": ("flow_m3h",),
    "flowrate": ("flow_m3h",),
    "waterflow": ("flow_m3h",),
    "battery": ("battery_pct", "battery_v"),
    "tilt": ("tilt_deg",),
    "weight": ("weight_kg",),
    "level": ("fill_level_pct",),
    "waterlevel": ("water_level_mm", "fill_level_pct"),
    "signal": ("rssi_dbm",),
    "signalstrength": ("rssi_dbm",),
}
#: Water pressure is told in bar, that of the air in hPa; other units leave it open.
_PRESSURE = {"hPa": "air_pressure_hpa", "bar": "pressure_bar"}

_FOLD = re.compile(r"[\W_]+")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def fold(name: str) -> str:
    """A name without case, blanks and punctuation."""
    return _FOLD.sub("", name).lower()


_BY_NAME = {
    **{fold(name): name for name in metrics()},
    **{name: metric for metric, names in _MEANING.items() for name in names.split()},
}

#: Without a name a unit says as much as this.
_NAMELESS = {
    "degC": "temperature_c", "K": "temperature_c", "%RH": "humidity_pct", "%EL": "battery_pct", "V": "voltage_v",
    "mV": "voltage_v", "A": "current_a", "mA": "current_a", "W": "power_w", "kW": "power_w",
    "var": "reactive_power_var", "kvar": "reactive_power_var", "VA": "apparent_power_va", "kVA": "apparent_power_va",
    "Hz": "frequency_hz", "lx": "illuminance_lx", "W/m2": "irradiance_wm2", "dBm": "rssi_dbm", "m3/h": "flow_m3h",
    "m3/s": "flow_m3h", "l/s": "flow_m3h",
}  # fmt: skip


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What makes another quantity of it: a limit, an extreme, the reading of another day.
_NOT_NOW = _set(
    "set setpoint target limit threshold alarm max min maximum minimum avg average mean today yesterday daily day"
    " hourly hour monthly month yearly year billing tariff last previous delta interval dew feels window forecast"
)
_REGISTER = _set("total register cumulative counter meter reading index lifetime import export")
_EXPORT = _set("export exported generated generation produced production feedin returned")
_CONSUMED = _set(
    "energy power active electricity electric consumption consumed imported import load heat heating kwh wh"
    " total register cumulative counter meter reading index lifetime sum"
)

#: Longer than any name of a field that has a meaning.
_LONGEST_NAME = 80


def words(name: str) -> frozenset[str]:
    """The words of a name in camelCase, snake_case or with blanks."""
    return frozenset(_parts(name))


def _parts(name: str) -> list[str]:
    return [part.lower() for part in _WORD.findall(name)]


def by_name(name: str) -> str | None:
    """The metric of a name that comes without a unit, in the metric's own unit; None where it is not certain."""
    return _BY_NAME.get(fold(name)) if len(name) <= _LONGEST_NAME else None


def by_name_and_unit(name: str, symbol: str) -> tuple[str, str] | None:
    """Metric and channel of a momentary value in a known unit (`_units`), or None.

    A numbered or qualified name (`temperature2`, `outdoor temperature`) is a channel of its device.
    """
    if len(name) > _LONGEST_NAME:
        return None
    folded = fold(name)
    if not folded or folded.isdigit() or folded == "value":
        metric = _NAMELESS.get(symbol)
        return (metric, "") if metric else None
    for metric in (*_WITH_UNIT.get(folded, ()), _BY_NAME.get(folded)):
        if metric is not None and metrics()[metric].kind != "counter" and fits(metric, symbol):
            return metric, ""
    if folded == "pressure":
        return (_PRESSURE[symbol], "") if symbol in _PRESSURE else None
    parts = _parts(name)
    base = parts[:-1] if len(parts) > 1 and parts[-1].isdigit() else parts
    if _NOT_NOW & set(parts) or len(parts) < 2 or not base:
        return None
    for known in (fold("".join(base)), base[-1]):
        metric = _BY_NAME.get(known)
        if metric is not None and metrics()[metric].kind == "gauge" and fits(metric, symbol):
            return metric, "-".join(parts)
    return None


def register(name: str, quantity: str, told: bool) -> str | None:
    """The counter of an amount (energy in kWh, volume in m³ …), or None.

    Where the format does not tell (`told`) that it is a running total, the name must: `energy` alone may be an hour's.
    """
    if len(name) > _LONGEST_NAME:
        return None
    found = words(name)
    if _NOT_NOW & found or (not told and not _REGISTER & found):
        return None
    if quantity == "energy":
        if _EXPORT & found:
            return "energy_export_kwh"
        return "energy_kwh" if not found or _CONSUMED & found else None
    if quantity == "reactive_energy":
        return None if _EXPORT & found else "reactive_energy_kvarh"
    if quantity == "volume":
        if "water" in found:
            return "water_backward_m3" if found & {"backward", "reverse", "back"} else "water_m3"
        if "gas" in found:
            return "gas_m3"
        return "heat_carrier_m3" if found & {"heat", "heating"} else None
    if quantity == "count":
        return "pulse_count" if found & {"pulse", "pulses", "impulse", "impulses"} else None
    return None


_STATES = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "on": 1.0, "off": 0.0, "1": 1.0, "0": 0.0}


def value_of(metric: str, told: Any, symbol: str | None = None) -> float:
    """A value in the metric's unit. Raises ValueError with what is wrong."""
    if metrics()[metric].kind == "state":
        state = _STATES.get(str(told).strip().lower()) if isinstance(told, bool | str | int) else None
        if state is None:
            raise ValueError(f"{str(told)[:60]!r} is neither true nor false")
        return state
    if isinstance(told, bool):
        raise ValueError(f"is {str(told).lower()}, expected a number")
    result = convert(metric, symbol, number(told))
    if not isfinite(result):
        raise ValueError("is larger than any number of a meter")
    return result
