"""Whatever comes, to every envelope that there is: valid messages changed in every way, through the whole decoder.

FUZZ_EXAMPLES (20 unless told) sets how many examples an envelope gets.
"""

from __future__ import annotations

import base64
import gc
import json
import math
import os
import random
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogue.geometry import BinGeometry
from catalogue.metrics import metrics_by_id
from ingest.clock import FUTURE_TOLERANCE_US
from ingest.decoder import MAX_PAYLOAD_BYTES, Decoded, Decoder
from ingest.envelopes import Envelope, NotAReading, all_envelopes
from ingest.envelopes._remembered import Remembered
from ingest.errors import Undecodable
from ingest.message import Message
from ingest.profile import LORAWAN, load_profiles
from store.registry import Assignment, RegisteredDevice
from store.text import storable
from tests.messages import NOW_US, Sample, samples

KYIV = ZoneInfo("Europe/Kyiv")
PROFILES = load_profiles(zone=KYIV)
NAMES = sorted(envelope.name for envelope in all_envelopes(KYIV))
SAMPLES = samples()
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20"))

#: What bounds the memory of topics, addresses and names.
LIMITS = {
    "ingest.decoder": ["_MOST_REMEMBERED"],
    "ingest.envelopes.base": ["_MOST_ADDRESSES"],
    "ingest.recognition": ["_MOST_NAMES"],
}
#: Levels of topics that make the format.
FIXED = {"spBv1.0", "NBIRTH", "DBIRTH", "DDATA", "homie", "5", "homeassistant", "sensor", "config", "misto", "up", "emon", "edge", "tele",
         "SENSOR", "application", "device", "event", "v3", "devices", "json", "attrs", "v1", "gateway", "telemetry", "shellies", "power",
         "emeter", "events", "rpc", "wmbusmeters", "zigbee2mqtt", "main", "state", "dsmr", "reading", "channel"}  # fmt: skip

#: A device's address (128 characters), and a channel's behind it.
LONGEST_ADDRESS = 256
LONGEST_PROBLEM = 1000

THOROUGH = settings(
    max_examples=EXAMPLES, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)  # fmt: skip


class _Registry:
    """Knows no device, and checks what it is told."""

    def __init__(self, profile: str | None = None) -> None:
        self._profile = profile
        geometry = BinGeometry(empty_mm=1500, full_mm=300)
        self._assignments = [Assignment(1, "", float("-inf"), float("inf"), geometry)]

    def device(self, address: str) -> RegisteredDevice | None:
        check_address(address)
        if self._profile is None:
            return None
        return RegisteredDevice(1, address, self._profile, "claimed", self._assignments)

    def unclaimed(self, address: str, profile: str | None, kind: str, guess: Mapping[str, Any]) -> RegisteredDevice:
        check_address(address)
        assert json.dumps(guess, ensure_ascii=False).encode()
        assert len(json.dumps(guess)) < 20_000
        return RegisteredDevice(1, address, profile, "unclaimed", self._assignments)

    def announced(self, address: str, facts: Mapping[str, str]) -> None:
        check_address(address)
        assert all(isinstance(name, str) and isinstance(text, str) for name, text in facts.items())


def check_address(address: str) -> None:
    assert address
    assert address.isprintable()
    assert storable(address) == address
    assert len(address) <= LONGEST_ADDRESS


def check_parts(parts: list[Decoded], size: int) -> None:
    """What leaves the decoder can be stored, and is no more than the message can have told."""
    assert parts
    told = [text for part in parts for _, text in part.problems]
    assert all(len(text) < LONGEST_PROBLEM and storable(text) == text for text in told), max(told, key=len)
    assert len(told) + sum(len(part.readings) for part in parts) <= 64 + size
    for part in parts:
        check_address(part.device.address)
        assert part.time_us <= NOW_US + FUTURE_TOLERANCE_US
        for _, metric, value, _ in part.readings:
            assert metric in metrics_by_id()
            assert isinstance(value, int | float)
            assert math.isfinite(value)


def feed(decoder: Decoder, topic: str, payload: bytes) -> None:
    """One message into the decoder; only the two errors may leave it."""
    refused: Undecodable | None = None
    parts: list[Decoded] | None = None
    try:
        parts = decoder.decode(Message(topic, payload, NOW_US))
    except Undecodable as error:
        refused = error
    except NotAReading:
        return
    if parts is not None:
        check_parts(parts, len(payload))
    if refused is not None:
        assert len(refused.detail) < LONGEST_PROBLEM, refused.detail
        assert storable(refused.detail) == refused.detail
        if refused.device_address is not None:
            check_address(refused.device_address)


