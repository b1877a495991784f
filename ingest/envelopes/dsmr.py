"""Bridges of the P1 port of Dutch, Belgian, Luxembourgish and other DSMR meters.

Sources: DSMR-reader documentation, "MQTT" (split topics, JSON telegram, raw telegram, gas consumption); DSMR-logger and
DSMR-API (`DSMR-API/<field>`), ESPHome's "DSMR component" (`<node>/sensor/<field>/state`), the "P1 meter" firmware
(`…/p1meter/<field>`), HomeWizard's P1 API (JSON). Names of fields: `_p1`.

The device is the topic above the field. A message that knows both tariffs gives their sum; a tariff alone is the
channel `tariff-1` or `tariff-2` (for bridges that tell low and high: 1 and 2). Power drawn minus power fed in is
`power_w`; fed in alone is the channel `returned`. Gas and water are the channels `gas` and `water`, with their meter's
own time if it is told. Totals of a day, month or year, statistics and a lone time are no readings.
"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes._p1 import SLOTS, TELLING, Slot, is_p1_content, read_telegram
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_value
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

#: Levels that stand between the device and the field.
_BETWEEN = frozenset(
    ["reading", "telegram", "consumption", "gas", "sensor", "state", "json", "raw", "all", "data", "status"]
)
_ROOTS = frozenset(["dsmr", "dsmr-api", "dsmr-logger", "p1meter", "dsmr_reader", "dsmrreader"])
_NOT_NOW = re.compile(
    r"/(?:day-consumption|current-(?:period|month|year)|meter-stats|quarter-hour-peak-electricity|lwt|settings)(?:/|$)",
    re.IGNORECASE,
)
_GAS_TOPIC = re.compile(r"(?:^|/)consumption/gas(?:/|$)")
_GAS_CONTENT = frozenset({"read_at", "delivered", "currently_delivered"})
_SHORT_TIME = re.compile(r"^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)([WS]?)$")
_ZONES = {"W": "+01:00", "S": "+02:00", "": ""}
_METRICS = {
    "energy": "energy_kwh", "export": "energy_export_kwh", "voltage": "voltage_v", "current": "current_a",
    "frequency": "frequency_hz", "gas": "gas_m3", "water": "water_m3", "gas_flow": "flow_m3h",
    **{f"voltage.{n}": f"voltage_l{n}_v" for n in "123"}, **{f"current.{n}": f"current_l{n}_a" for n in "123"},
}  # fmt: skip
#: No register holds more; so sums and differences stay numbers.
_LARGEST = 1e15
_NOTHING = frozenset([b"online", b"offline", b"null", b"None", b"unavailable", b"unknown", b"nan"])


def _field(topic: str) -> str:
    """The last level that names something, in lower case."""
    levels = topic.lower().split("/")
    while len(levels) > 1 and levels[-1] in ("state", "json", "value"):
        levels.pop()
    return levels[-1]


def _owns_topic(topic: str) -> bool:
    return not _ROOTS.isdisjoint(topic.lower().split("/")[:-1]) or _field(topic) in TELLING


def _looks_like(content: Any) -> bool:
    return isinstance(content, dict) and is_p1_content(_names(content))


def _names(content: dict[str, Any]) -> frozenset[str]:
    return frozenset(key.lower() for key in content if len(key) < 60)


def _address(topic: str, content: dict[str, Any] | None = None) -> str:
    """The meter or bridge: what the content calls unique, else the topic without the field."""
    unique = (content or {}).get("unique_id")
    if isinstance(unique, str) and unique.strip():
        return device_address(unique)
    levels = topic.split("/")
    if content is None:
        named = _field(topic)
        while levels and levels.pop().lower() != named:
            pass
    while len(levels) > 1 and levels[-1].lower() in _BETWEEN:
        levels.pop()
    return device_address("/".join(levels))


class _Message:
    """Slots that a message fills, and what is wrong with it."""

    def __init__(self, zone: ZoneInfo, received_us: int) -> None:
        self._zone = zone
        self._received_us = received_us
        self.values: dict[str, float] = {}
        self.times: dict[str, int] = {}
        self.unknown: list[str] = []
        self.problems: list[tuple[Reason, str]] = []

    def put(self, field: str, slot: Slot, told: Any) -> None:
        if told is None or told == "":
            return
        try:
            if slot.name == "time" or slot.name.endswith("_time"):
                self.times[slot.name] = _time_us(told, self._zone, self._received_us)
                return
            if isinstance(told, bool):
                raise ValueError("is true or false, expected a number")
            value = number(told) * slot.factor
            if abs(value) > _LARGEST:
                raise ValueError("is larger than any number of a meter")
            self.values.setdefault(slot.name, value)
        except ValueError as error:
            self.problems.append((Reason.BAD_VALUE, f"{field[:60]}: {error}"))

    def uplinks(self, address: str) -> list[Uplink | Announcement]:
        channels: dict[str, dict[str, float]] = {"": {}}
        for kind in ("energy", "export"):
            self._register(channels, kind)
        values = self.values
        if "power" in values:
            channels[""]["power_w"] = values.pop("power") - values.pop("returned", 0.0)
        elif "returned" in values:
            channels["returned"] = {"power_w": values.pop("returned")}
        for phase in "123":
            drawn, fed_in = values.pop(f"power.{phase}", None), values.pop(f"returned.{phase}", None)
            if drawn is not None:
                channels[""][f"power_l{phase}_w"] = drawn - (fed_in or 0.0)
            elif fed_in is not None:
                channels.setdefault("returned", {})[f"power_l{phase}_w"] = fed_in
        for slot, value in values.items():
            channel = slot.partition("_")[0] if slot.startswith(("gas", "water")) else ""
            channels.setdefault(channel, {})[_METRICS[slot]] = value
        found = [
            Uplink(address, self.times.get(f"{channel}_time" if channel else "", self.times.get("time")),
                   metrics=metrics, channel=channel)
            for channel, metrics in channels.items()
            if metrics
        ]  # fmt: skip
        if not found:
            if self.problems:
                raise Undecodable(self.problems[0][0], "; ".join(told for _, told in self.problems[:5]), address)
            raise NotAReading("a message of a P1 bridge without a reading")
        found[0].problems, found[0].unknown = self.problems, tuple(self.unknown[:50])
        return list(found)

    def _register(self, channels: dict[str, dict[str, float]], kind: str) -> None:
        """The register of all tariffs, or those of each where only one is known."""
        whole = self.values.pop(kind, None)
        tariffs = {n: self.values.pop(f"{kind}.{n}") for n in "12" if f"{kind}.{n}" in self.values}
        if whole is None and len(tariffs) == 2:
            whole = sum(tariffs.values())
        if whole is not None:
            channels[""][_METRICS[kind]] = whole
            return
        for tariff, value in tariffs.items():
            channels.setdefault(f"tariff-{tariff}", {})[_METRICS[kind]] = value


def _time_us(told: Any, zone: ZoneInfo, received_us: int) -> int:
    """Also `201123101500W` and 201123101500: local, W for winter and S for summer time. Raises ValueError."""
    text = str(told).strip() if isinstance(told, str | int) and not isinstance(told, bool) else ""
    match = _SHORT_TIME.match(text) if len(text) in (12, 13) else None
    if match is None:
        return parse_time_us(told, zone, received_us)
    year, month, day, hour, minute, second, season = match.groups()
    return parse_time_us(
        f"20{year}-{month}-{day}T{hour}:{minute}:{second}{_ZONES[season]}", zone, received_us
    )  # fmt: skip


def _bare(told: Any) -> Any:
    """The value of DSMR-API's `[{"value": 1.5, "unit": "kWh"}]` and of `{"value": …}`."""
    if isinstance(told, list) and len(told) == 1:
        told = told[0]
    return told.get("value") if isinstance(told, dict) else told


