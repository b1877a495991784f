"""`misto decode` says what a message becomes and why, and says the same as ingest does."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from catalogue.geometry import BinGeometry
from catalogue.metrics import metrics
from ingest.codec import Codec
from ingest.codec.trace import trace
from ingest.decoder import Decoder
from ingest.envelopes import NotAReading, all_envelopes
from ingest.errors import Undecodable
from ingest.explain import Explainer, Told
from ingest.lorawan_shapes import shape
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.profile import Profile, load_profiles, profile_examples
from ingest.profile_file import Example
from ingest.recorded import NoRecording, read_recorded
from misto.cli import app
from misto.explanation import as_json, lines_of

KYIV = ZoneInfo("Europe/Kyiv")
PROFILES = load_profiles(zone=KYIV)
ENVELOPES = all_envelopes(KYIV)
NOW_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)
EM400 = "application/1/device/24e124713d001111/event/up"
CASES = [
    pytest.param(profile, example, id=f"{profile.id}-{index}")
    for profile in PROFILES.values()
    for index, example in enumerate(profile_examples(profile.id))
]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MISTO_PROFILES_DIR", "MISTO_ENVELOPES", "MISTO_TIME_ZONE"):
        monkeypatch.delenv(name, raising=False)


def message_of(profile: Profile, example: Example) -> Message:
    if example.topic is not None:
        text = example.payload if isinstance(example.payload, str) else json.dumps(example.payload)
        return Message(example.topic, text.encode(), NOW_US)
    name = example.name or (profile.file.recognise.names or [profile.id])[0]
    return Message(*shape("chirpstack_v4", example, name, decoded=example.data is None), NOW_US)


@pytest.mark.parametrize(("profile", "example"), CASES)
def test_it_tells_what_ingest_does(profile: Profile, example: Example) -> None:
    """The readings are the decoder's; each comes from a field, the signal or a formula, and each doubt has its reason."""
    message, registry = message_of(profile, example), OneDevice(profile.id, example.bin)
    try:
        parts = Decoder(ENVELOPES, PROFILES, registry, thorough=True).decode(message)
        wanted = [(part.time_us, m, value, q) for part in parts for _, m, value, q in part.readings]
    except (Undecodable, NotAReading):
        wanted = []
    told = Explainer(ENVELOPES, PROFILES, registry).explain(message)
    moments = [moment for device in told.devices for moment in device.moments]
    assert [
        (moment.time_us, metrics()[its.metric].id, its.value, int(its.quality))
        for moment in moments
        for its in moment.readings
    ] == wanted
    for device in told.devices:
        fields = {(its.channel, its.time_us, its.metric): its.value for its in device.fields if its.metric}
        for moment in device.moments:
            for its in moment.readings:
                assert its.origin or any(
                    key[2] == its.metric and value == pytest.approx(its.value) for key, value in fields.items()
                ), f"{its.metric} comes from nowhere"
                assert bool(its.doubts) == (its.quality != 0)


@pytest.mark.parametrize(("profile", "example"), [case for case in CASES if case.values[1].data])  # type: ignore[union-attr]
def test_bytes_became_these_fields(profile: Profile, example: Example) -> None:
    """Every field that the codec finds has its bytes, within the message, and the trace reads as the codec does."""
    data = bytes.fromhex(example.data or "")
    fields, problems = Codec(profile.file.codec).decode(data, example.port)
    told = trace(profile.file.codec, data, example.port)
    assert told.problems == problems
    assert all(0 <= span.start < span.end <= len(data) for span in told.spans)
    named = {span.field.split(".")[0] for span in told.spans}
    constants = {key for layout in profile.file.codec.values() for key in layout.constants}
    assert named | constants >= set(fields)
    assert named <= set(fields)
    unread = told.unread(len(data))
    assert all(span.end <= start or span.start >= end for span in told.spans for start, end in unread)


def test_which_bytes_are_which() -> None:
    told = trace(PROFILES["milesight-em400-mud"].file.codec, bytes.fromhex("01755703677200"), 85)
    assert [(its.start, its.end, its.field, its.value) for its in told.spans] == [
        (2, 3, "battery", 87), (5, 7, "temperature", 11.4),
    ]  # fmt: skip
    assert told.unread(7) == [(0, 2), (3, 5)]


def run(*arguments: str, content: bytes = b"", status: int = 0) -> str:
    result: Result = CliRunner().invoke(app, ["decode", *arguments, "-"], input=content)
    assert result.exit_code == status, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def em400(data: str) -> bytes:
    info = {"devEui": "24e124713d001111", "deviceProfileName": "EM400-MUD"}
    b64 = base64.b64encode(bytes.fromhex(data)).decode()
    body = {"deviceInfo": info, "time": "2026-03-02T07:20:00Z", "fPort": 85, "data": b64}
    return json.dumps(body).encode()