def decoder_for(name: str | None = None, profile: str | None = None) -> Decoder:
    """The whole decoder; with a name this envelope alone, asked for every topic."""
    found: tuple[Envelope, ...] = all_envelopes(KYIV)
    if name is not None:
        only = next(envelope for envelope in found if envelope.name == name)
        found = (replace(only, owns_topic=lambda topic: only.owns_topic(topic) or True),)
    return Decoder(found, PROFILES, _Registry(profile), thorough=True)


def of(name: str) -> list[Sample]:
    return [sample for sample in SAMPLES if sample.envelope == name]


@pytest.mark.parametrize("name", NAMES)
def test_every_envelope_has_a_valid_message(name: str) -> None:
    assert of(name), f"the envelope {name} has no message in tests/messages.py: nothing would be tried on it"
    for sample in of(name):
        decoder = Decoder(all_envelopes(KYIV), PROFILES, _Registry(), thorough=True)
        for topic, payload in sample.before:
            feed(decoder, topic, payload)
        parts = decoder.decode(Message(sample.topic, sample.payload, NOW_US))
        assert {part.envelope for part in parts} == {name}
        assert any(part.readings for part in parts)
        assert [problem for part in parts for problem in part.problems] == []


# Changes


#: Stands in JSON for what json.dumps cannot write; `to_bytes` puts the raw text there.
_RAW = "\ue000"
RAW_NUMBERS = ["1e999", "-1e999", "NaN", "Infinity", "-Infinity", "-0", "-0.0", "1" + "0" * 400, "9" * 4000, "1e-400",
               str(2**63), str(-(2**63) - 1), str(2**64), str(2**31), "1.7976931348623157e308", "5e-324"]  # fmt: skip
ABSURD: list[Any] = [
    None, True, False, "", " ", 0, -1, 1, -273.15, 1e308, -1e308, 2**53 + 1, [], {}, [[]], [{}], {"": {}}, [None], {"value": None},
    "NaN", "inf", "1e999", "-0", "1_000", "٣٤", "१२", "0x10", "9" * 5000, "1," * 50, "1e400", "²", "½", "1" + "0" * 400,
    "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\u202eevil", "\u2066x", "\u200b", "\ufeff", "\x1b[31m", "\r\n", "🗑" * 50,
    "2026-13-45T99:99:99Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-23T10:00:00", "1970-01-01", "T", "Z",
    "=====", "AAAA", "zz", "A" * 3000, "{{ value_json.a }}", "{{" * 200, "{% for i in range(10) %}", "~", "#", "+", "/", "//", "$", ".",
    "../..", "\\", "'", '"', "%s%n", "kWh", "W", "furlong", "°F", "null", "unavailable", "[1]", '{"a":1}', 1e11, 1e15, -1e15, 4e18,
    1795427880, 1795427880000, 1795427880000000, "1795427880",
    *(f"{_RAW}{text}{_RAW}" for text in RAW_NUMBERS),
]  # fmt: skip


