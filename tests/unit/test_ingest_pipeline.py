"""What the pipeline keeps in mind of messages, without writers."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import psycopg
import pytest
from pydantic_core import ValidationError

from ingest.batch import Deliveries, decode_batch
from ingest.decoder import Decoder
from ingest.envelopes import NotAReading, all_envelopes
from ingest.errors import Undecodable
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.pipeline import Pipeline

NOW_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)


def no_database() -> psycopg.Connection[object]:
    raise AssertionError("no writer runs here")


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    decoder = Decoder(all_envelopes(ZoneInfo("UTC")), {}, OneDevice(None, None))
    made = Pipeline(decoder, no_database, "c", 0, 100, 1.0, most_messages=3, most_bytes=1000)
    yield made
    made.close()


def test_a_copy_has_the_time_of_what_still_waits(pipeline: Pipeline) -> None:
    pipeline.put([Message("t", b"a", 10, 1), Message("t", b"b", 20, 2)], 1)
    again = [Message("t", b"a", 70, 1, duplicate=True), Message("t", b"other", 80, 2, duplicate=True)]
    pipeline.put(again, 2)
    assert [message.received_us for message in again] == [10, 80]
    third = [Message("t", b"a", 90, 1, duplicate=True)]
    pipeline.put(third, 3)
    assert third[0].received_us == 10


def test_what_is_held_has_a_bound(pipeline: Pipeline) -> None:
    pipeline.put([Message("t", b"a", 10, 1), Message("t", b"b", 20, 2)], 1)
    assert pipeline.has_room()
    pipeline.put([Message("t", b"c", 30, 3)], 1)
    assert not pipeline.has_room(), "three messages are the most"


def test_what_is_held_has_a_bound_in_bytes(pipeline: Pipeline) -> None:
    pipeline.put([Message("t", bytes(1000), 10, 1)], 1)
    assert not pipeline.has_room()


def test_a_batch_ends_at_its_bytes_and_takes_one_message_at_the_least(pipeline: Pipeline) -> None:
    pipeline.batch_bytes = 1000
    sizes = [400, 400, 400, 1500, 10]
    pipeline.put([Message("", bytes(size), 10 + n, 1 + n) for n, size in enumerate(sizes)], 1)
    batches = []
    while (work := pipeline._next()) is not None:
        batches.append(([len(message.payload) for message in work.messages], work.size_bytes))
        work.done = True
        if sum(size for _, size in batches) == sum(sizes):
            break
    assert batches == [([400, 400], 800), ([400], 400), ([1500], 1500), ([10], 10)]
    pipeline.finished()
    assert (pipeline.unfinished(), pipeline._held_bytes, pipeline._pending_bytes) == (0, 0, 0)


def test_a_new_connection_does_not_make_one_batch_of_all_that_waits(pipeline: Pipeline) -> None:
    pipeline.batch_bytes = 1000
    pipeline.put([Message("", bytes(600), 10 + n, 1 + n) for n in range(5)], 1)
    pipeline.put([Message("", b"again", 70, 1, duplicate=True)], 2)
    assert [(work.generation, len(work.messages)) for work in pipeline._works] == [(1, 1)] * 5


@pytest.mark.parametrize(
    "payload",
    [
        '{"unknown": 1, "nothing": 2}',  # no reading
        "{",  # no JSON
        '[{"power_w": 1, "time": "2030-01-01T00:00:00Z"}]',  # the future
        '[{"power_w": 1}, {"power_w": 1, "time": "2030-01-01T00:00:00Z"}]',  # one part of two
        '{"fields": [1], "power_w": "x", "time": 5}',
    ],
)
def test_nothing_of_a_refused_message_waits_for_the_garbage_collector(payload: str) -> None:
    decoder = Decoder(all_envelopes(ZoneInfo("UTC")), {}, OneDevice(None, None))
    messages = [Message("misto/a/up", payload.encode(), NOW_US, 1)]

    def errors() -> list[Exception]:
        return [one for one in gc.get_objects() if isinstance(one, Undecodable | NotAReading | ValidationError)]

    gc.collect()
    gc.disable()
    try:
        others = {id(one): one for one in errors()}
        decode_batch(messages, decoder, {})
        left = [one for one in errors() if id(one) not in others]
    finally:
        gc.enable()
    assert left == []


def test_a_batch_accounts_for_every_message_and_device() -> None:
    decoder = Decoder(all_envelopes(ZoneInfo("UTC")), {}, OneDevice(None, None))
    later, earlier = '{"time": "2026-11-23T09:00:00Z", "power_w": 5}', '{"time": "2026-11-23T08:00:00Z", "power_w": 6}'
    payloads = [
        f"[{later}, {earlier}]",  # two moments, the later one first
        '{"power_w": 7}',  # no time
        '{"time": "1970-01-01T00:05:00Z", "power_w": 8}',  # a clock that was never set
        '[{"time": 300, "power_w": 9}, {"power_w": 9}]',  # only its first part's
        '{"power_w": 1, "voltage_v": "high"}',  # one field is wrong
        "{",
    ]
    messages = [Message("misto/a/up", text.encode(), NOW_US + 10 - i, i + 1) for i, text in enumerate(payloads)]
    deliveries: Deliveries = {}
    decoded = decode_batch(messages, decoder, deliveries)
    assert decoded.outcomes == {"stored": 4, "partly_quarantined": 1, "quarantined": 1}
    assert decoded.reasons == {"bad_value": 1, "not_json": 1}
    assert decoded.unset_clocks == 2
    assert decoded.batch.source.tolist() == [0, 0, 1, 2, 3, 3, 4]
    assert decoded.batch.value.tolist() == [5, 6, 7, 8, 9, 9, 1]
    received = [message.received_us for message in messages]
    hour_us = 3_600_000_000
    assert decoded.batch.time_us.tolist() == [
        NOW_US - hour_us, NOW_US - 2 * hour_us, received[1], received[2], received[3], received[3], received[4],
    ]  # fmt: skip
    (seen,) = decoded.devices.values()
    assert (seen.messages, seen.received_us, seen.event_us) == (7, received[0], received[1])
    # All without a time of their own, and what is in quarantine, keep their first time of reception.
    assert sorted(deliveries) == [2, 3, 4, 5, 6]
