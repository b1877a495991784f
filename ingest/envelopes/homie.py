"""Homie 3, 4 and 5: `homie/<device>/<node>/<property>` and `homie/5/<device>/<node>/<property>`.

Source: the Homie convention, versions 3.0.1, 4.0.0 and 5.0. A value is plain text; its unit stands in the device's
retained description (5) or in attributes of topics with a `$` (3, 4), which are kept. Before those are known a property
is read only if its id says for certain what it is. See docs/formats/self-describing.md.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

from ingest.envelopes._homie_description import Descriptions, Known
from ingest.envelopes._moments import Moments
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

_BASE = "homie/"
#: Attributes of a Homie 3 or 4 device that are worth keeping, and what they tell.
_FACTS = {"$name": "name", "$fw/name": "model", "$fw/version": "firmware", "$implementation": "implementation"}
_LONGEST_FACT = 200
_LONGEST_NUMBER = 60


def _owns_topic(topic: str) -> bool:
    return topic.startswith(_BASE)


class _Homie:
    """The envelope with the descriptions that devices gave."""

    def __init__(self) -> None:
        self._descriptions = Descriptions()

    def decode(self, topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        """Values and descriptions. Raises `Undecodable` or `NotAReading`."""
        parts = topic.split("/")
        if parts[0] != "homie" or len(parts) < 2:
            raise Undecodable(Reason.NO_DEVICE, "a Homie device is named only by its topic homie/…")
        generation = "5" if parts[1] == "5" and len(parts) > 2 else "4"
        parts = parts[2:] if generation == "5" else parts[1:]
        if parts[0].startswith("$"):
            raise NotAReading(f"Homie's {parts[0][:40]}")
        device, path = (generation, parts[0]), parts[1:]
        address = device_address(parts[0])
        if any(part == "$target" for part in path) or (len(path) > 2 and path[-1] == "set"):
            raise NotAReading("a command to a Homie device")
        marked = next((index for index, part in enumerate(path) if part.startswith("$")), None)
        if marked is not None:
            return self._attribute(device, address, path[:marked], "/".join(path[marked:]), payload)
        if len(path) != 2 or not all(path):
            raise Undecodable(
                Reason.BAD_STRUCTURE, "a value of Homie has a topic of device, node and property", address
            )
        known = self._descriptions.known(device, path[0], path[1])
        return _value(address, "/".join(path)[:100], known, _text(payload, address))

    def _attribute(
        self, device: tuple[str, str], address: str, path: list[str], name: str, payload: bytes
    ) -> list[Uplink | Announcement]:
        if device[0] == "5":
            if name != "$description" or path:
                raise NotAReading(f"Homie's attribute {name[:60]}")
            facts = self._descriptions.describe(device, json_object(payload))
            return [Announcement(address, {"name": address, **facts})]
        value = _text(payload, address)
        if not path and name == "$stats/battery":
            moments = Moments()
            moments.add(address, None, "battery_pct", _short(value), field=name)
            return moments.result(address)
        self._descriptions.attribute(device, path, name, value)
        if not path and name in _FACTS and value.strip():
            return [Announcement(address, {_FACTS[name]: value[:_LONGEST_FACT]})]
        raise NotAReading(f"Homie's attribute {name[:60]}")


def _value(address: str, field: str, known: Known, value: str) -> list[Uplink | Announcement]:
    described = known.described
    # An empty text is sent as one byte of zero.
    if not value.strip("\0 ") or known.is_not_now or (described is not None and described.is_text):
        raise NotAReading(f"Homie's property {field} is no reading")
    if known.meaning is None:
        if described is not None:
            if described.datatype == "boolean":
                raise NotAReading(f"Homie's switch {field}")
            told = f"{field} in {described.unit}" if described.unit else field
            return [Uplink(address, None, metrics={}, unknown=(told,))]
        if not _is_number(value):
            raise NotAReading(f"Homie's property {field} holds a text")
        raise Undecodable(
            Reason.BAD_STRUCTURE, f"no description seen of the property {field}, and its id does not tell", address
        )
    moments = Moments()
    try:
        sent = known.meaning.sent(_short(value))
    except ValueError as error:
        raise Undecodable(Reason.BAD_VALUE, f"{field}: {error}", address) from None
    moments.add(
        address, None, known.meaning.metric, sent, field=field, symbol=known.meaning.symbol,
        channel=known.meaning.channel,
    )  # fmt: skip
    return moments.result(address)


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST_NUMBER else f"{value[:20]}…"


def _is_number(value: str) -> bool:
    try:
        number(_short(value))
    except ValueError:
        return False
    return True


def _text(payload: bytes, address: str) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise Undecodable(
            Reason.BAD_VALUE, f"it is not UTF-8 text: {error.reason} at byte {error.start}", address
        ) from None


def make(zone: ZoneInfo) -> list[Envelope]:
    """Homie; it has no times."""
    return [
        Envelope(
            "homie",
            "Homie",
            _owns_topic,
            lambda content: False,
            _Homie().decode,
            rank=10,
            descriptions=(
                "homie/5/+/$description",
                *("homie/+/$name", "homie/+/+/$name", "homie/+/+/$type"),
                *(f"homie/+/+/+/{name}" for name in ("$name", "$unit", "$datatype")),
            ),
        )
    ]
