"""Messages become a batch for the store. No I/O but what the registry asks for unknown devices."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import psycopg

from ingest.clock import TimeSource
from ingest.decoder import Decoder, digest
from ingest.envelopes import NotAReading
from ingest.errors import Reason, Undecodable, bare
from ingest.message import Message
from store.errors import StoreError, is_about_data
from store.text import storable
from store.writer import Delivery, ReadingBatch, Source, Unreadable

log = logging.getLogger("misto.ingest")


@dataclass
class Seen:
    """What a batch says of a device, for its status."""

    received_us: int = 0
    event_us: int = 0
    messages: int = 0
    envelope: str = ""
    unknown_fields: set[str] = field(default_factory=set)


@dataclass
class DecodedBatch:
    """A batch to be written, and what is to be counted once it is."""

    batch: ReadingBatch
    devices: dict[int, Seen]
    outcomes: Counter[str]
    reasons: Counter[str]
    unset_clocks: int


#: packet id → digest and first time of reception in microseconds, of messages without a time of their own.
Deliveries = dict[int, tuple[bytes, int]]

_DEVICE = TimeSource.DEVICE

# What the status of a device tells of fields that nobody understood.
_MOST_UNKNOWN_FIELDS = 50
_LONGEST_FIELD_NAME = 100


def decode_batch(messages: Sequence[Message], decoder: Decoder, deliveries: Deliveries) -> DecodedBatch:
    """Decode messages in order of arrival. Every one ends as readings, in quarantine, or counted as no reading."""
    times: list[int] = []
    rows: list[tuple[int, int, float, int]] = []
    origins: list[int] = []
    sources: list[Source] = []
    unreadable: list[Unreadable] = []
    marks: list[Delivery] = []
    devices: dict[int, Seen] = {}
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    unset_clocks = stored = 0
    for index, message in enumerate(messages):
        if message.duplicate and message.packet_id in deliveries:
            first_digest, first_us = deliveries[message.packet_id]
            if first_digest == digest(message):
                message.received_us = first_us
        received_us = message.received_us
        source = Source(message.topic, message.payload, received_us / 1e6)
        sources.append(source)
        try:
            parts = decoder.decode(message)
        except NotAReading as error:
            outcomes[bare(error).outcome] += 1
            continue
        except Exception as error:
            if isinstance(error, StoreError) or (isinstance(error, psycopg.Error) and not is_about_data(error)):
                raise  # the registry's database is away: the whole batch waits
            refusal = bare(error if isinstance(error, Undecodable) else _failed(error))
            reasons[refusal.reason] += 1
            outcomes["quarantined"] += 1
            unreadable.append(Unreadable(source, refusal.reason, refusal.detail, refusal.device_address))
            _remember(message, deliveries, marks)
            continue
        problems = parts[0].problems if len(parts) == 1 else [item for part in parts for item in part.problems]
        all_timed, clock_unset = True, False
        for part in parts:
            if part.time_source is not _DEVICE:
                all_timed = False
                clock_unset = clock_unset or part.time_source is TimeSource.UNSET_CLOCK
            readings = part.readings
            rows += readings
            times += [part.time_us] * len(readings)
            origins += [index] * len(readings)
            seen = devices.get(part.device.device_id)
            if seen is None:
                seen = devices[part.device.device_id] = Seen()
            seen.messages += 1
            seen.envelope = part.envelope
            if received_us > seen.received_us:
                seen.received_us = received_us
            if part.time_us > seen.event_us:
                seen.event_us = part.time_us
            if part.unknown_fields and len(seen.unknown_fields) < _MOST_UNKNOWN_FIELDS:
                names = part.unknown_fields[:_MOST_UNKNOWN_FIELDS]
                seen.unknown_fields.update(storable(name, _LONGEST_FIELD_NAME) for name in names)
        if problems:
            detail = "; ".join(text for _, text in problems)
            reason: Reason = problems[0][0]
            unreadable.append(Unreadable(source, reason, detail, parts[0].device.address))
            reasons[reason] += 1
            outcomes["partly_quarantined"] += 1
        else:
            stored += 1
        if problems or not all_timed:
            unset_clocks += clock_unset
            _remember(message, deliveries, marks)
    if stored:
        outcomes["stored"] = stored
    points, metric_ids, values, qualities = zip(*rows, strict=True) if rows else ((), (), (), ())
    batch = ReadingBatch(
        np.array(times, np.int64),
        np.array(points, np.int32),
        np.array(metric_ids, np.int16),
        np.array(values, np.float64),
        np.array(qualities, np.int16),
        received_at=max((message.received_us for message in messages), default=time.time_ns() // 1000) / 1e6,
        source=np.array(origins, np.int32),
        sources=sources,
        unreadable=unreadable,
        deliveries=marks,
    )
    return DecodedBatch(batch, devices, outcomes, reasons, unset_clocks)


def _failed(error: Exception) -> Undecodable:
    """A mistake of ours must cost one message, not the service."""
    log.exception("a message could not be decoded, which is a mistake of Misto's; it is in quarantine")
    return Undecodable(Reason.DECODER_FAILED, f"{type(error).__name__}: {error}")


def _remember(message: Message, deliveries: Deliveries, marks: list[Delivery]) -> None:
    """Keep when a message was first received, so that a redelivery gives the same key."""
    if message.packet_id:
        its_digest = digest(message)
        deliveries[message.packet_id] = (its_digest, message.received_us)
        marks.append(Delivery(message.packet_id, its_digest, message.received_us / 1e6))
