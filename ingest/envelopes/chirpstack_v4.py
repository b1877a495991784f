"""ChirpStack v4's JSON over MQTT: `application/<id>/device/<EUI>/event/up`.

Source: ChirpStack documentation, "Event types". The `object` is what the device profile's codec made of the bytes.
ChirpStack writes protobuf JSON: a field with its default value (fCnt 0, fPort 0) is left out.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from catalogue.inventory import normal_address
from ingest.clock import parse_time_us
from ingest.envelopes.base import Envelope, NotAReading, Uplink, json_object
from ingest.errors import Reason, Undecodable

_TOPIC = re.compile(r"(?:^|/)application/[^/]+/device/(?P<eui>[^/]+)/event/(?P<event>[a-z]+)$")


class _Lenient(BaseModel):
    # The format is ChirpStack's: it may gain fields at any time.
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel)


class _DeviceInfo(_Lenient):
    dev_eui: str
    device_name: str = ""
    device_profile_name: str = ""
    tags: dict[str, str] = {}


class _RxInfo(_Lenient):
    gateway_id: str = ""
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


def _looks_like(content: dict[str, Any]) -> bool:
    info = content.get("deviceInfo")
    return isinstance(info, dict) and "devEui" in info


def _decode(topic: str, payload: bytes, received_us: int) -> Uplink:
    match = _TOPIC.search(topic)
    if match is not None and match["event"] != "up":
        raise NotAReading(f"a ChirpStack event {match['event']!r}")
    content = json_object(payload)
    try:
        up = _Up.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Undecodable(Reason.BAD_STRUCTURE, f"no ChirpStack v4 uplink: {place}: {first['msg']}") from None
    address = normal_address(up.device_info.dev_eui)[:128]
    if not address:
        raise Undecodable(Reason.NO_DEVICE, "deviceInfo.devEui is empty")
    if up.object is None:
        if not up.data:
            raise NotAReading("an uplink without content")
        raise Undecodable(
            Reason.UNKNOWN_PROFILE,
            f"the uplink on port {up.f_port} is not decoded; set a codec in ChirpStack's device profile "
            f"{up.device_info.device_profile_name!r}",
            address,
        )
    try:
        time_us = parse_time_us(up.time) if up.time else None
    except ValueError as error:
        raise Undecodable(Reason.BAD_VALUE, f"time: {error}", address) from None
    best = max((rx for rx in up.rx_info if rx.rssi is not None), key=lambda rx: rx.rssi or 0, default=None)
    signal: dict[str, float] = {}
    if best is not None and best.rssi is not None:
        signal["rssi_dbm"] = best.rssi
        if best.snr is not None:
            signal["snr_db"] = best.snr
    names = (up.device_info.tags.get("misto_profile", ""), up.device_info.device_profile_name)
    return Uplink(
        address, time_us, fields=up.object, profile_names=tuple(name for name in names if name), signal=signal
    )


ENVELOPE = Envelope("chirpstack_v4", "ChirpStack v4", _owns_topic, _looks_like, _decode)
