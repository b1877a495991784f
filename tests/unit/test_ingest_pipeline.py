"""What the pipeline keeps in mind of messages, without writers."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import psycopg
import pytest

from ingest.decoder import Decoder
from ingest.envelopes import all_envelopes
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.pipeline import Pipeline


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
