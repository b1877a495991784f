"""wmbusmeters' telegrams: `wmbusmeters/<id or name>`, or any topic that its `shell=` setting names.

Source: wmbusmeters' README and the field tables of its drivers (`--listfields=<driver>`). A key ends in its unit
(`total_m3`, `power_kw`); the words before it name the quantity, the `media` says of what. `timestamp` is the time of
reception; `meter_datetime` is the meter's wall clock without a zone, preferred if it is within a day of that and not
ahead of now.

Registers of another moment (targets, set dates, months, tariffs, periods), extremes, means, differences, and those of
one phase or subunit are understood and not stored. The cooling register of a meter for heat and cold is the channel
`cooling`; the inputs of a pulse counter are the channels `a` and `b`. What a status makes suspect: `_wmbus_status`.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import CLOCK_SET_SINCE_US, FUTURE_TOLERANCE_US, parse_time_us
from ingest.envelopes._remembered import Remembered
from ingest.envelopes._wmbus_fields import NOT_MEASURED_C, POWER, PRODUCED, UNITS, ignored, meaning, medium_of, value_of
from ingest.envelopes._wmbus_status import judged
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

_DAY_US = 86_400 * 1_000_000
#: The meter's own clock, by the names of the drivers.
_METER_CLOCKS = ("meter_datetime", "device_datetime", "device_date_time")
_STATUS_FIELDS = ("status", "current_status", "error", "error_flags", "current_alarms")
_NOT_FIELDS = frozenset({"id", "rssi_dbm"})
_MOST_UNKNOWN = 50


class _Read:
    """A telegram's readings by channel, with what is unknown or wrong."""

    def __init__(self, content: dict[str, Any], medium: str, driver: str) -> None:
        self.channels: dict[str, dict[str, float]] = {"": {}}
        self.problems: list[tuple[Reason, str]] = []
        self.unknown: list[str] = []
        produced_w = None
        for key, told in content.items():
            name, _, unit = key.rpartition("_")
            if told is None or not name or key in _NOT_FIELDS or len(key) > 120:
                continue
            if name in PRODUCED and unit in POWER:
                produced_w = self._converted(key, "power_w", unit, told)
                continue
            found = meaning(name, unit, medium, driver) if unit in UNITS else None
            if found is not None:
                metric, channel = found
                value = self._converted(key, metric, unit, told)
                if value is not None and not (unit == "c" and medium == "water" and value in NOT_MEASURED_C):
                    self.channels.setdefault(channel, {}).setdefault(metric, value)
            elif isinstance(told, int | float) and not isinstance(told, bool) and not ignored(name, unit):
                self.unknown.append(key)
        if produced_w is not None:
            # Both directions are told apart; the metric has one, consumption being positive.
            self.channels[""]["power_w"] = self.channels[""].get("power_w", 0.0) - produced_w

    def _converted(self, key: str, metric: str, unit: str, told: Any) -> float | None:
        try:
            return value_of(metric, unit, told)
        except ValueError as error:
            if len(self.problems) < _MOST_UNKNOWN:
                self.problems.append((Reason.BAD_VALUE, f"{key}: {error}"))
            return None


def _owns_topic(topic: str) -> bool:
    return topic == "wmbusmeters_alarm" or "wmbusmeters" in topic.split("/")[:-1]


def _looks_like(content: Any) -> bool:
    if not isinstance(content, dict) or "id" not in content:
        return False
    told = all(isinstance(content.get(key), str) for key in ("media", "meter"))
    return told and (content.get("_") == "telegram" or "timestamp" in content)


def _moment(
    content: dict[str, Any], zone: ZoneInfo, received_us: int, problems: list[tuple[Reason, str]]
) -> int | None:
    """When it was measured: the meter's clock if that can be believed, else the telegram's reception."""
    heard_us: int | None = None
    if content.get("timestamp") is not None:
        try:
            heard_us = parse_time_us(content["timestamp"], zone, received_us)
        except ValueError as error:
            problems.append((Reason.BAD_VALUE, f"timestamp: {error}"))
    near_us = heard_us if heard_us is not None and heard_us >= CLOCK_SET_SINCE_US else received_us
    for name in _METER_CLOCKS:
        try:
            measured_us = parse_time_us(content.get(name), zone, near_us)
        except ValueError:
            continue  # a clock never set: 2000-00-00 03:43
        if abs(measured_us - near_us) <= _DAY_US and measured_us <= received_us + FUTURE_TOLERANCE_US:
            return measured_us
    return heard_us


class _Told:
    """What devices told of themselves, so that it is announced once and not with each telegram."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._facts: Remembered[str, dict[str, str]] = Remembered()

    def news(self, address: str, content: dict[str, Any]) -> Iterator[Announcement]:
        names = {"name": "name", "model": "meter", "media": "media"}
        facts = {fact: content[key][:100] for fact, key in names.items() if isinstance(content.get(key), str)}
        with self._lock:
            if facts == self._facts.get(address):
                return
            self._facts.put(address, facts)
        yield Announcement(address, facts)


def make(zone: ZoneInfo) -> list[Envelope]:
    """The envelope for meters whose clocks run in `zone`."""
    told = _Told()

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        if topic == "wmbusmeters_alarm" or payload.strip().lower() in (b"online", b"offline"):
            raise NotAReading("wmbusmeters tells of itself")
        content = json_object(payload)
        identity = content.get("id")
        if isinstance(identity, bool) or not isinstance(identity, str | int):
            raise Undecodable(Reason.NO_DEVICE, 'a telegram names its meter by the text "id"')
        address = device_address(str(identity)[:200])
        found = _uplinks(address, content, zone, received_us)
        return [*told.news(address, content), *found]

    return [Envelope("wmbusmeters", "wmbusmeters", _owns_topic, _looks_like, decode, rank=10)]


def _uplinks(address: str, content: dict[str, Any], zone: ZoneInfo, received_us: int) -> list[Uplink]:
    media, driver = (str(content.get(key, ""))[:60] for key in ("media", "meter"))
    read = _Read(content, medium_of(media, driver), driver.lower())
    time_us = _moment(content, zone, received_us, read.problems)
    suspect: frozenset[str] = frozenset()
    for name in _STATUS_FIELDS:
        if isinstance(content.get(name), str):
            more, flags = judged(content[name][:1000])
            suspect |= more
            read.unknown += [f"{name}: {flag}" for flag in flags]
    signal: dict[str, float] = {}
    if content.get("rssi_dbm") is not None:
        try:
            signal["rssi_dbm"] = number(content["rssi_dbm"])
        except ValueError as error:
            read.problems.append((Reason.BAD_VALUE, f"rssi_dbm: {error}"))
    first = Uplink(
        address, time_us, metrics=read.channels.pop(""), signal=signal, problems=read.problems,
        unknown=tuple(dict.fromkeys(read.unknown))[:_MOST_UNKNOWN], suspect=suspect,
    )  # fmt: skip
    others = [
        Uplink(address, time_us, metrics=metrics, channel=channel, suspect=suspect)
        for channel, metrics in read.channels.items()
        if metrics
    ]
    if not first.metrics and not signal and not first.problems:
        if others:
            others[0].unknown = first.unknown
            return others
        if not any(key.rpartition("_")[2] in UNITS or key.endswith("_hca") for key in first.unknown):
            raise NotAReading(f"a telegram of {driver or media or 'a meter'} without a reading of now")
        told = ", ".join(first.unknown[:10])
        raise Undecodable(Reason.NO_READINGS, f"no field of it has a metric: {told}", address)
    return [first, *others]
