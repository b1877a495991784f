"""wmbusmeters' JSON: telegrams of wireless M-Bus meters of any driver.

Source: wmbusmeters' documentation, "JSON output" and "driver" files. Names end in their unit; `media` says what is
measured. `total_…` is the register; at a set date, of last month or year, targets, maxima and tariffs are not. `id` is
the serial number as text, leading zeros included. `meter_datetime` is the meter's own local clock and is taken where it
lies within a day of the reception; `timestamp` is when the telegram was received.

`status` holds flags. One that tells of a failed measurement (ERROR, INTERRUPTED, SHORT, OVERFLOW, MEASUREMENT, FAIL)
makes momentary values suspect; PERMANENT among them makes registers suspect too. Others (dry, leak, burst, backward,
tamper, battery) say nothing against the values.

Where the medium tells no more than the radio ("radio converter"), the driver tells that it is water. The pulse inputs
of a pulse counter are its channels a and b. A telegram with nothing but registers of other days, heat cost units or
average temperatures is no reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from catalogue.metrics import metrics
from ingest.clock import parse_time_us
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable
from ingest.numbers import finite, number

_DAY_US = 86_400_000_000

#: Field → metric and factor, for every medium.
_ANY: dict[str, tuple[str, float]] = {
    "flow_m3h": ("flow_m3h", 1),
    "volume_flow_m3h": ("flow_m3h", 1),
    "current_volume_flow_m3h": ("flow_m3h", 1),
    "current_flow_m3h": ("flow_m3h", 1),
    "flow_water_m3h": ("flow_m3h", 1),
    "power_kw": ("power_w", 1000),
    "current_power_kw": ("power_w", 1000),
    "current_power_consumption_kw": ("power_w", 1000),
    "temperature_c": ("temperature_c", 1),
    "current_temperature_c": ("temperature_c", 1),
    "relative_humidity_rh": ("humidity_pct", 1),
    "current_relative_humidity_rh": ("humidity_pct", 1),
    "pressure_bar": ("pressure_bar", 1),
    "battery_v": ("battery_v", 1),
    "temp_room_c": ("temperature_c", 1),
    "room_temperature_c": ("temperature_c", 1),
    "co2_ppm": ("co2_ppm", 1),
    "co2_concentration_ppm": ("co2_ppm", 1),
}

_HEAT: dict[str, tuple[str, float]] = {
    **dict.fromkeys(
        (
            "total_energy_consumption_kwh", "total_kwh", "total_energy_kwh", "total_heating_kwh",
            "total_heat_energy_kwh", "heat_kwh", "current_kwh",
        ),
        ("energy_kwh", 1.0),
    ),
    **dict.fromkeys(("total_energy_consumption_mj", "total_energy_mj"), ("energy_kwh", 1 / 3.6)),
    **dict.fromkeys(("total_energy_consumption_gj", "total_energy_gj", "total_gj"), ("energy_kwh", 1 / 0.0036)),
    **dict.fromkeys(
        ("total_volume_m3", "total_m3", "volume_m3", "total_heating_m3", "total_water_m3"), ("heat_carrier_m3", 1.0)
    ),
    **dict.fromkeys(
        (
            "flow_temperature_c", "forward_c", "forward_temperature_c", "supply_temperature_c", "t1_temperature_c",
            "flow_c",
        ),
        ("supply_temperature_c", 1.0),
    ),
    **dict.fromkeys(("return_temperature_c", "return_c", "t2_temperature_c"), ("return_temperature_c", 1.0)),
}  # fmt: skip

_WATER: dict[str, tuple[str, float]] = {
    **dict.fromkeys(("total_m3", "total_volume_m3", "total_water_m3", "volume_m3"), ("water_m3", 1.0)),
    **dict.fromkeys(("total_backward_m3", "total_backwards_m3"), ("water_backward_m3", 1.0)),
    **dict.fromkeys(("flow_temperature_c", "water_temperature_c"), ("temperature_c", 1.0)),
    "voltage_v": ("battery_v", 1),
}

_ELECTRICITY: dict[str, tuple[str, float]] = {
    **dict.fromkeys(
        (
            "total_energy_consumption_kwh", "total_kwh", "total_energy_kwh", "positive_total_active_energy_kwh",
            "total_active_positive_3phase_kwh",
        ),
        ("energy_kwh", 1.0),
    ),
    **dict.fromkeys(
        ("total_energy_production_kwh", "negative_total_active_energy_kwh", "total_active_negative_3phase_kwh"),
        ("energy_export_kwh", 1.0),
    ),
    "total_reactive_energy_consumption_kvarh": ("reactive_energy_kvarh", 1),
    "active_power_overall_kw": ("power_w", 1000),
    "active_consumption_kw": ("power_w", 1000),
    "active_positive_3phase_kw": ("power_w", 1000),
    "reactive_power_overall_kw": ("reactive_power_var", 1000),
    "frequency_hz": ("frequency_hz", 1),
    "power_factor": ("power_factor", 1),
    "voltage_v": ("voltage_v", 1),
    "current_a": ("current_a", 1),
    **{
        name.format(phase): (f"{metric}_l{phase}_{unit}", 1.0)
        for phase in (1, 2, 3)
        for name, metric, unit in (
            ("voltage_at_phase_{}_v", "voltage", "v"),
            ("voltage_l{}_n_v", "voltage", "v"),
            ("voltage_l{}_v", "voltage", "v"),
            ("current_at_phase_{}_a", "current", "a"),
            ("current_l{}_a", "current", "a"),
        )
    },
    **{
        name.format(phase): (f"power_l{phase}_w", 1000.0)
        for phase in (1, 2, 3)
        for name in (
            "power_l{}_kw", "power_at_phase_{}_kw", "active_power_l{}_kw", "current_power_consumption_phase{}_kw",
            "active_consumption_l{}_kw",
        )
    },
}  # fmt: skip

_GAS: dict[str, tuple[str, float]] = dict.fromkeys(("total_m3", "total_volume_m3"), ("gas_m3", 1.0))

#: Drivers of water meters whose telegrams give the radio, or nothing, as medium.
_WATER_DRIVERS = frozenset(
    {"apator162", "apator172", "apatorna1", "aventieswm", "dme_07", "emerlin868", "ev200", "evo868",
     "flowiq2200", "flowiq3100", "hydrodigit", "hydrus", "iperl", "itron", "izar", "izarv2", "kamwater", "lse_07_17",
     "maddalena", "minomess", "mkradio3", "mkradio3a", "mkradio4", "mkradio4a", "multical21", "picoflux", "qwater",
     "qwaterv2", "rfmtx1", "supercom587", "topaseskr", "ultrimis", "waterstarm", "watertech", "weh_07", "werhlemodwm",
     "wme5"}
)  # fmt: skip
#: What Kamstrup's water meters send instead of a temperature that they do not measure.
_NO_TEMPERATURE = 127.0
_NOT_NOW = re.compile(r"target|prev|last_|set_date|due_date|history|_avg|hca|radiator|_at_error|season")

#: Understood and not wanted: those, extremes, tariffs, periods, hours of operation; pulse inputs are read apart.
_KNOWINGLY = re.compile(
    _NOT_NOW.pattern + r"|^(min|max|partial|previous|due)_|_(min|max)_|_tariff_?\d|_period|_(on|operating|error)_time"
    r"|^(on|operating)_time|_duration_|_at_date|^[ab]_counter$|_power_production_kw$"
)

#: What a telegram tells about itself.
_ABOUT = frozenset(
    {"_", "id", "media", "meter", "name", "timestamp", "meter_datetime", "device_datetime", "meter_date", "status",
     "current_status", "device", "rssi_dbm", "customer", "fabrication_no", "enhanced_id", "model_version"}
)  # fmt: skip
_DOUBTS = ("ERROR", "INTERRUPTED", "SHORT", "OVERFLOW", "MEASUREMENT", "FAIL")


def _owns_topic(topic: str) -> bool:
    return topic.startswith("wmbusmeters/")


def _looks_like(content: Any) -> bool:
    return isinstance(content, dict) and (
        content.get("_") == "telegram" or all(name in content for name in ("media", "meter", "id", "timestamp"))
    )


def _fields_of(media: str, driver: str) -> Mapping[str, tuple[str, float]]:
    medium = media.lower()
    if (medium.startswith("heat") and "alloc" not in medium) or "cooling" in medium:
        return _HEAT
    if "water" in medium:
        return _WATER
    if medium == "electricity":
        return _ELECTRICITY
    if medium == "gas":
        return _GAS
    return _WATER if driver in _WATER_DRIVERS else {}


def _power(content: Mapping[str, Any], uplink: Uplink) -> None:
    """What is drawn minus what is fed in, of meters that tell both."""
    assert uplink.metrics is not None
    told = content.get("current_power_production_kw")
    if told is not None and "current_power_consumption_kw" in content and "power_w" in uplink.metrics:
        try:
            uplink.metrics["power_w"] -= finite(number(told) * 1000)
        except ValueError as error:
            uplink.problems.append((Reason.BAD_VALUE, f"current_power_production_kw: {error}"))


def _inputs(content: Mapping[str, Any], uplink: Uplink) -> list[Uplink | Announcement]:
    """The pulse inputs `a_counter` and `b_counter` of a pulse counter: its channels a and b."""
    found: list[Uplink | Announcement] = []
    for channel in ("a", "b") if str(content.get("meter")) == "lansenpu" else ():
        told = content.get(f"{channel}_counter")
        try:
            if told is not None:
                counted = {"pulse_count": finite(number(told))}
                found.append(Uplink(uplink.address, uplink.time_us, metrics=counted, channel=channel))
        except ValueError as error:
            uplink.problems.append((Reason.BAD_VALUE, f"{channel}_counter: {error}"))
    return found


def _states(content: Mapping[str, Any]) -> dict[str, float]:
    """What the status of a detector of doors tells."""
    flags = str(content.get("status", "")).upper().split()
    if str(content.get("meter")) != "lansendw":
        return {}
    return {"contact_open": 1.0} if "OPEN" in flags else {"contact_open": 0.0} if "CLOSED" in flags else {}


def make(zone: ZoneInfo) -> list[Envelope]:
    """The envelope for meters whose own clocks run in `zone`."""

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        content = json_object(payload)
        told = content.get("id")
        if not isinstance(told, str | int) or isinstance(told, bool):
            raise Undecodable(Reason.NO_DEVICE, 'it has no "id", the serial number of the meter')
        address = device_address(str(told))
        uplink = Uplink(address, _time_us(content, zone, received_us), metrics={})
        assert uplink.metrics is not None
        fields = _fields_of(str(content.get("media", "")), str(content.get("meter", "")))
        unknown = []
        for name, value in content.items():
            metric, factor = fields.get(name) or _ANY.get(name) or ("", 0.0)
            if not metric:
                if name not in _ABOUT and isinstance(value, int | float):
                    unknown.append(name)
                continue
            if value is None or metric in uplink.metrics:
                continue
            try:
                uplink.metrics[metric] = finite(number(value) * factor)
            except ValueError as error:
                uplink.problems.append((Reason.BAD_VALUE, f"{name}: {error}"))
        if fields is _WATER and uplink.metrics.get("temperature_c") == _NO_TEMPERATURE:
            del uplink.metrics["temperature_c"]
        _power(content, uplink)
        uplink.metrics.update(_states(content))
        inputs = _inputs(content, uplink)
        uplink.unknown = tuple(name for name in unknown if not _KNOWINGLY.search(name))
        uplink.suspect = _suspect(content, uplink.metrics)
        if content.get("rssi_dbm") is not None:
            try:
                uplink.signal = {"rssi_dbm": number(content["rssi_dbm"])}
            except ValueError as error:
                uplink.problems.append((Reason.BAD_VALUE, f"rssi_dbm: {error}"))
        if inputs and not uplink.metrics and not uplink.problems:
            return inputs
        if not uplink.metrics and not uplink.problems and unknown and all(map(_NOT_NOW.search, unknown)):
            raise NotAReading("a telegram with registers of other days or of heat cost units only")
        return [uplink, *inputs]

    return [Envelope("wmbusmeters", "wmbusmeters", _owns_topic, _looks_like, decode, rank=10)]


def _suspect(content: Mapping[str, Any], found: Mapping[str, float]) -> frozenset[str]:
    """Metrics that the meter itself doubts."""
    flags = " ".join(str(content.get(name, "")) for name in ("status", "current_status")).upper()
    if not any(word in flags for word in _DOUBTS):
        return frozenset()
    permanent = "PERMANENT" in flags
    return frozenset(name for name in found if permanent or metrics()[name].kind != "counter")


def _time_us(content: Mapping[str, Any], zone: ZoneInfo, received_us: int) -> int | None:
    """The meter's own time if it can be right, else when the telegram was received, else nothing."""
    for name, tolerance_us in (("meter_datetime", _DAY_US), ("device_datetime", _DAY_US), ("timestamp", None)):
        value = content.get(name)
        if not isinstance(value, str) or not value:
            continue
        try:
            time_us = parse_time_us(value, zone, received_us)
        except (ValueError, OverflowError):
            continue
        if tolerance_us is None or -tolerance_us <= time_us - received_us <= 0:
            return time_us
    return None