def test_a_tilted_bin_for_people() -> None:
    said = run(
        "--topic", EM400, "--bin-mm", "1500,300", "--received", "2026-03-02T09:20:30",
        content=em400("036777000482ba04050001"),
    )  # fmt: skip
    for words in (
        "ChirpStack v4 [chirpstack_v4]: the topic", "device      24e124713d001111",
        "milesight-em400-mud: the message tells the model 'EM400-MUD'", "layout 'milesight' of the profile's codec",
        "6 to 7  ba 04", "distance = 1210", "0 to 1  03 67", "1210 mm   → distance_mm 1210 mm", '"tilt"   → tilted 1',
        "2026-03-02T09:20:00+02:00: the message's own time, 30 s before its reception",
        "from the distance: 100 · (1500 − 1210) / (1500 − 300) = 24.17", "because the bin is tilted",
        "because suspect_if of the profile: position is 'tilt'",
    ):  # fmt: skip
        assert words in said, words
    beyond = run("--topic", EM400, "--bin-mm", "1500,300", content=em400("0482d007050000"))
    assert "2000 mm is more than 10 % beyond the floor at 1500 mm" in beyond
    assert "= -41.67, cut to 0" in beyond


def test_doubts_unknown_fields_and_problems() -> None:
    told = run("--topic", "misto/a/up", content=b'{"power_w": 9e9, "quality": "estimated", "zzz": [1, 2], "time": 1}')
    assert "9e+09 W is outside of the plausible -1e+07 to 1e+07" in told
    assert "the message says quality estimated" in told
    assert "zzz                          [1, 2]" in told
    assert "the device's clock was never set (it says 1970-01-01" in told
    meter = b'{"Time": "2026-11-23T09:40:00", "ENERGY": {"Total": 41.6, "Voltage": "x", "Foo": 3}}'
    told = run("--topic", "tele/m/SENSOR", content=meter, status=1)
    assert "nous-a1t-tasmota: the message has its fields ENERGY.Total, ENERGY.Voltage" in told
    assert "near it   tasmota-power-monitor: the message has its fields ENERGY.Total too" in told
    assert "cannot be read: ENERGY.Voltage: 'x' is no number" in told
    assert "ENERGY.Foo                   3" in told
    ultrasonic = b'{"Time": "2026-11-23T09:40:00", "SR04": {"Distance": 12.3}}'
    assert "12.3 cm   → distance_mm 123 mm" in run("--topic", "tele/m/SENSOR", content=ultrasonic)


def test_refusals_say_what_to_do() -> None:
    unknown = {"deviceInfo": {"devEui": "24e1", "deviceProfileName": "EM400-MUX"}, "object": {"foo": 7}}
    told = run("--topic", EM400, content=json.dumps(unknown).encode(), status=1)
    assert "quarantine  unknown_profile" in told
    assert "milesight-em400-mud: its name is like the model name EM400-MUX" in told
    assert "foo                          7" in told
    assert f"misto profile new FILE --topic '{EM400}'" in told
    said = run("--topic", "x", content=b"{}", status=1)
    assert "unknown_envelope: neither the topic 'x' nor the content is of a known format" in said
    assert "MISTO_ENVELOPES" in said
    assert "codec" in run("--topic", EM400, content=em400("01").replace(b"EM400-MUD", b"Odd"), status=1)
    joined = run("--topic", EM400.replace("/up", "/join"), content=b"{}")
    assert "no reading: a ChirpStack event 'join'; it is counted and not stored" in joined


def test_announcements() -> None:
    devices = [{"type": "EndDevice", "friendly_name": "lid", "definition": {"vendor": "Aqara", "model": "MCCGQ11LM"}}]
    told = run("--topic", "zigbee2mqtt/bridge/devices", content=json.dumps(devices).encode())
    assert "announces   lid" in told
    assert "maker                  Aqara" in told


def test_wrong_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run("--topic", "x", "--profile", "milesight-em40-mud", content=b"{}", status=2)
    assert "did you mean milesight-em400-mud" in said
    assert "`misto profile list` lists them" in said
    assert "give two distances" in run("--topic", "x", "--bin-mm", "300", content=b"{}", status=2)
    assert "expected for example" in run("--topic", "x", "--received", "yesterday", content=b"{}", status=2)
    assert "give it with --topic" in run(content=b'{"power_w": 5}', status=2)
    monkeypatch.setenv("MISTO_ENVELOPES", "a/#=chirpstak_v4")
    assert "did you mean chirpstack_v4" in run("--topic", "x", content=b"{}", status=2)


