"""wmbusmeters' JSON: telegrams of wireless M-Bus meters of any driver.

Source: wmbusmeters' documentation, "JSON output" and "driver" files. Names end in their unit; `media` says what is
measured. `total_…` is the register; at a set date, of last month or year, targets, maxima and tariffs are not. `id` is
the serial number as text, leading zeros included. `meter_datetime` is the meter's own local clock and is taken where it
lies within a day of the reception; `timestamp` is when the telegram was received.

`status` holds flags. One that tells of a failed measurement (ERROR, INTERRUPTED, SHORT, OVERFLOW, MEASUREMENT, FAIL)
makes momentary values suspect; PERMANENT among them makes registers suspect too. Others (dry, leak, burst, backward,
tamper, battery) say nothing against the values.
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
    "battery_voltage_v": ("battery_v", 1),
    "gas_temperature_c": ("temperature_c", 1),
    "room_temperature_c": ("temperature_c", 1),
    "carbon_dioxide_ppm": ("co2_ppm", 1),
    "current_co2_ppm": ("co2_ppm", 1),
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
        for name in ("power_l{}_kw", "current_power_consumption_phase{}_kw", "active_power_l{}_kw")
    },
}  # fmt: skip

_GAS: dict[str, tuple[str, float]] = dict.fromkeys(("total_m3", "total_volume_m3"), ("gas_m3", 1.0))

#: Drivers of radio modules, whose medium says nothing of what they count.
_DRIVERS = {"emerlin868": _WATER, "ev200": _WATER}
#: Pulse inputs: each is a channel of its own.
_PULSES = {"a_counter": "a", "b_counter": "b"}

#: What is no state of now: registers at a set date, of a past or a running period, of one tariff; extremes; clocks.
_OTHER_TIMES = re.compile(
    r"^(target|prev|previous|last|max|min|due|partial|history)_|_(target|tariff_?\d|period|month|year|last_month|last_year)_"
    r"|_at_(set_)?date_|_(on|operating|error)_time|^(on|operating)_time|_duration_|_period_"
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


def _fields_of(media: str) -> Mapping[str, tuple[str, float]]:
    medium = media.lower()
    if (medium.startswith("heat") and "alloc" not in medium) or "cooling" in medium:
        return _HEAT
    if "water" in medium:
        return _WATER
    if medium == "electricity":
        return _ELECTRICITY
    return _GAS if medium == "gas" else {}


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
        fields = _DRIVERS.get(str(content.get("meter", ""))) or _fields_of(str(content.get("media", "")))
        unknown: list[str] = []
        pulses: list[Uplink] = []
        for name, value in content.items():
            metric, factor = fields.get(name) or _ANY.get(name) or ("", 0.0)
            if not metric:
                if name in _PULSES and isinstance(value, int | float) and not isinstance(value, bool):
                    pulses.append(
                        Uplink(address, uplink.time_us, metrics={"pulse_count": value}, channel=_PULSES[name])
                    )
                elif name not in _ABOUT and isinstance(value, int | float) and not _OTHER_TIMES.search(name):
                    unknown.append(name)
                continue
            if value is None or metric in uplink.metrics:
                continue
            try:
                uplink.metrics[metric] = finite(number(value) * factor)
            except ValueError as error:
                uplink.problems.append((Reason.BAD_VALUE, f"{name}: {error}"))
        uplink.unknown = tuple(unknown)
        uplink.suspect = _suspect(content, uplink.metrics)
        if content.get("rssi_dbm") is not None:
            try:
                uplink.signal = {"rssi_dbm": number(content["rssi_dbm"])}
            except ValueError as error:
                uplink.problems.append((Reason.BAD_VALUE, f"rssi_dbm: {error}"))
        if pulses and not uplink.metrics:
            return [*pulses]
        if not uplink.metrics and not unknown and not uplink.problems and not uplink.signal:
            raise NotAReading("a telegram that tells of other times alone")
        return [uplink, *pulses]

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
