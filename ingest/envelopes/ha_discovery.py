"""Home Assistant's MQTT discovery: `homeassistant/<component>/[<node>/]<object>/config`, and the topics it names.

Source: Home Assistant documentation, "MQTT", section "MQTT Discovery". A discovery message tells topic, value, unit and
class of a device's values; they are kept, so that messages on that topic, of whatever shape, can be read. A topic that
another format owns stays its own. See docs/formats/self-describing.md.
"""

from __future__ import annotations

import re
import threading
from typing import Any
from zoneinfo import ZoneInfo

from ingest.envelopes._ha_config import Config, Entity, looks_like_config, read_config
from ingest.envelopes._ha_template import Absent
from ingest.envelopes._moments import Moments
from ingest.envelopes._remembered import MOST_ENTRIES, Remembered
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, json_object, json_value
from ingest.errors import Reason, Undecodable

_COMPONENTS = (
    "alarm_control_panel|binary_sensor|button|camera|climate|cover|device|device_automation|device_tracker|event|fan"
    "|humidifier|image|lawn_mower|light|lock|notify|number|scene|select|sensor|siren|switch|tag|text|update|vacuum"
    "|valve|water_heater"
)
_CONFIG = re.compile(rf"(?:^|/)(?P<component>{_COMPONENTS})/(?:(?P<node>[^/]+)/)?(?P<object>[^/]+)/config$")
_PREFIX = "homeassistant/"
#: What stands for "no value" in Home Assistant.
_NO_VALUE = frozenset({"", "none", "null", "unknown", "unavailable", "online", "offline"})
#: Entities on one topic, and of one device that claim one metric: more are nobody's.
_MOST_TOGETHER = 200
_LONGEST_NUMBER = 60


class Discovery:
    """What discovery messages have told, for several threads."""

    def __init__(self, limit: int = MOST_ENTRIES) -> None:
        self._lock = threading.Lock()
        self._entities: Remembered[str, Entity] = Remembered(limit)
        self._quiet: Remembered[str, str] = Remembered(limit)
        self._by_topic: dict[str, dict[str, Entity]] = {}
        self._claims: dict[tuple[str, str], dict[str, Entity]] = {}

    @property
    def total(self) -> int:
        """How many entities are remembered."""
        return self._entities.total

    def knows(self, topic: str) -> bool:
        """Whether a discovery message named this topic."""
        with self._lock:
            return topic in self._by_topic or topic in self._quiet

    def learn(self, config: Config) -> None:
        """Take a discovery message over, in place of an earlier one."""
        with self._lock:
            for topic in config.quiet_topics:
                self._quiet.put(topic, topic)
            for key in config.removed:
                gone = self._entities.pop(key)
                if gone is not None:
                    self._let_go(gone)
            for entity in config.entities:
                gone = self._entities.pop(entity.key)
                if gone is not None:
                    self._let_go(gone)
                together = self._by_topic.get(entity.topic, {})
                claimed = self._claims.get(_claim(entity), {})
                if max(len(together), len(claimed)) >= _MOST_TOGETHER:
                    continue
                self._by_topic.setdefault(entity.topic, {})[entity.key] = entity
                self._claims.setdefault(_claim(entity), {})[entity.key] = entity
                for dropped in self._entities.put(entity.key, entity):
                    self._let_go(dropped)

    def forget(self, place: str) -> None:
        """Drop what the discovery message at `place` (`<component>/[<node>/]<object>`) has told, and its parts."""
        with self._lock:
            gone = [
                entity
                for entities in self._by_topic.values()
                for entity in entities.values()
                if entity.key == place or (place.startswith("device/") and entity.key.startswith(f"{place}/"))
            ]
            for entity in gone:
                self._entities.pop(entity.key)
                self._let_go(entity)

    def on_topic(self, topic: str) -> list[tuple[Entity, str]]:
        """The entities whose values come on this topic, each with its channel."""
        with self._lock:
            found = list(self._by_topic.get(topic, {}).values())
            for entity in found:
                self._entities.get(entity.key)  # it is in use
            return [(entity, self._channel(entity)) for entity in found]

    def _channel(self, entity: Entity) -> str:
        """Of several entities of a device with one metric the first is the device's, the others are its channels.

        The order is that of their ids, so that it does not depend on which message came first.
        """
        claimed = self._claims.get(_claim(entity), {})
        if entity.meaning is None or len(claimed) < 2:
            return ""
        first = min(claimed.values(), key=lambda other: (len(other.unique), other.unique))
        return "" if first.key == entity.key else entity.channel

    def _let_go(self, entity: Entity) -> None:
        for index, place in ((self._by_topic, entity.topic), (self._claims, _claim(entity))):
            held: Any = index
            entries = held.get(place, {})
            entries.pop(entity.key, None)
            if not entries:
                held.pop(place, None)