def test_pinned() -> None:
    result = CliRunner().invoke(
        app, ["decode", "--topic", "tele/x/SENSOR", "-"], input=b'{"device": "m", "power_w": 5}',
        env={"MISTO_ENVELOPES": "tele/#=plain_json"},
    )  # fmt: skip
    assert "Misto's plain JSON [plain_json]: pinned by MISTO_ENVELOPES: tele/#" in result.output


def test_for_machines_and_several_messages() -> None:
    lines = (
        b'{"tst": "2026-03-02T09:20:00.5+0200", "topic": "misto/a/up", "qos": 0, "retain": 0, "payload": "{\\"power_w\\": 5}"}\n'
        b'{"topic": "misto/b/up", "payload": {"energy_kwh": "x"}}\n'
    )
    told: list[dict[str, Any]] = [json.loads(line) for line in run("--json", content=lines, status=1).splitlines()]
    assert [its["read"] for its in told] == [True, False]
    (moment,) = told[0]["devices"][0]["moments"]
    assert moment["time"] == "2026-03-02T07:20:00.500000Z"
    assert moment["readings"][0] | {"origin": ""} == {
        "metric": "power_w", "unit": "W", "value": 5.0, "quality": "good", "origin": "", "doubts": [],
    }  # fmt: skip
    assert told[1]["refusal"] == {"reason": "bad_value", "detail": "energy_kwh: 'x' is no number"}
    assert run(content=lines, status=1).endswith("2 messages, 1 of them with something that cannot be read\n")


@pytest.mark.parametrize(
    ("content", "topic", "wanted"),
    [
        (b'{"a": 1}', "t", [("t", b'{"a": 1}')]),
        (b'{\n "a": 1\n}\n', "t", [("t", b'{\n "a": 1\n}')]),
        (b'{"a": 1}\n{"a": 2}\n', "t", [("t", b'{"a": 1}'), ("t", b'{"a": 2}')]),
        (b'x/y {"a": 1}\nz on\n', None, [("x/y", b'{"a": 1}'), ("z", b"on")]),
        (b'[{"topic": "x", "payload": 5}]', None, [("x", b"5")]),
        (b'{"topic": "x", "payload": null}', None, [("x", b"")]),
        (b"\xff\x00", "t", [("t", b"\xff\x00")]),
        (b"", "t", [("t", b"")]),
    ],
)
def test_recorded_messages(content: bytes, topic: str | None, wanted: list[tuple[str, bytes]]) -> None:
    assert [(its.topic, its.payload) for its in read_recorded(content, topic)] == wanted


@pytest.mark.parametrize("content", [b"", b'{"a": 1}', b'{"a": 1}\n{"a": 2}', b"\xff\x00", b'{"a": 1\n'])
def test_what_tells_no_topic(content: bytes) -> None:
    with pytest.raises(NoRecording):
        read_recorded(content, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    ["device", "time", "power_w", "deviceInfo", "object", "data", "Time", "ENERGY", "battery", "history"]
)
EXPLAINER = Explainer(ENVELOPES, PROFILES, OneDevice("milesight-em400-mud", BinGeometry(empty_mm=1000)))


@given(
    topic=st.sampled_from(["misto/a/up", EM400, "tele/a/SENSOR", "x/y", "zigbee2mqtt/a"]),
    content=st.dictionaries(keys, json_values, max_size=5) | st.binary(max_size=60),
    wrapped=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_nothing_that_devices_send_brings_it_down(topic: str, content: Any, wrapped: bool) -> None:
    if wrapped and topic == EM400:
        content = {
            "deviceInfo": {"devEui": "24e1"},
            "fPort": 85,
            "object": content if isinstance(content, dict) else {},
        }
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    told = EXPLAINER.explain(Message(topic, payload, NOW_US))
    assert all(line.isprintable() for line in lines_of(told, KYIV))
    json.dumps(as_json(told), allow_nan=False)


def test_a_format_with_a_memory_keeps_it_and_messages_do_not_mix() -> None:
    explainer = Explainer(ENVELOPES, PROFILES, OneDevice(None, BinGeometry(empty_mm=1000)))
    first: Told = explainer.explain(Message("misto/a/up", b'{"distance_mm": 500}', NOW_US))
    second = explainer.explain(Message("misto/a/up", b"[", NOW_US))
    third = explainer.explain(Message("nobody/knows", b"{}", NOW_US))
    assert first.is_read
    assert [its.metric for its in first.devices[0].moments[0].readings] == ["distance_mm", "fill_level_pct"]
    assert (second.envelope, second.devices, second.is_read) == ("plain_json", [], False)
    assert second.envelope_why == first.envelope_why != ""
    assert (third.envelope, third.envelope_title) == ("", "")