def _object(message: _Message, content: dict[str, Any], gas: bool) -> None:
    for key, told in content.items():
        slot = SLOTS.get(key.lower()) if len(key) < 60 else None
        if gas:
            slot = {"delivered": Slot("gas"), "currently_delivered": Slot("gas_flow"), "read_at": Slot("time")}.get(key)
        if slot is not None:
            message.put(key, slot, _bare(told))
        elif not isinstance(told, str | bool | None | list | dict) and not _ignored(key.lower()):
            message.unknown.append(key[:60])
    outside = content.get("external")
    for each in outside[:8] if isinstance(outside, list) else []:
        if isinstance(each, dict) and each.get("type") in ("gas_meter", "water_meter") and each.get("unit") == "m3":
            kind = str(each["type"]).removesuffix("_meter")
            message.values.pop(kind, None)  # what stands beside is its copy
            message.put(f"external {kind}", Slot(kind), each.get("value"))
            message.put(f"external {kind} timestamp", Slot(f"{kind}_time"), each.get("timestamp"))


_IGNORED = re.compile(
    r"^(?:id|smr_version|.*tariff.*|.*failure.*|.*sag.*|.*swell.*|wifi.*|montly.*|monthly.*|average.*|.*_count|"
    r"gas_unique_id|.*t[34]_kwh|(?:active_)?power_l\d_w|phase_currently.*|power_(?:delivered|returned).*|"
    r"power_(?:consumed|produced)_phase.*|l\d_instant_power_usage|threshold.*|.*electricity\d.*|.*cost.*|"
    r"active_(?:apparent|reactive).*|active_liter_lpm|active_current_n_a|.*version)$"
)


