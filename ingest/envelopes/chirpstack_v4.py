"""ChirpStack v4's JSON over MQTT: `application/<id>/device/<EUI>/event/up`.

Source: ChirpStack documentation, "Event types". The `object` is what the device profile's codec made of the bytes.
ChirpStack writes protobuf JSON: a field with its default value (fCnt 0, fPort 0) is left out. Version 3 uses the same
topic; what is built as its messages is handed on.
"""

from __future__ import annotations

import base64
import re
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from ingest.envelopes._lorawan import facts_of, first_time
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.envelopes.chirpstack_v3 import is_v3, open_v3
from ingest.errors import Reason, Undecodable

_TOPIC = re.compile(r"(?:^|/)application/[^/]+/device/(?P<eui>[^/]+)/event/(?P<event>[a-z]+)$")


class _Lenient(BaseModel):
    # The format is ChirpStack's: it may gain fields at any time.
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel)


class _DeviceInfo(_Lenient):
    dev_eui: str
    device_name: str = ""
    application_name: str = ""
    device_profile_name: str = ""
    tags: dict[str, str] = {}


class _RxInfo(_Lenient):
    gateway_id: str = ""
    gw_time: str | None = None
    ns_time: str | None = None
    rssi: float | None = None
    snr: float | None = None


class _Up(_Lenient):
    device_info: _DeviceInfo
    time: str | None = None
    f_port: int = 0
    data: str = ""
    object: dict[str, Any] | None = None
    rx_info: list[_RxInfo] = []


def _owns_topic(topic: str) -> bool:
    return _TOPIC.search(topic) is not None


def _looks_like(content: Any) -> bool:
    info = content.get("deviceInfo") if isinstance(content, dict) else None
    return isinstance(info, dict) and "devEui" in info


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    match = _TOPIC.search(topic)
    if match is not None and match["event"] != "up":
        raise NotAReading(f"a ChirpStack event {match['event']!r}")
    content = json_object(payload)
    if is_v3(content):
        return open_v3(content)
    try:
        up = _Up.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Undecodable(Reason.BAD_STRUCTURE, f"no ChirpStack v4 uplink: {place}: {first['msg']}") from None
    address = device_address(up.device_info.dev_eui)
    data = None
    if not up.object:
        if not up.data:
            raise NotAReading("an uplink without content")
        try:
            data = base64.b64decode(up.data, validate=True)
        except ValueError as error:
            raise Undecodable(Reason.BAD_VALUE, f"data: is no base64: {error}", address) from None
    # Port 0 carries the network's own commands.
    if data is not None and up.f_port == 0 and "fPort" in content:
        raise NotAReading("an uplink of network commands")
    heard = (
        (name, at) for rx in up.rx_info for name, at in (("rxInfo.gwTime", rx.gw_time), ("rxInfo.nsTime", rx.ns_time))
    )
    time_us = first_time([("time", up.time), *heard], address)
    signal, problems = _signal(up.rx_info)
    names = (up.device_info.tags.get("misto_profile", ""), up.device_info.device_profile_name)
    return [
        Uplink(
            address,
            time_us,
            fields=up.object or {},
            profile_names=tuple(name for name in names if name),
            problems=problems,
            signal=signal,
            data=data,
            port=up.f_port,
            facts=facts_of(
                up.device_info.tags,
                name=up.device_info.device_name,
                model=up.device_info.device_profile_name,
                group=up.device_info.application_name,
            ),
        )
    ]


def _signal(received: list[_RxInfo]) -> tuple[dict[str, float], list[tuple[Reason, str]]]:
    """Strength and noise at the gateway that heard the device best."""
    problems: list[tuple[Reason, str]] = []
    heard: list[dict[str, float]] = []
    for rx in received:
        told = {"rssi_dbm": rx.rssi, "snr_db": rx.snr}
        values = {name: value for name, value in told.items() if value is not None and isfinite(value)}
        if len(values) < sum(value is not None for value in told.values()):
            problems.append((Reason.BAD_VALUE, "rxInfo: rssi or snr is no finite number"))
        if "rssi_dbm" in values:
            heard.append(values)
    return max(heard, key=lambda values: values["rssi_dbm"], default={}), problems


def make(zone: ZoneInfo) -> list[Envelope]:
    """ChirpStack v4."""
    return [Envelope("chirpstack_v4", "ChirpStack v4", _owns_topic, _looks_like, _decode)]
