"""What the keys of wmbusmeters' telegrams mean: words that name a quantity, and a unit.

Source: the field tables of wmbusmeters' drivers (`--listfields=<driver>`) and its unit table.
"""

from __future__ import annotations

import re
from typing import Any

from ingest.numbers import number
from ingest.units import converter


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: No register holds more; so differences stay numbers.
_LARGEST = 1e15

#: Ending of a key → unit.
UNITS = {
    "kwh": "kWh", "wh": "Wh", "mwh": "MWh", "mj": "MJ", "gj": "GJ", "kvarh": "kvarh", "m3": "m3", "l": "L",
    "m3h": "m3/hour", "lh": "L/hour", "kw": "kW", "w": "W", "kvar": "kilovar", "kva": "kVA", "c": "degC", "f": "degF",
    "v": "V", "mv": "mV", "a": "A", "hz": "Hz", "bar": "bar", "rh": "pct", "pct": "pct", "ppm": "ppm", "factor": "1",
    "counter": "1",
}  # fmt: skip
#: Endings that are understood and have no metric: times, angles, masses, tariff numbers, kVAh, m³·°C.
_NO_METRIC = _set("kvah m3c h s min y d months nr number deg kg k datetime date txt ut utc lt month")

#: Heat cost units that are a register of now; the catalogue has no metric for them.
_HEAT_COST_REGISTERS = _set("current current_consumption total total_consumption consumption")

_ENERGY = frozenset({"kwh", "wh", "mwh", "mj", "gj"})
_VOLUME = frozenset({"m3", "l"})
POWER = frozenset({"kw", "w"})


def _named(metric: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), metric)


_REGISTERS = {
    **_named("energy_kwh", "total total_energy total_energy_consumption total_heat_energy total_heating heat total_heat"
             " positive_total_active_energy total_active_positive_3phase total_active_energy total_kwh"),
    **_named("energy_export_kwh", "total_energy_production negative_total_active_energy"
             " total_active_negative_3phase"),
    **_named("reactive_energy_kvarh", "total_reactive_energy_consumption positive_total_reactive_energy"
             " total_reactive_positive_3phase total_reactive_energy"),
}  # fmt: skip
_FORWARD = _set("total total_volume volume total_water total_heating total_forward total_volume_forward")
_BACKWARD = _set("total_backward total_backwards total_backward_flow backflow total_volume_backward")
_COOLING = _set(
    "total_cooling total_cooling_energy total_energy_cooling total_cooling_consumption total_cooling_volume"
    " total_volume_cooling"
)
_POWERS = {
    **_named("power_w", "power current_power current_power_consumption active_power_overall active_positive_3phase"
             " active_consumption three_phase_total_active_power active_power"),
    **_named("reactive_power_var", "reactive_power_overall reactive_positive_3phase reactive_consumption"
             " three_phase_total_reactive_power"),
    **_named("apparent_power_va", "apparent_consumption three_phase_total_apparent_power"),
}  # fmt: skip
PRODUCED = frozenset({"current_power_production"})
_FLOWS = frozenset({"flow", "volume_flow", "current_flow", "current_volume_flow", "flow_water"})
_TEMPERATURES = {
    **_named("supply_temperature_c", "flow flow_temperature forward forward_temperature supply supply_temperature"
             " t1_temperature"),
    **_named("return_temperature_c", "return return_temperature t2_temperature"),
    **_named("temperature_c", "external_temperature temperature current_temperature current_room_temp temp_room"
             " room_temperature"),
}  # fmt: skip
_OTHERS = {
    **{(f"{name}{phase}{end}", unit): f"{metric}_l{phase}_{unit}"
       for phase in "123"
       for name, end, unit, metric in (
           ("voltage_at_phase_", "", "v", "voltage"), ("voltage_l", "_n", "v", "voltage"),
           ("voltage_", "_n", "v", "voltage"), ("voltage_l", "", "v", "voltage"),
           ("current_at_phase_", "", "a", "current"), ("amperage_at_phase_", "", "a", "current"),
           ("current_l", "", "a", "current"))},
    ("current", "a"): "current_a", ("frequency", "hz"): "frequency_hz", ("power", "factor"): "power_factor",
    ("three_phase_power", "factor"): "power_factor", ("pressure", "bar"): "pressure_bar",
    ("current_relative_humidity", "rh"): "humidity_pct", ("relative_humidity", "rh"): "humidity_pct",
    ("humidity", "rh"): "humidity_pct", ("battery", "v"): "battery_v", ("battery", "pct"): "battery_pct",
    ("co2", "ppm"): "co2_ppm",
}  # fmt: skip

