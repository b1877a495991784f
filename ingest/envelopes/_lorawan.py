"""What LoRaWAN network servers have in common: bytes in text, the best gateway's signal, nested fields."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from ingest.clock import parse_time_us
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

Problems = list[tuple[Reason, str]]


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """The value if it is text, else an empty one."""
    return value if isinstance(value, str) else ""


def from_base64(value: Any, address: str, name: str) -> bytes | None:
    """Bytes from base64 text; None if there are none. Raises `Undecodable`."""
    if value is None or value == "":
        return None
    try:
        return base64.b64decode(text(value) or "?", validate=True)
    except ValueError as error:
        raise Undecodable(Reason.BAD_VALUE, f"{name}: is no base64: {error}", address) from None


def from_hex(value: Any, address: str, name: str) -> bytes | None:
    """Bytes from hexadecimal text; None if there are none. Raises `Undecodable`."""
    if value is None or value == "":
        return None
    try:
        return bytes.fromhex(text(value) or "?")
    except ValueError as error:
        raise Undecodable(Reason.BAD_VALUE, f"{name}: is no hexadecimal: {error}", address) from None


def eui_from(value: Any) -> str:
    """A device EUI, in hexadecimal or, as some marshalers write it, in base64."""
    told = text(value).strip()
    plain = told.replace("-", "").replace(":", "")
    if len(plain) != 16 and len(told) == 12 and told.endswith("="):
        try:
            return base64.b64decode(told, validate=True).hex()
        except (ValueError, binascii.Error):
            return plain
    return plain


def port_from(value: Any) -> int:
    """A port, also written as text; 0 if there is none."""
    try:
        port = number(value) if value is not None else 0.0
    except ValueError:
        return 0
    return int(port) if 0 <= port <= 255 else 0


def first_time(candidates: Iterable[tuple[str, Any]], address: str) -> int | None:
    """The first of (name, time) that is there, in microseconds. Raises `Undecodable` for one that is no time."""
    for name, value in candidates:
        if value is None or value == "":
            continue
        try:
            return parse_time_us(value)
        except ValueError as error:
            raise Undecodable(Reason.BAD_VALUE, f"{name}: {error}", address) from None
    return None


def best_signal(received: Iterable[Any], rssi: str, snr: str, problems: Problems) -> dict[str, float]:
    """Strength and noise at the gateway that heard the device best; `rssi` and `snr` name the fields."""
    heard = [signal_of(mapping(item), rssi, snr, problems) for item in received]
    return max((its for its in heard if "rssi_dbm" in its), key=lambda its: its["rssi_dbm"], default={})


def signal_of(item: Mapping[str, Any], rssi: str, snr: str, problems: Problems) -> dict[str, float]:
    """Strength and noise that one gateway tells."""
    found: dict[str, float] = {}
    for name, key in (("rssi_dbm", rssi), ("snr_db", snr)):
        if item.get(key) is None:
            continue
        try:
            found[name] = number(item[key])
        except ValueError as error:
            problems.append((Reason.BAD_VALUE, f"{key}: {error}"))
    return found


def facts_of(tags: Mapping[str, Any], **told: Any) -> dict[str, str]:
    """What a network server tells of a device: texts by name, and the tags that people gave it."""
    facts = {name: text(each) for name, each in told.items() if text(each)}
    own = "; ".join(f"{name}: {text(each)}" for name, each in tags.items() if text(each) and name != "misto_profile")
    if own:
        facts["tags"] = own[:200]
    return facts
