"""Tasmota's telemetry: `tele/<topic>/SENSOR`, and the same asked for: `stat/<topic>/STATUS8` and `STATUS10`.

Source: Tasmota documentation, "MQTT", "Power Monitoring", "Supported Peripherals", "Smart Meter Interface",
"Teleinfo". The device is named only by its topic. `Time` is the device's local wall clock without a zone. `STATE`,
`INFO`, `LWT`, `RESULT`, `UPTIME` and commands are no readings; `INFO1` and the discovery tell the model.

A message holds a block a sensor. What a profile gets:

- Temperatures in °C and pressures in hPa, whatever `TempUnit` and `PressureUnit` say.
- `ENERGY`, `TIC` and the first of all other blocks for the device itself. A second sensor of the same quantity, one
  with an index above 1 (`DS18B20-2`), any climate sensor beside a meter and every counter input but `C1` is a channel
  with the name of its block or input in lower case (`ds18b20-2`, `c2`); its fields stand under the name without index,
  those of an input under `COUNTER.C1`. So no sensor overwrites another's values.
- A Bluetooth sensor that the device relays (a block with `mac` or `RSSI`) as channel, its fields under `BLE`.
- A block of the Smart Meter Interface, whose names people choose freely, under `SML`, with its usual labels unified:
  `E_in`, `E_out` (kWh), `Power` (W), `Power_L1` …, `Voltage_L1` … (V), `Current_L1` … (A), `Frequency` (Hz).
"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from catalogue.inventory import normal_address
from ingest.clock import parse_time_us
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable

# Tasmota's FullTopic may be %prefix%/%topic%/ (its default), %topic%/%prefix%/, or have more levels around.
_PREFIXES = frozenset({"tele", "stat", "cmnd"})
_SUFFIX = re.compile(r"^[A-Z0-9_]+$")
_READINGS = frozenset({"SENSOR", "ENERGY", "STATUS8", "STATUS10"})
_DISCOVERY = "tasmota/discovery/"

_INDEX = re.compile(r"^(?P<base>.+?)[-_](?P<index>(?:0x)?[0-9A-Fa-f]{1,2})$")
_TEMPERATURE = re.compile(r"^(?:Temperature\d?|DewPoint)$")
_PRESSURE = frozenset({"Pressure", "SeaPressure"})
_HPA = {"mmHg": 1.3332236842, "inHg": 33.863886667, "hPa": 1.0}
_CLIMATE = frozenset(
    {"Temperature", "Humidity", "Pressure", "CarbonDioxide", "eCO2", "Illuminance", "Distance", "PM25"}
)
_NO_SENSORS = frozenset(
    {"ESP32", "IrReceived", "RfReceived", "PN532", "RDM6300", "RC522", "Wiegand", "BLEOperation", "DALI"}
)
#: Blocks that are no sensor's name but tell as much.
_TOLD = {"TIC": "Teleinfo", "SML": "Smart Meter Interface", "BLE": "Tasmota Bluetooth"}
_MOST_BLOCKS = 64


def _labels() -> dict[str, str]:
    """Usual labels of Smart Meter Interface scripts, as `_folded`, and what they are called here."""
    usual = {
        "E_in": "ein totalin energyin totalimport eimport ebezug bezug 180 ei etotalin totalconsumption totalkwh",
        "E_out": "eout totalout energyout totalexport eexport einspeisung lieferung 280 eo etotalout",
        "Power": "power powercurr powercur powertotal poweractual pcurr leistung 1670 currentpower pact powerin wcurr",
        "Voltage": "voltage u spannung",
        "Current": "current i strom",
        "Frequency": "frequency freq hz frequenz 1470",
    }
    labels = {folded: label for label, names in usual.items() for folded in names.split()}
    for phase, obis in (("1", "3"), ("2", "5"), ("3", "7")):
        names = f"voltagel{phase} ul{phase} voltp{phase} voltagep{phase} u{phase} l{phase}voltage spannungl{phase}"
        labels |= dict.fromkeys(names.split(), f"Voltage_L{phase}") | {f"{obis}270": f"Voltage_L{phase}"}
        names = f"powerl{phase} powerp{phase} pl{phase} p{phase} l{phase}power leistungl{phase} powercurrl{phase}"
        labels |= dict.fromkeys(names.split(), f"Power_L{phase}") | {f"{obis}670": f"Power_L{phase}"}
        names = f"currentl{phase} il{phase} ampp{phase} currentp{phase} i{phase} l{phase}current stroml{phase}"
        labels |= dict.fromkeys(names.split(), f"Current_L{phase}") | {f"{obis}170": f"Current_L{phase}"}
    return labels


_LABELS = _labels()
#: Labels that other sensors have too: they alone make no meter.
_COMMON = frozenset({"Power", "Voltage", "Current", "Frequency"})


def _place(topic: str) -> tuple[str, str, str] | None:
    """Device, prefix and suffix of a topic."""
    levels = topic.split("/")
    if len(levels) < 3 or not _SUFFIX.match(levels[-1]):
        return None
    at = next((index for index, level in enumerate(levels[:-1]) if level in _PREFIXES), None)
    if at is None:
        return None
    return "/".join(levels[:at] + levels[at + 1 : -1]), levels[at], levels[-1]


def _owns_topic(topic: str) -> bool:
    return topic.startswith(_DISCOVERY) or _place(topic) is not None


def _looks_like(content: Any) -> bool:
    return False  # without its topic a Tasmota message has no device


def _uplinks(address: str, time_us: int | None, content: dict[str, Any]) -> list[Uplink | Announcement]:
    """The device's own uplink, and one for each further sensor."""
    _to_metric_units(content)
    main: dict[str, Any] = {}
    extras: dict[str, dict[str, Any]] = {}
    taken: set[str] = set()
    metered = any(isinstance(content.get(name), dict) for name in ("ENERGY", "TIC"))
    for name, block in list(content.items())[:_MOST_BLOCKS]:
        meter = _script_meter(name, block)
        if meter is not None:
            if "SML" in main or (metered and name != "ENERGY"):
                extras[name] = {"SML": meter}
            else:
                main["SML"] = meter
        elif name == "COUNTER" and isinstance(block, dict):
            for counter, count in list(block.items())[:_MOST_BLOCKS]:
                if counter == "C1" and not metered:
                    main[name] = {counter: count}
                else:
                    extras[counter] = {name: {"C1": count}}
        elif not isinstance(block, dict) or name in ("ENERGY", "TIC", "ESP32") or not _CLIMATE & block.keys():
            main[name] = block
        elif "mac" in block or "RSSI" in block:
            extras[name] = {"BLE": block}
        else:
            base, further = _without_index(name)
            quantities = _CLIMATE & block.keys()
            if further or metered or base in main or taken & quantities:
                extras[name] = {base: block}
            else:
                main[base] = block
                taken |= quantities
    if "SML" in main and taken:
        # A meter's script came after a sensor: the meter is the device.
        for name in [name for name, block in main.items() if isinstance(block, dict) and _CLIMATE & block.keys()]:
            extras[name] = {name: main.pop(name)}
    found: list[Uplink | Announcement] = []
    if any(isinstance(block, dict) and name not in _NO_SENSORS for name, block in main.items()):
        found.append(Uplink(address, time_us, fields=main, profile_names=_names(address, main)))
    for name, fields in extras.items():
        # As the inventory writes the address of a channel that is a device of its own.
        channel = normal_address(name)[:40]
        if channel.isprintable() and channel:
            found.append(Uplink(address, time_us, fields=fields, profile_names=_names("", fields), channel=channel))
    if not found:
        raise NotAReading("Tasmota's telemetry without a sensor")
    return found