# Another moment, an extreme, a mean, a difference, a part of the whole, an input of another meter.
_NOT_NOW = re.compile(
    r"(?:^|_)(?:target|prev|previous|last|max|maximum|min|minimum|average|avg|delta|difference|due|historic|history|"
    r"months?|year|period|partial|resettable|net|apparent|nominal|raw|tariff_?\d*|subunit\d*|input\d*|c[12]|l[123]|"
    r"phase_?\d?|[123]|\d{1,2}h|rel\d*|curr|current|consumption|requirement|neutral|radiator|heater|temp|set|base|"
    r"at_\w*date\w*|at_error|at_history|backward|production|negative|setpoint|ll|ln|\d+_months_ago|percentage|"
    r"january|february|march|april|may|june|july|august|september|october|november|december)(?:_|$)", re.IGNORECASE
)  # fmt: skip

# Drivers by what they read, where the medium does not tell (`radio converter (meter side)`, `other`).
_DRIVERS = {
    "water": "actislink apator08 apator162 apator172 apatorna1 aptmbusna aquastream aventieswm dme173 dme_07 emerlin868"
    " engelmann_faw ev200 evo868 fiowater gwfwater hydrodigit hydrus iperl istawater itron iwmtx5 izar izarv2"
    " kadenwater kamwater lse_07_17 maddalena minomess mkradio3 mkradio3a mkradio4 mkradio4a multical21 flowiq3100"
    " op041a picoflux"
    " q400 qwater qwaterv2 rfmtx1 supercom587 topaseskr uiws ultrimis ultrimisv2 waterstarm watertech weh_07"
    " werhlemodwm zenner0b",
    "gas": "aerius elster gwfgas unismart",
    "heat": "c5isf compact5 elf elf2 enercal hydrocalm3 hydrocalm4 istaheat itronheat kamheat microclima pollucomf"
    " qheat qheat5us qheat_55_us qheatv2 qualcosonic sensostar sharky sharky774 supercal ultraheat vario411 vario451"
    " vario451mid",
}
_BY_DRIVER = {driver: medium for medium, drivers in _DRIVERS.items() for driver in drivers.split()}
_TOTALS = {"water": "water_m3", "gas": "gas_m3", "heat": "heat_carrier_m3"}
#: No temperature of water or air is this: the drivers' sign for one that was not measured.
NOT_MEASURED_C = frozenset({127.0, -128.0})


def medium_of(media: str, driver: str) -> str:
    """water, gas, heat (cold too), or nothing."""
    media = media.lower()
    if "detector" in media or "cost" in media:
        return ""
    for word in ("water", "gas", "heat"):
        if word in media:
            return word
    if "cooling" in media:
        return "heat"
    return _BY_DRIVER.get(driver.lower(), "")


def meaning(name: str, unit: str, medium: str, driver: str) -> tuple[str, str] | None:
    """Metric and channel of a quantity; None where it has none."""
    metric: str | None = None
    if unit in _ENERGY | {"kvarh"}:
        if name in _COOLING:
            return "energy_kwh", "cooling"
        metric = _REGISTERS.get(name)
    elif unit in _VOLUME:
        if name in _COOLING:
            return "heat_carrier_m3", "cooling"
        metric = _TOTALS.get(medium) if name in _FORWARD else None
        if name in _BACKWARD and medium == "water":
            metric = "water_backward_m3"
    elif unit in POWER | {"kvar", "kva"}:
        metric = _POWERS.get(name)
    elif unit in ("m3h", "lh"):
        metric = "flow_m3h" if name in _FLOWS else None
    elif unit in ("c", "f"):
        metric = _TEMPERATURES.get(name)
    elif (name, unit) == ("voltage", "v"):
        # hydrodigit's is its battery's.
        metric = "voltage_v" if medium == "" else "battery_v"
    elif unit == "counter" and driver == "lansenpu" and name in ("a", "b"):
        return "pulse_count", name
    else:
        metric = _OTHERS.get((name, unit))
    return (metric, "") if metric is not None else None


def value_of(metric: str, unit: str, told: Any) -> float:
    """In the metric's unit. Some drivers tell reactive quantities in kWh and kW. Raises ValueError."""
    spelled = UNITS[unit]
    if metric.startswith("reactive_"):
        spelled = {"kWh": "kvarh", "kW": "kilovar"}.get(spelled, spelled)
    if isinstance(told, bool):
        raise ValueError("is true or false, expected a number")
    value = converter(metric, None if spelled == "1" else spelled)(number(told))
    if abs(value) > _LARGEST:
        raise ValueError("is larger than any number of a meter")
    return value


def ignored(name: str, unit: str) -> bool:
    """Whether a quantity without a metric is understood: of another moment, an extreme, a part, a time …"""
    if unit == "hca":
        return name not in _HEAT_COST_REGISTERS
    return unit in _NO_METRIC or unit == "counter" or unit not in UNITS or bool(_NOT_NOW.search(name))