def _claim(entity: Entity) -> tuple[str, str]:
    return entity.address, entity.meaning.metric if entity.meaning else entity.key


class _Envelope:
    """The envelope with what it has learnt."""

    def __init__(self) -> None:
        self._discovery = Discovery()

    def owns_topic(self, topic: str) -> bool:
        """Discovery's own topics, and those that discovery messages have named."""
        if topic.startswith(_PREFIX) and (topic.endswith("/config") or topic == "homeassistant/status"):
            return True
        return self._discovery.knows(topic)

    def decode(self, topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        """Discovery messages, and values. Raises `Undecodable` or `NotAReading`."""
        if topic == "homeassistant/status":
            raise NotAReading("Home Assistant's own state")
        if self._discovery.knows(topic):
            return self._values(topic, payload)
        match = _CONFIG.search(topic)
        if match is None:
            why = "its topic is not that of a discovery message, and no discovery message has named it"
            raise Undecodable(Reason.UNKNOWN_ENVELOPE, why)
        if not payload.strip():
            self._discovery.forget("/".join(part for part in match.groups() if part))
            raise NotAReading("Home Assistant's discovery takes a description away")
        content = json_object(payload)
        config = read_config(match["component"], match["node"] or "", match["object"], content)
        self._discovery.learn(config)
        untold = [entity.label for entity in config.entities if entity.meaning is None and entity.wanted]
        facts = dict(config.facts)
        facts.setdefault("name", match["object"][:200])
        if untold:
            facts["not understood"] = ", ".join(untold)[:1000]
        return [Announcement(config.address, facts)]

    def _values(self, topic: str, payload: bytes) -> list[Uplink | Announcement]:
        entities = self._discovery.on_topic(topic)
        if not entities:
            raise NotAReading("a state or an availability that Home Assistant's discovery names")
        address = entities[0][0].address
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            raise Undecodable(Reason.BAD_VALUE, "it is not UTF-8 text", address) from None
        if text.strip().lower() in _NO_VALUE:
            raise NotAReading("a value that Home Assistant does not know")
        content: Any = None
        if any(entity.template is not None and entity.template.wants_json for entity, _ in entities):
            content = json_value(payload)
        moments = Moments()
        for entity, channel in entities:
            _read(moments, entity, channel, text, content)
        found = moments.result(address)
        if not found:
            raise NotAReading("a message without a value that Home Assistant's discovery names as a reading")
        return found


def _read(moments: Moments, entity: Entity, channel: str, text: str, content: Any) -> None:
    if entity.meaning is None or entity.template is None:
        if entity.wanted:
            moments.unknown(entity.label)
        return
    try:
        told = entity.template.value(text, content)
        if isinstance(told, str) and len(told) > _LONGEST_NUMBER:
            raise ValueError("is longer than any number")
        if isinstance(told, str) and told.strip().lower() in _NO_VALUE:
            return
        told = entity.meaning.sent(told)
    except Absent:
        return  # messages may be partial
    except ValueError as error:
        moments.problem(Reason.BAD_VALUE, f"{entity.label}: {error}")
        return
    moments.add(
        entity.address, None, entity.meaning.metric, told, field=entity.label, symbol=entity.meaning.symbol,
        channel=channel,
    )  # fmt: skip


def make(zone: ZoneInfo) -> list[Envelope]:
    """Home Assistant's discovery, asked last: what another format owns by its topic stays its own."""
    envelope = _Envelope()
    return [
        Envelope(
            "ha_discovery",
            "Home Assistant discovery",
            envelope.owns_topic,
            looks_like_config,
            envelope.decode,
            rank=95,
            reads_empty=True,
            # The prefix is Home Assistant's own; a city that has set another pins it.
            descriptions=("homeassistant/+/+/config", "homeassistant/+/+/+/config"),
        )
    ]