def _names(address: str, fields: dict[str, Any]) -> tuple[str, ...]:
    """What tells the model: the topic, in which people write it, and the sensors' names, a distance's before others."""
    sensors = {name[:40]: _CLIMATE & block.keys() for name, block in fields.items() if isinstance(block, dict)}
    measuring = [name for name, quantities in sensors.items() if "Distance" in quantities]
    measuring = measuring or [name for name, quantities in sensors.items() if quantities and name not in _NO_SENSORS]
    meters = [told for block, told in _TOLD.items() if block in fields]
    return tuple(name for name in (address, *measuring, *meters) if name)


def _without_index(name: str) -> tuple[str, bool]:
    """A sensor's name without index, and whether it is the second or a later one."""
    match = _INDEX.match(name)
    if match is None:
        return name, False
    index = match["index"]
    # 76, 77 and 0x44 are addresses on a bus: which is the first, only the message tells.
    return match["base"], index.isdecimal() and len(index) <= 2 and 1 < int(index) <= 32


def _script_meter(name: str, block: Any) -> dict[str, Any] | None:
    """A block of the Smart Meter Interface with its usual labels; None if it is something else."""
    if not isinstance(block, dict) or name == "TIC" or (name == "ENERGY" and "Total" in block):
        return None
    known = {label: _LABELS.get(_folded(label)) for label in block}
    telling = {label for label in known.values() if label} - (_COMMON if name != "SML" else frozenset())
    if not telling or "Temperature" in block:
        return None
    meter: dict[str, Any] = {}
    for label, value in block.items():
        unified = known[label] or label
        meter.setdefault(unified if unified not in meter else label, value)
    return meter