def to_bytes(value: Any) -> bytes:
    """JSON, with numbers that no JSON library writes, and lone surrogates as escapes."""
    text = json.dumps(value)
    mark = json.dumps(_RAW)[1:-1]
    return text.replace(f'"{mark}', "").replace(f'{mark}"', "").encode()


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) within a JSON value."""
    found: list[tuple[Any, Any]] = []
    layer = [value]
    while layer:
        node = layer.pop()
        items: list[tuple[Any, Any]] = []
        if isinstance(node, dict):
            items = list(node.items())
        elif isinstance(node, list):
            items = list(enumerate(node))
        found += [(node, key) for key, _ in items]
        layer += [child for _, child in items]
    return found


def change(value: Any, chance: random.Random, others: list[Any]) -> Any:
    """The value with one thing about it made wrong."""
    found = places(value)
    if not found or chance.random() < 0.05:
        return deepcopy(
            chance.choice([[value], {"value": value}, [value, value], *chance.choices(ABSURD), *chance.choices(others)])
        )
    node, key = chance.choice(found)
    match chance.randrange(12):
        case 0 | 1 | 2 | 3:
            node[key] = deepcopy(chance.choice(ABSURD))
        case 4:
            node[key] = [node[key]]
        case 5:
            node[key] = {str(chance.choice(["value", "", "0", "type", key])): node[key]}
        case 6 if isinstance(node[key], list | dict) and node[key]:
            node[key] = next(iter(node[key].values() if isinstance(node[key], dict) else node[key]))
        case 7:
            del node[key]
        case 8 if isinstance(node, dict):
            renamed = str(chance.choice([f"{key}2", str(key).upper(), str(key)[:-1], "", "\x00", "\ud800", "k" * 2000]))
            node[renamed] = node.pop(key)
        case 9 if isinstance(node, dict):
            source, other = chance.choice(found)
            node[key] = deepcopy(source[other])
        case 10:
            if isinstance(node, list):
                node.extend(deepcopy(node) * chance.choice([1, 3, 30]))
            else:
                node.update({f"{key}{n}": deepcopy(node[key]) for n in range(chance.choice([1, 5, 50]))})
        case _:
            donor = places(chance.choice(others))
            if donor:
                source, other = chance.choice(donor)
                node[key] = deepcopy(source[other])
                if isinstance(node, dict) and isinstance(other, str):
                    node[other] = deepcopy(source[other])
    return value


def damage(payload: bytes, chance: random.Random) -> bytes:
    """Bytes cut, turned, doubled or replaced anywhere."""
    at = chance.randrange(len(payload) + 1)
    other = chance.randrange(len(payload) + 1)
    start, end = min(at, other), max(at, other)
    match chance.randrange(7):
        case 0:
            return payload[:at]
        case 1:
            return payload[at:]
        case 2:
            return payload[:at] + bytes([chance.randrange(256)]) + payload[at + 1 :]
        case 3:
            return payload[:start] + payload[end:]
        case 4:
            return payload[:at] + payload[start:end] * chance.choice([2, 20]) + payload[at:]
        case 5:
            odd = [
                b"\xff",
                b"\x00",
                b"\xc0\x80",
                b"\xed\xa0\x80",
                b"\xef\xbb\xbf",
                b"\r\n",
                b"9" * 400,
                b"(",
                b"|",
                b"#",
                b"*",
                b"\xff" * 12,
            ]
            return payload[:at] + chance.choice(odd) + payload[at:]
        case _:
            return payload[:start] + payload[start:end][::-1] + payload[end:]


ODD_LEVELS = ["", "a", "$x", "+", "#", " ", "\x00", "\ud800", "\u202e", "ü" * 40, "x" * 300, "0", "-1", "9" * 30, "SENSOR", "state", "unit",
              "power", "up", "attrs", "set", "config", "value", "²"]  # fmt: skip


def change_topic(topic: str, chance: random.Random) -> str:
    levels = topic.split("/")
    at = chance.randrange(len(levels))
    match chance.randrange(6):
        case 0:
            levels[at] = chance.choice(ODD_LEVELS)
        case 1:
            levels.insert(at, chance.choice(ODD_LEVELS))
        case 2:
            del levels[at]
        case 3:
            levels = levels * chance.choice([2, 50])
        case 4:
            levels[at] = chance.choice(levels)
        case _:
            levels[at : at + 1] = [levels[at]] * chance.choice([2, 200])
    return "/".join(levels)[:65_535]


#: A decoder of each envelope alone, and of all, that have a past: what was told earlier is part of the state.
_DECODERS: dict[str | None, Decoder] = {name: decoder_for(name) for name in (None, *NAMES)}
_PARSED: list[Any] = []
for _each in SAMPLES:
    try:
        _PARSED.append(json.loads(_each.payload))
    except ValueError:
        continue


def changed(content: bytes, chance: random.Random) -> bytes:
    """A message's content with a few changes."""
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if value is None or chance.random() < 0.15:
        for _ in range(chance.choice([1, 1, 2, 5])):
            content = damage(content, chance)
        return content
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        value = change(value, chance, _PARSED)
    told = to_bytes(value)
    return damage(told, chance) if chance.random() < 0.1 else told


