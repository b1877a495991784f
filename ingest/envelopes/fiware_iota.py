"""FIWARE's IoT Agents: JSON and UltraLight 2.0 over MQTT.

Source: FIWARE IoT Agent for JSON and for UltraLight 2.0, "User & Programmers Manual", "MQTT binding". Topic
`/json/<api key>/<device>/attrs[/<name>]` and `/ul/…`; the first versions had neither the leading slash nor the
protocol. The API key is a secret of the devices: it becomes no part of an address or of a sentence. The units of
attributes are set up at the broker's side, so attributes are known by their names alone.
"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes._moments import Moments
from ingest.envelopes._names import by_name
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_value
from ingest.envelopes.ngsi import entities_of, is_entity, read_entities
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

_TOPIC = re.compile(
    r"/?(?:iot/)?(?P<protocol>json|ul|ul20)/[^/]+/(?P<device>[^/]+)/"
    r"(?:attrs(?:/(?P<name>[^/]+))?|(?P<other>cmd|cmdexe|configuration/(?:commands|values)))"
)
#: Without a protocol: `<api key>/<device>/attrs`; `cmd` and `configuration` are common words, so only as documented.
_OLD_TOPIC = re.compile(
    r"/?(?!(?:json|ul|ul20|iot)/)[^/]+/(?P<device>[^/]+)/attrs(?:/(?P<name>[^/]+))?"
    r"|/[^/]+/[^/]+/(?P<other>cmd|configuration/values)|/?[^/]+/[^/]+/(?P<result>cmdexe)"
)

#: The manuals' own abbreviations.
_ABBREVIATIONS = {"t": "temperature_c", "h": "humidity_pct"}
#: 0…1 in the Smart Data Models that these attributes become; above 1 it is per cent.
_SHARES = {"fillingLevel", "batteryLevel", "relativeHumidity"}
_TIMES = ("TimeInstant", "timestamp")


def _owns_topic(topic: str) -> bool:
    return _TOPIC.fullmatch(topic) is not None or _OLD_TOPIC.fullmatch(topic) is not None


def _pair(moments: Moments, address: str, time_us: int | None, name: str, value: Any) -> None:
    """One attribute."""
    metric = _ABBREVIATIONS.get(name) or by_name(name)
    if metric is None or isinstance(value, dict | list):
        moments.unknown(name)
        return
    symbol = None
    if name in _SHARES and not (isinstance(value, str) and "%" in value):
        try:
            symbol = "1" if not isinstance(value, bool) and 0 <= number(value) <= 1 else None
        except ValueError:
            symbol = None  # told as a problem below
        if value in (-1, "-1"):
            return  # "cannot be determined"
    moments.add(address, time_us, metric, value, field=name, symbol=symbol)


def make(zone: ZoneInfo) -> list[Envelope]:
    """Both protocols; a time without a zone is the device's local time in `zone`."""

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        match = _TOPIC.fullmatch(topic) or _OLD_TOPIC.fullmatch(topic)
        if match is None:
            raise Undecodable(Reason.NO_DEVICE, "its device is named only by its topic …/<device>/attrs")
        told = match.groupdict()
        other = told.get("other") or told.get("result")
        if other:
            raise NotAReading(f"a message {other!r} of a FIWARE IoT Agent")
        address = device_address(told["device"])
        protocol = told.get("protocol") or ("json" if payload.lstrip()[:1] in (b"{", b"[") else "ul")
        moments = Moments()
        if protocol != "json":
            _ultralight(moments, address, _utf8(payload, address), told["name"], received_us)
        elif told["name"]:
            _single(moments, address, told["name"], payload, received_us)
        else:
            content = json_value(payload)
            entities = entities_of(content)
            if entities and all(is_entity(entity) for entity in entities):
                return read_entities(entities, None, address)
            for group in content if isinstance(content, list) else [content]:
                _group(moments, address, group, received_us)
        return moments.result(address)

    def time_of(told: Any, received_us: int) -> int:
        if isinstance(told, dict):
            told = told.get("value")
        return parse_time_us(told, zone, received_us)

    def _group(moments: Moments, address: str, group: Any, received_us: int) -> None:
        """An object of attributes, of one moment."""
        if not isinstance(group, dict):
            moments.problem(
                Reason.BAD_STRUCTURE, f"a group of measures is a {type(group).__name__}, expected an object {{…}}"
            )
            return
        time_us = None
        for key in _TIMES:
            if group.get(key) is not None and time_us is None:
                try:
                    time_us = time_of(group[key], received_us)
                except ValueError as error:
                    moments.problem(Reason.BAD_VALUE, f"{key}: {error}")
                    return
        for name, value in group.items():
            if name not in _TIMES:
                plain = value["value"] if isinstance(value, dict) and "value" in value else value
                _pair(moments, address, time_us, name, plain)

    def _single(moments: Moments, address: str, name: str, payload: bytes, received_us: int) -> None:
        """The value of the attribute that the topic names: JSON, or a list of values with their times, or bytes."""
        try:
            content = json_value(payload)
        except Undecodable:
            # What is no JSON is binary by the manual; a device may still write 45% without quotes.
            _pair(moments, address, None, name, payload[:100].decode("utf-8", "replace"))
            return
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, dict) and "value" in part:
                _group(moments, address, {**{key: part.get(key) for key in _TIMES}, name: part["value"]}, received_us)
            else:
                _pair(moments, address, None, name, part)

    def _ultralight(moments: Moments, address: str, text: str, name: str | None, received_us: int) -> None:
        """`name|value|name|value`, groups separated by `#`, each with an optional time before it."""
        for group in text.split("#"):
            parts = group.strip().split("|")
            if not group.strip():
                continue
            if name is not None:
                parts = [*parts[:-1], name, parts[-1]]
            # An odd one stands before the pairs and is their time.
            before, pairs = parts[: len(parts) % 2], parts[len(parts) % 2 :]
            named = {key.strip(): value.strip() for key, value in zip(pairs[::2], pairs[1::2], strict=True)}
            told = next(iter(before), None) or next((named[key] for key in _TIMES if key in named), None)
            time_us = None
            if told is not None:
                try:
                    time_us = time_of(told, received_us)
                except ValueError as error:
                    moments.problem(
                        Reason.BAD_STRUCTURE,
                        f"{group[:60]!r} is no pairs of name|value with a time before them: {error}",
                    )
                    continue
            for key, value in named.items():
                if key not in _TIMES:
                    _pair(moments, address, time_us, key, value)

    return [Envelope("fiware_iota", "FIWARE IoT Agent", _owns_topic, lambda content: False, decode, rank=10)]


def _utf8(payload: bytes, address: str) -> str:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Undecodable(
            Reason.BAD_STRUCTURE, f"it is no UltraLight text: {error.reason} at byte {error.start}", address
        ) from None