def _folded(label: str) -> str:
    return "".join(character for character in label[:40].lower() if character.isascii() and character.isalnum())


def _to_metric_units(content: dict[str, Any]) -> None:
    fahrenheit = content.get("TempUnit") == "F"
    unit = content.get("PressureUnit")
    factor = _HPA.get(unit, 1.0) if isinstance(unit, str) else 1.0
    for block in content.values():
        if isinstance(block, dict) and "PM2.5" in block:
            block["PM25"] = block.pop("PM2.5")  # a dot parts the names of a path
        for key, value in block.items() if isinstance(block, dict) else ():
            number = _number(value) if fahrenheit and _TEMPERATURE.match(key) else None
            if number is not None:
                block[key] = round((number - 32) / 1.8, 3)
            number = _number(value) if factor != 1.0 and key in _PRESSURE else None
            if number is not None:
                block[key] = round(number * factor, 2)
    if fahrenheit:
        content["TempUnit"] = "C"


def _number(value: Any) -> float | None:
    """A number, also as text as older firmware writes it; what is none stays as it is for the profile to refuse."""
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None


def _discovered(topic: str, payload: bytes) -> list[Uplink | Announcement]:
    if not topic.endswith("/config"):
        raise NotAReading("Tasmota's discovery")
    content = json_object(payload)
    told = {"model": "md", "name": "dn", "serial": "mac", "firmware": "sw"}
    facts = {fact: content[key][:100] for fact, key in told.items() if isinstance(content.get(key), str)}
    own = content.get("t")
    return [Announcement(device_address(own if isinstance(own, str) else ""), facts)]


def make(zone: ZoneInfo) -> list[Envelope]:
    """The envelope for devices whose clocks run in `zone`."""

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        if topic.startswith(_DISCOVERY):
            return _discovered(topic, payload)
        place = _place(topic)
        if place is None:
            raise Undecodable(Reason.NO_DEVICE, "a Tasmota device is named only by its topic tele/<device>/SENSOR")
        name, prefix, suffix = place
        if (prefix, suffix) == ("tele", "INFO1"):
            return _informed(device_address(name), json_object(payload))
        if prefix == "cmnd" or suffix not in _READINGS:
            raise NotAReading(f"Tasmota's {suffix[:40]}")
        address = device_address(name)
        content = json_object(payload)
        if isinstance(content.get("StatusSNS"), dict):
            content = content["StatusSNS"]
        told = content.pop("Time", None)
        epoch = content.pop("Epoch", None)
        told = epoch if told is None else told
        try:
            time_us = None if told is None else parse_time_us(told, zone, received_us)
        except ValueError as error:
            raise Undecodable(Reason.BAD_VALUE, f"Time: {error}", address) from None
        if suffix == "ENERGY":
            content = {"ENERGY": content}
        return _uplinks(address, time_us, content)

    return [Envelope("tasmota", "Tasmota", _owns_topic, _looks_like, decode)]


def _informed(address: str, content: dict[str, Any]) -> list[Uplink | Announcement]:
    inner = content.get("Info1")
    told = inner if isinstance(inner, dict) else content
    facts = {
        fact: told[key][:100]
        for fact, key in {"model": "Module", "firmware": "Version"}.items()
        if isinstance(told.get(key), str)
    }
    return [Announcement(address, facts)]