@pytest.mark.parametrize("name", NAMES)
@THOROUGH
@given(seed=st.integers(0, 2**64))
def test_changed_messages(name: str, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(20):
        sample = chance.choice(of(name))
        messages = [*sample.before, (sample.topic, sample.payload)]
        wrong = chance.randrange(len(messages))
        told = []
        for index, (topic, payload) in enumerate(messages):
            if index == wrong:
                if chance.random() < 0.85:
                    payload = changed(payload, chance)
                if chance.random() < 0.2:
                    topic = change_topic(topic, chance)
            told.append((topic, payload[:MAX_PAYLOAD_BYTES]))
        alone = chance.random() < 0.5
        fresh = bool(sample.before) and chance.random() < 0.3
        decoder = decoder_for(name) if fresh else _DECODERS[name if alone else None]
        for topic, payload in told:
            feed(decoder, topic, payload)


@pytest.mark.parametrize("name", NAMES)
def test_cut_at_every_byte(name: str) -> None:
    for sample in of(name)[:2]:
        for before in (sample.before, ()):
            decoder = decoder_for(name)
            for topic, payload in before:
                feed(decoder, topic, payload)
            for end in range(len(sample.payload)):
                feed(decoder, sample.topic, sample.payload[:end])


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_the_wrong_type(name: str) -> None:
    wrong: list[Any] = [None, True, "x", "", -1, 2**63, [], {}, [[1]], {"a": {"b": 1}}, f"{_RAW}1e999{_RAW}", f"{_RAW}NaN{_RAW}",
                        f"{_RAW}1{'0' * 400}{_RAW}", "\x00\ud800"]  # fmt: skip
    sample = next((sample for sample in of(name) if sample.payload[:1] in b"[{"), of(name)[0])
    decoder = decoder_for(name)
    for topic, payload in sample.before:
        feed(decoder, topic, payload)
    try:
        content = json.loads(sample.payload)
    except ValueError:
        content = None
    for index in range(len(places(content))):
        for value in wrong:
            copy = deepcopy(content)
            node, key = places(copy)[index]
            node[key] = value
            feed(decoder, sample.topic, to_bytes(copy))


@pytest.mark.parametrize("name", NAMES)
def test_content_of_other_formats(name: str) -> None:
    decoder = decoder_for(name)
    for topic in {sample.topic for sample in of(name)}:
        for other in SAMPLES:
            feed(decoder, topic, other.payload)


TOPICS = st.sampled_from(sorted({sample.topic for sample in SAMPLES})) | st.text(max_size=60)


@settings(THOROUGH, max_examples=EXAMPLES * 10)
@given(
    topic=TOPICS,
    payload=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
def test_any_bytes(topic: str, payload: bytes) -> None:
    for name in (None, *NAMES):
        feed(_DECODERS[name], topic, payload)


CODECS = sorted(name for name, profile in PROFILES.items() if set(profile.envelopes) & set(LORAWAN))
_CODEC_DECODERS = {name: decoder_for(profile=name) for name in CODECS}


@settings(THOROUGH, max_examples=EXAMPLES * 2)
@given(data=st.binary(max_size=260), port=st.integers(-1, 256))
def test_any_bytes_in_every_codec(data: bytes, port: int) -> None:
    address = "24e124000000a001"
    body = {"deviceInfo": {"devEui": address}, "fPort": port, "data": base64.b64encode(data).decode()}
    for decoder in _CODEC_DECODERS.values():
        feed(decoder, f"application/1/device/{address}/event/up", json.dumps(body).encode())


# Size


def _list(value: Any, count: int) -> Any:
    return [value] * count


def _objects(value: Any, count: int) -> Any:
    return {f"k{number}": value for number in range(count)}


def _text(value: Any, count: int) -> Any:
    return f"{value} " * count


def _digits(value: Any, count: int) -> Any:
    return "9" * (10 * count)


def _more(value: Any, count: int) -> Any:
    """More of what it has: items of a list, keys of an object."""
    if isinstance(value, list):
        return value * count
    if isinstance(value, dict) and value:
        return value | {f"{key}{number}": child for number in range(count) for key, child in value.items()}
    return None


def grown(sample: Sample, shape: Callable[[Any, int], Any], place: int | None, count: int) -> bytes | None:
    """The message with one place of it grown; None where that place cannot grow so."""
    content = json.loads(sample.payload)
    if place is None:
        content = shape(content, count)
    else:
        node, key = places(content)[place]
        node[key] = shape(node[key], count)
        content = None if node[key] is None else content
    return to_bytes(content) if content is not None else None


def calls(decoder: Decoder, topic: str, payload: bytes) -> int:
    """Function calls that a message costs, those into C among them."""
    count = 0

    def seen(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        feed(decoder, topic, payload)
    finally:
        sys.setprofile(before)
    return count


def growths(name: str) -> Iterator[tuple[str, Sample, Callable[[int], bytes | None]]]:
    """Ways to make a message of this envelope large: (what, message, payload by count)."""
    by_json = {sample.payload[:1] in b"[{" for sample in of(name)}
    for is_json in sorted(by_json):
        sample = next(sample for sample in of(name) if (sample.payload[:1] in b"[{") == is_json)
        if is_json:
            for place in (None, *range(len(places(json.loads(sample.payload))))):
                for shape in (_list, _objects, _text, _digits, _more):
                    yield f"{shape.__name__} at {place}", sample, partial(grown, sample, shape, place)
        else:
            payload = sample.payload
            for start in range(0, len(payload), max(1, len(payload) // 8)):
                piece = payload[start : start + 12]
                yield f"bytes {start}", sample, partial(_repeated, payload, start, piece)
            for sign in b"(|#/9 {[\x12\x0a\xff":
                yield f"sign {sign:c}", sample, partial(_repeated, payload, len(payload) // 2, bytes([sign]) * 8)


def _repeated(payload: bytes, start: int, piece: bytes, count: int) -> bytes:
    return payload[:start] + piece * count + payload[start:]


@pytest.mark.parametrize("name", NAMES)
def test_work_grows_no_faster_than_the_message(name: str) -> None:
    """Counted, not timed: what is twice as large again costs no more than what came before."""
    for what, sample, payload_of in growths(name):
        if payload_of(1) is None:
            continue
        costs = []
        for count in (40, 80, 160):
            decoder = decoder_for(name)
            for topic, payload in sample.before:
                feed(decoder, topic, payload)
            costs.append(calls(decoder, sample.topic, payload_of(count) or b""))
        small, middle, large = costs
        assert large - middle <= 2.5 * max(middle - small, 0) + 1000, (what, sample.topic, costs)
        assert large <= 400 * len(payload_of(160) or b""), (what, sample.topic, costs)


HOSTILE = [b"[" * 10_000, b"{" * 10_000, b'{"a":' * 10_000, b"[" * MAX_PAYLOAD_BYTES, b"9" * MAX_PAYLOAD_BYTES, b" " * MAX_PAYLOAD_BYTES,
           b"\xff" * MAX_PAYLOAD_BYTES, b'"' + b"x" * 260_000 + b'"', b"\x00" * MAX_PAYLOAD_BYTES, b"[" + b"1," * 120_000 + b"1]",
           json.dumps({f"k{number}": number for number in range(14_000)}).encode(), b"x" * (MAX_PAYLOAD_BYTES + 1), b"",
           b"\x12\x00" * 100_000, b"(" * MAX_PAYLOAD_BYTES, b"|" * MAX_PAYLOAD_BYTES, b"#" * MAX_PAYLOAD_BYTES]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_largest_and_the_deepest(name: str) -> None:
    decoder = decoder_for(name)
    topic = of(name)[0].topic
    for payload in HOSTILE:
        assert calls(decoder, topic, payload) < 1_500_000
    for long in (
        topic + "/a" * 30_000,
        "a/" * 30_000 + topic,
        topic + "x" * 60_000,
        "/" * 65_000,
        "",
        "\x00",
        "\ud800/x",
    ):
        assert calls(decoder, long, of(name)[0].payload) < 50_000


# Memory


def _renamed(payload: bytes, number: int) -> bytes:
    """The message of another device: every text of it that is not a number has a number more."""
    return payload.replace(b"77", b"%d" % (1000 + number)).replace(b"station-1", b"station-%d" % number)


@pytest.mark.parametrize("name", NAMES)
def test_endless_new_devices_have_an_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limits of memory lowered, what is kept of twice as many devices is not more."""
    for module, limits in LIMITS.items():
        for limit in limits:
            monkeypatch.setattr(import_module(module), limit, 50)
    right = Remembered.__init__
    monkeypatch.setattr(Remembered, "__init__", lambda self, limit=0: right(self, 50))
    caches = [
        cached
        for module in [module for name, module in sys.modules.items() if name.startswith("ingest.")]
        for cached in vars(module).values()
        if hasattr(cached, "cache_clear")
    ]
    assert all((cached.cache_info().maxsize or 1) <= 20_000 for cached in caches)
    sample = next((sample for sample in of(name) if sample.before), of(name)[0])
    decoder = decoder_for(name)
    number = 0

    def devices(count: int) -> int:
        nonlocal number
        for _ in range(count):
            number += 1
            for topic, payload in (*sample.before, (sample.topic, sample.payload)):
                renamed = "/".join(
                    level if level in FIXED or level.startswith("$") else f"{level}{number}"
                    for level in topic.split("/")
                ).replace("plugs77", "plugs/77")
                feed(decoder, renamed, _renamed(payload, number))
        for cached in caches:
            cached.cache_clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    gc.freeze()  # what was there before is not looked through
    tracemalloc.start()
    try:
        devices(60)
        before, after = devices(60), devices(200)
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    assert after - before < 25_000, f"{(after - before) / 200:.0f} bytes a device are kept"
