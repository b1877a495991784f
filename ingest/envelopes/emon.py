"""OpenEnergyMonitor's emonHub and emonCMS: `emon/<node>/<input>` with a number, `emon/<node>` with JSON.

Sources: emonHub documentation, "MQTT interfacer" and "Configuration" (`names`, `scales`, `units` of each node),
emonCMS documentation, "MQTT" (`time` in seconds or as text), the decoders of emonPi, emonTx, emonTH and SDM120.

Units as the firmware's decoders give them: power W, energy `e1` … Wh (`EI`, `EE` of an SDM120 kWh), voltage V, battery
V, temperature °C, humidity %, pulses a running count. The first input of a kind is the device's own, input 2 and later
are the channels `2`, `3` …; an external temperature is the channel `external`. emonHub's older
`emonhub/rx/<node>/values` has values by position without names and cannot be read.
"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes._moments import Moments
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

_TOPIC = re.compile(r"^(?:[^/]+/)*?emon/(?P<node>[^/]+)(?:/(?P<input>[^/]+))?$")
_HUB = re.compile(r"^emonhub/(?P<way>rx|tx)/(?P<node>[^/]+)(?:/(?P<what>[^/]+))?$")
_INPUT = re.compile(r"^(?P<name>[a-z]+?)(?P<index>\d{0,2})$")
_FOLD = re.compile(r"[^a-z0-9]+")

# Name without its number → metric, unit (of `_units`; None: the metric's own).
_NAMES: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(("power", "p", "realpower"), ("power_w", "W")),
    **dict.fromkeys(("e", "energy", "wh", "watthour", "watthours"), ("energy_kwh", "Wh")),
    **dict.fromkeys(("ei", "kwh"), ("energy_kwh", "kWh")),
    **dict.fromkeys(("vrms", "voltage"), ("voltage_v", "V")),
    **dict.fromkeys(("irms", "i", "current"), ("current_a", "A")),
    **dict.fromkeys(("pulse", "pulsecount", "pulses"), ("pulse_count", None)),
    **dict.fromkeys(("temp", "temperature", "t"), ("temperature_c", "degC")),
    **dict.fromkeys(("humidity", "rh"), ("humidity_pct", "%")),
    **dict.fromkeys(("freq", "frequency", "fr", "f"), ("frequency_hz", "Hz")),
    **dict.fromkeys(("pf", "powerfactor"), ("power_factor", None)),
    "ee": ("energy_export_kwh", "kWh"), "va": ("apparent_power_va", "VA"), "var": ("reactive_power_var", "var"),
    "battery": ("battery_v", "V"), "vbat": ("battery_v", "V"), "batteryvoltage": ("battery_v", "V"),
    "co": ("co2_ppm", "ppm"),
}  # fmt: skip
_TEMPERATURES = {"externaltemperature": "external", "external": "external", "internaltemperature": "",
                 "tempex": "external", "tempin": ""}  # fmt: skip
#: Counters of messages, states, and sums of inputs that are told on their own too.
_IGNORED = re.compile(r"^(?:msg|error|status|nodeid|node|uptime|heap|power\d?(?:_?plus_?power\d?)+|analog\d?|pfa|time|"
                      r"r[ie]|import|export|solar|use|digital\d?|hour|day|month|year|minute|second)$")  # fmt: skip
_MOST_INPUTS = 300


def _owns_topic(topic: str) -> bool:
    return _TOPIC.match(topic) is not None or topic.startswith("emonhub/")


def _meaning(name: str) -> tuple[str, str | None, str] | None:
    """Metric, unit and channel of an input's name."""
    folded = _FOLD.sub("", name.lower()) if len(name) <= 60 else ""
    if folded in _TEMPERATURES:
        return "temperature_c", "degC", _TEMPERATURES[folded]
    if folded == "co2":
        return "co2_ppm", "ppm", ""
    match = _INPUT.match(folded)
    if match is None:
        return None
    index = int(match["index"] or 1)
    if match["name"] == "v":
        # emonPi2 and emonTx4 number the phases.
        return (f"voltage_l{index}_v" if match["index"] in ("1", "2", "3") else "voltage_v"), "V", ""
    found = _NAMES.get(match["name"])
    if found is None:
        return None
    return found[0], found[1], str(index) if index > 1 else ""


