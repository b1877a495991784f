"""Recorded messages made fit to be published: identifiers, places, names and secrets become neutral."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from store.redaction import redacted


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: EUIs, MAC and IP addresses, UUIDs, serial numbers. Not times, which have a T or a blank between date and hour.
_IDENTIFIER = re.compile(
    r"(?:[0-9A-Fa-f]{2}[:-]){5,7}[0-9A-Fa-f]{2}|\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|[0-9A-Fa-f]{8,}"
)
_DIGIT = re.compile(r"[0-9A-Fa-f]")
_PERSONAL = _set(
    "serial sn serialnumber imei imsi iccid ssid bssid ip ipaddress mac macaddress hostname host name friendlyname"
    " devicename applicationname gatewayid gatewayname location address latitude longitude lat lon lng altitude email"
    " phone owner customer"
)
_HEX = frozenset("0123456789abcdef")


def neutral_address(address: str) -> str:
    """One of the same kind: an EUI of as many digits, else a name."""
    if len(address) >= 8 and set(address.lower()) <= _HEX:
        return f"{1:0{len(address)}x}"
    return "device-1"


def neutral_topic(topic: str, address: str) -> str:
    """A topic without the device's address and without identifiers."""
    return "/".join(_text(level, address) for level in topic.split("/"))


def neutral_fields(fields: Mapping[str, Any], address: str, kept: Collection[str]) -> dict[str, Any]:
    """Fields without identifiers, except those (dotted paths) that the profile maps.

    Those with a dot in their own name are left out: no profile can name them.
    """
    hidden = json.loads(redacted(json.dumps(fields).encode()))
    found: dict[str, Any] = _neutral(hidden, address, kept, "")
    return found


def _neutral(value: Any, address: str, kept: Collection[str], path: str) -> Any:
    if path and any(path == name or path.endswith(f".{name}") for name in kept):
        return value
    if isinstance(value, Mapping):
        return {
            _text(str(key), address): _neutral(inner, address, kept, f"{path}.{key}" if path else str(key))
            for key, inner in value.items()
            if not _is_beyond_naming(str(key), inner)
        }
    if isinstance(value, list):
        return [_neutral(inner, address, kept, path) for inner in value]
    is_personal = re.sub(r"[\W_]", "", path.rsplit(".", 1)[-1]).lower() in _PERSONAL
    if isinstance(value, str):
        changed = _text(value, address)
        return "x" if is_personal and changed == value and value else changed
    return 0 if is_personal and isinstance(value, float | int) and not isinstance(value, bool) else value


def _is_beyond_naming(key: str, value: Any) -> bool:
    """A dot in its own name, or in those of all that it holds."""
    if "." in key:
        return True
    return isinstance(value, Mapping) and bool(value) and all(_is_beyond_naming(*item) for item in value.items())


def _zeros(match: re.Match[str]) -> str:
    return "0.0.0.0" if "." in match[0] else _DIGIT.sub("0", match[0])


def _text(text: str, address: str) -> str:
    folded = "".join(character for character in text if character not in ":- ").lower()
    if len(address) >= 3 and address.lower() in (folded, text.lower()):
        neutral = neutral_address(address)
        return neutral.upper() if text.isupper() else neutral
    if len(address) >= 3 and address.lower() in text.lower():
        return re.sub(re.escape(address), neutral_address(address), text, flags=re.IGNORECASE)
    return _IDENTIFIER.sub(_zeros, text)
