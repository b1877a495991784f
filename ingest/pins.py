"""Formats that the city fixes for topics, in the setting MISTO_ENVELOPES: `plant/+/data=chirpstack_v4`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from paho.mqtt.client import topic_matches_sub

from ingest.envelopes import Announcement, Envelope, NotAReading, Uplink
from ingest.errors import IngestError

#: What a filter is given instead of a format, for topics that nobody wants to read.
IGNORE = "ignore"
_MOST_TOPICS = 200_000


class WrongPin(IngestError):
    """MISTO_ENVELOPES says something that cannot be. Its text is a sentence for a person."""


class Unwanted(NotAReading):
    """A message on a topic that the city ignores on purpose."""

    outcome = "unwanted"


@dataclass(frozen=True)
class Pin:
    """An MQTT topic filter and the format of what comes on its topics."""

    topic_filter: str
    envelope: Envelope


class Pins:
    """The first filter that fits a topic wins; what was looked up is remembered. False if there are none."""

    def __init__(self, pins: Sequence[Pin] = ()) -> None:
        self._pins = tuple(pins)
        self._by_topic: dict[str, Pin | None] = {}

    def __bool__(self) -> bool:
        return bool(self._pins)

    def find(self, topic: str) -> Pin | None:
        """The pin of a topic, if it has one."""
        try:
            return self._by_topic[topic]
        except KeyError:
            if len(self._by_topic) >= _MOST_TOPICS:  # topics are input: their memory has an end
                self._by_topic.clear()
            found = next((pin for pin in self._pins if topic_matches_sub(pin.topic_filter, topic)), None)
            self._by_topic[topic] = found
            return found


def parse_pins(text: str, envelopes: Iterable[Envelope]) -> Pins:
    """The pins of a setting `filter=format, filter=format`. Raises `WrongPin`."""
    by_name = {envelope.name: envelope for envelope in (*envelopes, _IGNORED)}
    pins = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        topic_filter, equals, name = (part.strip() for part in entry.rpartition("="))
        if not equals or not topic_filter or not name:
            raise WrongPin(
                f"MISTO_ENVELOPES: {entry!r}: expected filter=format, for example plant/+/data=chirpstack_v4"
            )
        wrong = _mistake(topic_filter)
        if wrong:
            raise WrongPin(f"MISTO_ENVELOPES: {topic_filter!r} is no topic filter: {wrong}")
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, 3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(by_name))}"
            raise WrongPin(f"MISTO_ENVELOPES: {entry!r}: there is no format {name!r}; {hint}")
        pins.append(Pin(topic_filter, by_name[name]))
    return Pins(pins)


def _mistake(topic_filter: str) -> str:
    """What is wrong with a filter by MQTT 5, section 4.7.1; empty if nothing is."""
    levels = topic_filter.split("/")
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        return "# stands alone in the last level"
    if any("+" in level and level != "+" for level in levels):
        return "+ stands alone in its level"
    if "\0" in topic_filter or len(topic_filter.encode()) > 65_535:
        return "it has more than 65,535 bytes, or a null character"
    return ""


def _ignore(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    raise Unwanted("MISTO_ENVELOPES says to ignore its topic")


_IGNORED = Envelope(IGNORE, "ignored on purpose", lambda topic: False, lambda content: False, _ignore)