class _Frame:
    """The inputs of one node at one moment."""

    def __init__(self, address: str, time_us: int | None) -> None:
        self._address = address
        self._time_us = time_us
        self._moments = Moments()
        self._signal: dict[str, float] = {}

    def put(self, name: str, told: Any) -> None:
        if name.strip().lower() == "rssi":
            try:
                self._signal["rssi_dbm"] = number(told)
            except ValueError as error:
                self._moments.problem(Reason.BAD_VALUE, f"rssi: {error}")
            return
        meaning = _meaning(name)
        if meaning is None:
            if not _IGNORED.match(name.strip().lower()[:60]) and not isinstance(told, list | dict):
                self._moments.unknown(name)
            return
        metric, unit, channel = meaning
        self._moments.add(
            self._address, self._time_us, metric, told, field=name, symbol=unit, channel=channel
        )  # fmt: skip

    def uplinks(self) -> list[Uplink | Announcement]:
        if not self._signal:
            found = self._moments.result(self._address)
            if not found:
                raise NotAReading("emonHub's message without a reading")
            return found
        try:
            found = self._moments.result()
        except Undecodable as error:
            problem = (error.reason, error.detail)
            return [Uplink(self._address, self._time_us, metrics={}, signal=self._signal, problems=[problem])]
        own = next((uplink for uplink in found if isinstance(uplink, Uplink) and not uplink.channel), None)
        if own is None:
            own = Uplink(self._address, self._time_us, metrics={})
            found.append(own)
        own.signal = self._signal
        return found


def _from_hub(topic: str) -> list[Uplink | Announcement]:
    match = _HUB.match(topic)
    if match is None or match["way"] == "tx":
        raise NotAReading("a command or state of emonHub")
    if match["what"] == "rssi":
        raise NotAReading("emonHub's signal strength without the node's name")
    raise Undecodable(
        Reason.UNKNOWN_PROFILE,
        "emonHub sent values by position, without names; set nodevar_format_enable = 1 in the MQTT interfacer of "
        "emonhub.conf and names for the node, then it sends emon/<node>/<input>",
        device_address(match["node"]),
    )


def make(zone: ZoneInfo) -> list[Envelope]:
    """The envelope for emonHub and emonCMS; times without a zone are those of `zone`."""

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        match = _TOPIC.match(topic)
        if match is None:
            return _from_hub(topic)
        address = device_address(match["node"])
        if match["input"] is not None:
            frame = _Frame(address, None)
            frame.put(match["input"], _text(payload, address))
            return frame.uplinks()
        if payload.strip()[:1] not in (b"{", b"["):
            _text(payload, address)
            raise Undecodable(
                Reason.BAD_STRUCTURE, "values of a node without names: expected emon/<node>/<input> or JSON", address
            )
        content = json_object(payload)
        told = content.pop("time", None)
        try:
            time_us = None if told is None else parse_time_us(told, zone, received_us)
        except ValueError as error:
            raise Undecodable(Reason.BAD_VALUE, f"time: {error}", address) from None
        frame = _Frame(address, time_us)
        for name, value in list(content.items())[:_MOST_INPUTS]:
            frame.put(name, value)
        return frame.uplinks()

    return [Envelope("emon", "emonHub", _owns_topic, lambda content: False, decode, rank=10)]


def _text(payload: bytes, address: str) -> str:
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError as error:
        raise Undecodable(Reason.BAD_VALUE, f"it is not UTF-8 text: {error.reason}", address) from None
    if text.lower() in ("", "null", "nan", "none"):
        raise NotAReading("an input without a value")
    return text
