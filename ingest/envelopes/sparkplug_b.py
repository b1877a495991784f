"""Sparkplug B: `spBv1.0/<group>/<type>/<edge node>[/<device>]`, protobuf.

Source: Eclipse Sparkplug 3.0 specification. A birth names the metrics, with aliases, data types and, as the property
`engUnit`, units; data may then carry aliases alone. Data whose birth was not seen cannot be read and waits in
quarantine. Renderings as JSON are read too. See docs/formats/self-describing.md.
"""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes._described import is_not_now, kind_of, meaning, words
from ingest.envelopes._moments import Moments
from ingest.envelopes._sparkplug_payload import (
    Metric,
    Payload,
    is_no_reading,
    is_switch_or_text,
    plain_value,
    read_payload,
)
from ingest.envelopes._sparkplug_state import Births, Definition
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address
from ingest.errors import Reason, Undecodable

# Brokers that know Sparkplug keep the births, retained, under $sparkplug/certificates/.
_TOPIC = re.compile(r"(?P<stored>\$sparkplug/certificates/)?spBv1\.0/(?P<rest>.+)", re.DOTALL)
_STATE = re.compile(r"STATE/[^/]+")
_BIRTHS = frozenset({"NBIRTH", "DBIRTH"})
_DEATHS = frozenset({"NDEATH", "DDEATH"})
_DATA = frozenset({"NDATA", "DDATA"})
_COMMANDS = frozenset({"NCMD", "DCMD"})

#: Metrics that control or describe the node, before their first slash.
_CONTROL = frozenset({"node control", "device control", "bdseq", "properties", "node info", "device info"})
#: Words of a birth's texts that tell of the device, and what they tell.
_FACTS = (
    ("maker", {"make", "maker", "manufacturer", "vendor"}),
    ("model", {"model"}),
    ("serial", {"serial"}),
    ("firmware", {"firmware", "fw"}),
    ("site", {"site", "location"}),
)
_LONGEST_FACT = 200
_MOST_TOLD = 20


def _owns_topic(topic: str) -> bool:
    return _TOPIC.fullmatch(topic) is not None or _STATE.fullmatch(topic) is not None


