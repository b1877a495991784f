"""Formats fixed for topics by MISTO_ENVELOPES."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from ingest import pins
from ingest.batch import decode_batch
from ingest.decoder import Decoder, Explanation
from ingest.envelopes import NotAReading, all_envelopes
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.pins import Pins, WrongPin, parse_pins

ENVELOPES = all_envelopes(ZoneInfo("Europe/Kyiv"))
NOW_US = 1_795_000_000_000_000


def decoder(setting: str) -> Decoder:
    return Decoder(ENVELOPES, {}, OneDevice(None, None), pins=parse_pins(setting, ENVELOPES))


@pytest.mark.parametrize(
    ("topic_filter", "topic", "fits"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "any/thing", True),
        ("#", "$SYS/broker", False),
        ("+/broker", "$SYS/broker", False),
        ("$SYS/#", "$SYS/broker", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("meter", "meters", False),
        ("Meter", "meter", False),
    ],
)
def test_filters_match_as_mqtt_says(topic_filter: str, topic: str, fits: bool) -> None:
    assert (parse_pins(f"{topic_filter}=plain_json", ENVELOPES).find(topic) is not None) is fits


def test_the_first_that_fits_wins_over_topic_and_content() -> None:
    found = parse_pins("a/b=tasmota, a/+=plain_json , a/#=ignore,", ENVELOPES)
    named = [found.find(topic) for topic in ("a/b", "a/c", "a/c/d", "b")]
    assert [pin and pin.envelope.name for pin in named] == ["tasmota", "plain_json", "ignore", None]
    topic, told = "tele/plug/SENSOR", Explanation()
    payload = b'{"device": "m1", "power_w": 5}'
    with pytest.raises(NotAReading):
        decoder("").decode(Message(topic, payload, NOW_US))
    pinned = decoder("tele/#=plain_json")
    for _ in range(2):
        (part,) = pinned.decode(Message(topic, payload, NOW_US), told)
        assert (part.envelope, told.envelope_why) == ("plain_json", "pinned by MISTO_ENVELOPES: tele/#")


def test_a_topic_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def matches(topic_filter: str, topic: str) -> bool:
        asked.append(topic)
        return topic == "a"

    monkeypatch.setattr(pins, "topic_matches_sub", matches)
    found = parse_pins("x=plain_json", ENVELOPES)
    for _ in range(3):
        assert found.find("a") is not None
        assert found.find("b") is None
    assert asked == ["a", "b"]
    assert not Pins()


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("plant/+/data=chirpstack4", "there is no format 'chirpstack4'; did you mean chirpstack_v4"),
        ("plant=zzzzzz", "there is no format 'zzzzzz'; there are ai_on_the_edge"),
        ("plant/#/data=plain_json", "'plant/#/data' is no topic filter: # stands alone in the last level"),
        ("plant/x#=plain_json", "# stands alone"),
        ("plant/a+/data=plain_json", r"\+ stands alone in its level"),
        ("plain_json", "expected filter=format"),
        ("=plain_json", "expected filter=format"),
        ("plant/#=", "expected filter=format"),
    ],
)
def test_mistakes_are_sentences(setting: str, sentence: str) -> None:
    with pytest.raises(WrongPin, match=sentence) as caught:
        parse_pins(setting, ENVELOPES)
    assert str(caught.value).startswith("MISTO_ENVELOPES: ")


def test_what_is_ignored_is_counted_and_kept_nowhere() -> None:
    messages = [Message("cameras/1", b"\xff\xd8", NOW_US), Message("cams/1", b"\xff\xd8", NOW_US)]
    result = decode_batch(messages, decoder("cameras/#=ignore"), {})
    assert result.outcomes == {"unwanted": 1, "quarantined": 1}
    assert [entry.source.topic for entry in result.batch.unreadable] == ["cams/1"]
