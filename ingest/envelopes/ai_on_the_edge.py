"""AI-on-the-edge-device, a camera that reads a meter's digits: `<main topic>/<number>/value`, `/json` …

Source: AI-on-the-edge-device documentation, "MQTT API". The main topic (`watermeter` by default) is the device; a
number other than `main` or `default` is a channel of it. Words of the main topic tell gas and electricity from water.
Units as the documentation advises: m³ and m³ a minute, kWh and kWh a minute.

`value`, `rate` and `json`, which holds both, are read. `raw` is what the camera saw before the plausibility check,
`error` what was wrong with it; the other topics describe the device. A JSON whose `error` is not "no error" holds an
old value: it is suspect, or, where `value` is empty, nothing was read.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

_METER = re.compile(
    r"(?:water|gas|power|electric(?:ity)?|energy)[-_ ]?(?:meter|counter)|(?:wasser|gas|strom)(?:zaehler|zähler|uhr)|"
    r"ai-?on-?the-?edge",
    re.IGNORECASE,
)
_OF_NUMBER = frozenset(
    ["value", "json", "raw", "error", "rate", "rate_per_time_unit", "rate_per_digitization_round", "changeabsolut",
     "timestamp", "pre"]
)  # fmt: skip
#: No other format ends in these.
_TELLING = frozenset(["rate_per_time_unit", "rate_per_digitization_round", "changeabsolut"])
_OF_DEVICE = frozenset(
    ["mac", "ip", "hostname", "interval", "connection", "uptime", "freemem", "wifirssi", "cputemp", "fwversion",
     "status", "flowstart", "ctrl", "problem"]
)  # fmt: skip
_OWN_NUMBER = frozenset(["", "main", "default"])
_NO_ERROR = frozenset(["", "no error", "none"])
#: Medium → register and rate with the factor from a minute's.
_METRICS = {
    "water": ("water_m3", "flow_m3h", 60.0),
    "gas": ("gas_m3", "flow_m3h", 60.0),
    "electricity": ("energy_kwh", "power_w", 60_000.0),
}


def _parts(topic: str) -> tuple[str, str, str]:
    """Main topic, number and what is told of it, in lower case."""
    levels = topic.split("/")
    what = levels.pop().lower()
    if what in _OF_DEVICE:
        return "/".join(levels), "", what
    at = next((n for n in range(len(levels) - 1, -1, -1) if _METER.search(levels[n])), len(levels) - 2)
    if not levels or at >= len(levels) - 1:
        return "/".join(levels), "", what  # without a number: the default one
    return "/".join(levels[:-1]), levels[-1], what


def _owns_topic(topic: str) -> bool:
    levels = topic.split("/")
    what = levels[-1].lower()
    if len(levels) < 2:
        return False
    if what in _TELLING:
        return True
    if what in _OF_NUMBER:
        return any(_METER.search(level) for level in levels[-4:-1])
    # `status` and `ip` may be anyone's; only right under the main topic they are the camera's.
    return what in _OF_DEVICE and _METER.search(levels[-2]) is not None


def _looks_like(content: Any) -> bool:
    return isinstance(content, dict) and {"value", "raw", "pre", "error"} <= content.keys()


def _medium(main: str) -> str:
    words = main.lower()
    if "gas" in words:
        return "gas"
    return "electricity" if re.search("power|electr|energy|strom", words) else "water"


def _text(payload: bytes) -> str:
    try:
        return payload.decode().strip()
    except UnicodeDecodeError as error:
        raise Undecodable(Reason.BAD_VALUE, f"it is not UTF-8 text: {error.reason}") from None


def _number(field: str, told: Any, address: str, factor: float = 1.0) -> float:
    try:
        if isinstance(told, bool):
            raise ValueError("is true or false, expected a number")
        value = number(told) * factor
        if not isfinite(value):
            raise ValueError("is larger than any number of a meter")
        return value
    except ValueError as error:
        raise Undecodable(Reason.BAD_VALUE, f"{field}: {error}", address) from None


def _reading(address: str, main: str, content: dict[str, Any], zone: ZoneInfo, received_us: int) -> Uplink:
    register, flow, factor = _METRICS[_medium(main)]
    error = content.get("error")
    error = error.strip()[:200] if isinstance(error, str) else ""
    failed = error.lower() not in _NO_ERROR
    if content.get("value") in (None, ""):
        told = f"the camera could not read the meter: {error}" if failed else "the camera has no value yet"
        raise Undecodable(Reason.NO_READINGS, told, address)
    problems: list[tuple[Reason, str]] = []
    metrics = {register: _number("value", content["value"], address)}
    if failed:
        problems.append((Reason.BAD_VALUE, f"the camera told an error, its value is an old one: {error}"))
    elif content.get("rate") not in (None, ""):
        try:
            metrics[flow] = _number("rate", content["rate"], address, factor)
        except Undecodable as refused:
            problems.append((refused.reason, refused.detail))
    time_us = None
    if content.get("timestamp") not in (None, ""):
        try:
            time_us = parse_time_us(content["timestamp"], zone, received_us)
        except ValueError as refused:
            problems.append((Reason.BAD_VALUE, f"timestamp: {refused}"))
    suspect = frozenset(metrics) if failed else frozenset()
    return Uplink(address, time_us, metrics=metrics, problems=problems, suspect=suspect)


def make(zone: ZoneInfo) -> list[Envelope]:
    """The envelope for cameras; times without a zone are those of `zone`."""

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        main, name, what = _parts(topic)
        address = device_address(main)
        channel = "" if name.lower() in _OWN_NUMBER else device_address(name)[:40]
        if what == "json" or (what not in _OF_NUMBER | _OF_DEVICE and payload.lstrip()[:1] == b"{"):
            uplink = _reading(address, main, json_object(payload), zone, received_us)
        elif what == "value":
            uplink = _reading(address, main, {"value": _text(payload)}, zone, received_us)
        elif what == "rate":
            _, flow, factor = _METRICS[_medium(main)]
            told = _text(payload)
            if not told:
                raise NotAReading("a camera's rate without a value")
            uplink = Uplink(address, None, metrics={flow: _number("rate", told, address, factor)})
        elif what == "wifirssi":
            uplink = Uplink(address, None, metrics={}, signal={"rssi_dbm": _number(what, _text(payload), address)})
        else:
            raise NotAReading(f"the camera's {what[:40]}")
        uplink.channel = channel
        return [uplink]

    return [Envelope("ai_on_the_edge", "AI-on-the-edge", _owns_topic, _looks_like, decode, rank=20)]