class _Sparkplug:
    """The envelope with what births have told."""

    def __init__(self) -> None:
        self._births = Births()

    def decode(self, topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        """Births, data and deaths. Raises `Undecodable` or `NotAReading`."""
        match = _TOPIC.fullmatch(topic)
        if match is None:
            raise NotAReading("the state of a Sparkplug host")
        parts = match["rest"].split("/")
        if parts[0] == "STATE" or (len(parts) > 1 and parts[1] == "STATE"):
            raise NotAReading("the state of a Sparkplug host")
        kind = parts[1] if len(parts) > 1 else ""
        if kind not in _BIRTHS | _DEATHS | _DATA | _COMMANDS:
            raise Undecodable(Reason.BAD_STRUCTURE, f"Sparkplug B has no messages of the type {kind[:20]!r}")
        if kind in _COMMANDS:
            raise NotAReading(f"a Sparkplug command {kind}")
        wanted = 4 if kind.startswith("D") else 3
        if len(parts) != wanted or not all(parts):
            raise Undecodable(
                Reason.NO_DEVICE, f"the topic of a {kind} names group, type, edge node{', device' * (wanted == 4)}"
            )
        place = (parts[0], parts[2], parts[3] if wanted == 4 else "")
        address = device_address("/".join(part for part in place if part))
        content = read_payload(payload)
        if kind in _DEATHS:
            self._births.died(place, received_us, content.seq, _bd_seq(content))
            raise NotAReading(f"a Sparkplug death {kind}")
        if kind in _BIRTHS:
            return self._birth(place, address, content, received_us, is_stored=match["stored"] is not None)
        return self._data(place, address, content, received_us)

    def _birth(
        self, place: tuple[str, str, str], address: str, content: Payload, received_us: int, *, is_stored: bool
    ) -> list[Uplink | Announcement]:
        definitions: dict[str, Definition] = {}
        moments = Moments()
        taken: set[tuple[str, str]] = set()
        facts: dict[str, str] = {}
        untold: list[str] = []
        for metric in content.metrics:
            if metric.problem or not metric.name:
                moments.problem(Reason.BAD_STRUCTURE, f"{_label(metric)}: {metric.problem or 'has no name'}")
                continue
            definition = _define(metric)
            if definition.meaning is not None:
                at = (definition.meaning.metric, definition.meaning.channel)
                if at in taken:  # two names that mean the same: nobody knows which of them is the one
                    definition = Definition(metric.name, metric.alias, metric.datatype, None, True)
                taken.add(at)
            definitions[metric.name] = definition
            _tell(facts, metric)
            if definition.meaning is not None:
                kind = kind_of(definition.meaning.metric)
                if kind:
                    facts.setdefault("kind", kind)
                _read(moments, address, metric, definition, content.timestamp)
            elif definition.wanted and len(untold) < _MOST_TOLD:
                untold.append(metric.name[:60] + (f" ({metric.unit})" if metric.unit else ""))
        self._births.born(place, definitions.values(), received_us, content.seq, _bd_seq(content), is_stored=is_stored)
        facts.setdefault("name", place[2] or place[1])
        if untold:
            facts["not understood"] = ", ".join(untold)
        return [Announcement(address, facts), *moments.result(address)]

    def _data(
        self, place: tuple[str, str, str], address: str, content: Payload, received_us: int
    ) -> list[Uplink | Announcement]:
        view = self._births.view(place, received_us, content.seq)
        moments = Moments()
        silent = True
        for metric in content.metrics:
            if metric.problem:
                moments.problem(Reason.BAD_STRUCTURE, f"{_label(metric)}: {metric.problem}")
                continue
            if metric.name and _is_control(metric.name):
                continue
            definition = view.find(metric.name, metric.alias)
            if definition is None and metric.name:
                told = _define(metric)
                # Without its birth only a metric that tells its unit itself is certain, or one that is no reading.
                if not told.wanted or (told.meaning is not None and told.meaning.unit is not None):
                    definition = told
            if definition is None:
                moments.problem(Reason.BAD_STRUCTURE, f"{_label(metric)}: no birth seen that names it{view.why}")
                continue
            if definition.meaning is not None:
                _read(moments, address, metric, definition, content.timestamp)
            elif definition.wanted and not metric.is_null:
                moments.unknown(definition.name)
                silent = False
        found = moments.result(address)
        if not found and silent:
            raise NotAReading("Sparkplug data without a reading")
        return found


def _define(metric: Metric) -> Definition:
    known = None
    wanted = not (metric.is_opaque or metric.is_transient or is_no_reading(metric.datatype))
    wanted = wanted and not _is_control(metric.name) and not is_not_now(metric.name)
    if wanted:
        known = meaning(metric.name, metric.unit or "")
        # A switch or a text that is no metric is nothing that anybody misses.
        wanted = known is not None or not is_switch_or_text(metric.datatype)
    return Definition(metric.name, metric.alias, metric.datatype, known, wanted)


def _is_control(name: str) -> bool:
    return name.split("/", 1)[0].strip().lower() in _CONTROL


def _read(moments: Moments, address: str, metric: Metric, definition: Definition, sent: object) -> None:
    """A metric's value at its own time, or at the message's."""
    known = definition.meaning
    value = plain_value(metric, metric.datatype or definition.datatype)
    if known is None or metric.is_null or metric.is_transient or metric.is_opaque or value is None:
        return
    told = metric.timestamp if metric.timestamp is not None else sent
    try:
        time_us = None if told is None else parse_time_us(told)
        value = known.sent(value)
    except (ValueError, OverflowError) as error:
        moments.problem(Reason.BAD_VALUE, f"{definition.name[:100]}: {error}")
        return
    moments.add(
        address,
        time_us,
        known.metric,
        value,
        field=definition.name,
        symbol=known.symbol,
        channel=known.channel,
        suspect=metric.is_suspect,
    )


def _bd_seq(content: Payload) -> int | None:
    for metric in content.metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, int) and not isinstance(metric.value, bool):
            return metric.value
    return None


def _tell(facts: dict[str, str], metric: Metric) -> None:
    if not isinstance(metric.value, str) or not metric.value.strip():
        return
    found = set(words(metric.name))
    for fact, telling in _FACTS:
        if telling & found:
            facts.setdefault(fact, metric.value[:_LONGEST_FACT])
            return


def _label(metric: Metric) -> str:
    if metric.name:
        return f"metric {metric.name[:100]!r}"
    return "a metric" if metric.alias is None else f"metric with alias {metric.alias}"


def make(zone: ZoneInfo) -> list[Envelope]:
    """Sparkplug B; its times are UTC. It is never guessed from content: without its topic nobody is named."""
    return [
        Envelope(
            "sparkplug_b",
            "Sparkplug B",
            _owns_topic,
            lambda content: False,
            _Sparkplug().decode,
            rank=10,
            descriptions=("spBv1.0/+/NBIRTH/+", "spBv1.0/+/DBIRTH/+/+"),
        )
    ]