def _ignored(name: str) -> bool:
    return _IGNORED.match(name[:80]) is not None


def _scalar(message: _Message, topic: str, told: Any) -> None:
    field = _field(topic)
    slot = SLOTS.get(field)
    if _GAS_TOPIC.search(topic):
        slot = {"delivered": Slot("gas"), "currently_delivered": Slot("gas_flow")}.get(field)
    if slot is None or slot.name == "time" or slot.name.endswith("_time"):
        raise NotAReading(f"a P1 bridge's {field[:60]}")
    message.put(field, slot, _bare(told))


def make(zone: ZoneInfo) -> list[Envelope]:
    """The envelope for meters whose local time is that of `zone`."""

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        if _NOT_NOW.search(topic):
            raise NotAReading("totals of a day, month or year, or statistics")
        if payload.strip() in _NOTHING:
            raise NotAReading("a P1 bridge without a value")
        message = _Message(zone, received_us)
        if payload.lstrip()[:1] == b"/":
            for slot, (told, factor) in read_telegram(payload.decode("latin-1").strip()).items():
                message.put(slot, Slot(slot, factor), told)
            return message.uplinks(_address(topic, {}))
        if payload.lstrip()[:1] in (b"{", b"["):
            content = json_value(payload)
            if isinstance(content, dict) and set(_names(content)) == {_field(topic)}:
                content = next(iter(content.values()))  # DSMR-API repeats the field's name
            if isinstance(content, dict) and "value" not in content:
                _object(message, content, _GAS_TOPIC.search(topic) is not None or content.keys() == _GAS_CONTENT)
                return message.uplinks(_address(topic, content))
            _scalar(message, topic, content)
            return message.uplinks(_address(topic))
        try:
            text = payload.decode().strip()
        except UnicodeDecodeError as error:
            raise Undecodable(Reason.BAD_VALUE, f"it is not UTF-8 text: {error.reason}") from None
        _scalar(message, topic, text)
        return message.uplinks(_address(topic))

    return [Envelope("dsmr", "P1 port (DSMR)", _owns_topic, _looks_like, decode, rank=20)]
