"""Every profile proves itself: each of its examples through the real decoder, in the shape of each of its formats."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from catalogue.errors import FileProblems
from catalogue.geometry import BinGeometry
from catalogue.inventory import normal_address
from catalogue.metrics import Quality, metrics, metrics_by_id
from catalogue.yamlfile import parse_yaml
from ingest.decoder import Decoded, Decoder, Explanation
from ingest.envelopes import Envelope, NotAReading, Uplink, all_envelopes
from ingest.errors import Undecodable
from ingest.message import Message
from ingest.profile import LORAWAN, Profile, load_profile, load_profiles, profile_examples
from ingest.profile_file import Example
from ingest.recognition import Recogniser
from store.registry import Assignment, RegisteredDevice

KYIV = ZoneInfo("Europe/Kyiv")
NOW_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)
EUI = "24e124000000a001"
PROFILES = load_profiles(zone=KYIV)
ENVELOPES = {envelope.name: envelope for envelope in all_envelopes(KYIV)}
PROBE = bytes.fromhex("0175640a")
SHARED = Path(os.environ.get("MISTO_SHARED_SAMPLES") or Path(__file__).parents[3] / "shared" / "samples")

Readings = dict[str, float]


class _Registry:
    """Knows every device, with one point for each channel that its examples name."""

    def __init__(self, profile: str | None, geometry: BinGeometry | None, channels: tuple[str, ...]) -> None:
        self._profile = profile
        self._assignments = [
            Assignment(index + 1, channel, float("-inf"), float("inf"), geometry)
            for index, channel in enumerate(("", *channels))
        ]

    def device(self, address: str) -> RegisteredDevice | None:
        return RegisteredDevice(0, normal_address(address), self._profile, "claimed", self._assignments)

    def unclaimed(self, address: str, profile: str | None, kind: str, guess: Mapping[str, Any]) -> RegisteredDevice:
        raise AssertionError("the registry knows every device")

    def announced(self, address: str, facts: Mapping[str, str]) -> None:
        pass


def shape(envelope: str, example: Example, name: str, *, decoded: bool) -> tuple[str, bytes]:
    """An example's message as this network server sends it."""
    data = bytes.fromhex(example.data or PROBE.hex())
    b64, fields = base64.b64encode(data).decode(), {"object": example.fields} if decoded else {}
    match envelope:
        case "chirpstack_v4":
            topic = f"application/1/device/{EUI}/event/up"
            info = {"devEui": EUI, "deviceProfileName": name}
            return topic, json.dumps({"deviceInfo": info, "fPort": example.port, "data": b64, **fields}).encode()
        case "chirpstack_v3":
            topic = f"application/1/device/{EUI}/event/up"
            body = {"applicationID": "1", "devEUI": EUI, "deviceProfileName": name, "fPort": example.port, "data": b64}
            return topic, json.dumps({**body, **fields}).encode()
        case "tts":
            up = {"f_port": example.port, "frm_payload": b64, "version_ids": {"brand_id": "x", "model_id": name}}
            if decoded:
                up["decoded_payload"] = example.fields
            ids = {"device_id": "a", "application_ids": {"application_id": "b"}, "dev_eui": EUI.upper()}
            body = {"end_device_ids": ids, "received_at": "2026-11-23T09:59:00Z", "uplink_message": up}
            return "v3/b@ttn/devices/a/up", json.dumps(body).encode()
        case "thingpark":
            up = {"DevEUI": EUI.upper(), "FPort": example.port, "payload_hex": data.hex(), "Time":
                  "2026-11-23T11:59:00.000+02:00", "CustomerData": {"alr": {"pro": name, "ver": "1"}}}  # fmt: skip
            if decoded:
                up["payload"] = example.fields
            return f"mqtt/things/{EUI}/uplink", json.dumps({"DevEUI_uplink": up}).encode()
        case "netmore":
            up = {"devEui": EUI, "sensorType": name, "timestamp": "2026-11-23T09:59:00Z", "payload": data.hex(),
                  "fPort": str(example.port), "rssi": "-90", "snr": "5"}  # fmt: skip
            return "netmore/up", json.dumps([up]).encode()
    raise AssertionError(envelope)


def plain(envelope: str) -> Envelope:
    """A format without any form: the payload is what the uplink holds."""

    def opened(topic: str, payload: bytes, received_us: int) -> list[Any]:
        told = json.loads(payload)
        data = told.get("data")
        return [
            Uplink(
                EUI,
                None,
                fields=told.get("fields") or {},
                profile_names=tuple(told["names"]),
                data=bytes.fromhex(data) if data is not None else None,
                port=told.get("port", 0),
            )
        ]

    return Envelope(envelope, envelope, lambda topic: topic == "plain", lambda content: False, opened)


def run(
    envelopes: list[Envelope], topic: str, payload: bytes, example: Example, profile: str | None
) -> tuple[list[Decoded], Explanation]:
    registry = _Registry(profile, example.bin, tuple(example.channels))
    told = Explanation()
    decoder = Decoder(envelopes, PROFILES, registry, thorough=True)
    return decoder.decode(Message(topic, payload, NOW_US), told), told


def of_part(part: Decoded) -> Readings:
    signal = {"rssi_dbm", "snr_db"}
    return {name: value for _, m, value, _ in part.readings if (name := metrics_by_id()[m].name) not in signal}


def check(parts: list[Decoded], example: Example) -> None:
    """Exactly what the example promises, nothing unknown, nothing wrong."""
    listed = {int(datetime.fromisoformat(item.time).timestamp() * 1e6) for item in example.series}
    channels = {index + 2: name for index, name in enumerate(example.channels)}
    now: Readings = {}
    by_channel: dict[str, Readings] = {}
    by_time: dict[int, Readings] = {}
    for part in parts:
        point = part.readings[0][0] if part.readings else 0
        if part.time_us in listed:
            by_time.setdefault(part.time_us, {}).update(of_part(part))
        elif point in channels:
            by_channel.setdefault(channels[point], {}).update(of_part(part))
        else:
            now.update(of_part(part))
    expected: dict[int, Readings] = {}
    for item in example.series:
        expected.setdefault(int(datetime.fromisoformat(item.time).timestamp() * 1e6), {}).update(item.readings)
    assert by_time.keys() == expected.keys()
    for moment, readings in expected.items():
        assert by_time[moment] == pytest.approx(readings)
    if not example.series or example.readings:
        assert now == pytest.approx(example.readings)
    assert by_channel == {name: pytest.approx(readings) for name, readings in example.channels.items()}
    suspect = {metrics_by_id()[m].name for part in parts for _, m, _, q in part.readings if q == Quality.SUSPECT}
    assert suspect == set(example.suspect)
    assert [problem for part in parts for problem in part.problems] == []
    assert [field for part in parts for field in part.unknown_fields] == []


def carries_bytes(envelope: Envelope) -> bool:
    """Whether this format hands on what its network server has not decoded."""
    example = Example(data=PROBE.hex(), readings={"battery_pct": 1})
    try:
        items = envelope.decode(*shape(envelope.name, example, "x", decoded=False), NOW_US)
    except (Undecodable, NotAReading):
        return False
    return any(isinstance(item, Uplink) and item.data == PROBE for item in items)


EXAMPLES = [
    pytest.param(profile, example, id=f"{profile.id}-{index}")
    for profile in PROFILES.values()
    for index, example in enumerate(profile_examples(profile.id))
]
LORAWAN_EXAMPLES = [case for case in EXAMPLES if case.values[1].topic is None]  # type: ignore[union-attr]
BYTES = {name: name in ENVELOPES and carries_bytes(ENVELOPES[name]) for name in LORAWAN}


def test_every_profile_has_an_example() -> None:
    assert {case.values[0].id for case in EXAMPLES} == set(PROFILES)  # type: ignore[union-attr]


@pytest.mark.parametrize(("profile", "example"), [case for case in EXAMPLES if case not in LORAWAN_EXAMPLES])
def test_examples_with_a_topic(profile: Profile, example: Example) -> None:
    payload = example.payload if isinstance(example.payload, str) else json.dumps(example.payload)
    for forced in (profile.id, None):
        if forced is None and len(example.readings) < 2:
            continue  # a battery alone tells nobody which model it is
        parts, told = run(list(ENVELOPES.values()), example.topic or "", payload.encode(), example, forced)
        assert told.profile == profile.id
        check(parts, example)


@pytest.mark.parametrize(("profile", "example"), LORAWAN_EXAMPLES)
def test_lorawan_examples(profile: Profile, example: Example) -> None:
    """Decoded and undecoded, with the model named by the network server and given by the inventory."""
    name = example.name or (profile.file.recognise.names or [profile.id])[0]
    forms: list[dict[str, Any]] = []
    if example.fields is not None:
        forms.append({"fields": example.fields})
    if example.data is not None:
        forms.append({"data": example.data, "port": example.port})
    for form in forms:
        for forced, names in ((profile.id, []), (None, [name])):
            payload = json.dumps({**form, "names": names}).encode()
            parts, told = run([plain("chirpstack_v4")], "plain", payload, example, forced)
            assert told.profile == profile.id
            check(parts, example)


@pytest.mark.parametrize("server", LORAWAN)
@pytest.mark.parametrize(("profile", "example"), LORAWAN_EXAMPLES)
def test_lorawan_examples_from_each_network_server(profile: Profile, example: Example, server: str) -> None:
    if server not in ENVELOPES:
        pytest.skip(f"there is no envelope {server}")
    forms = [example.fields is not None and server not in ("netmore",)]
    if example.data is not None and BYTES[server]:
        forms.append(False)
    if not any(forms) and not (example.data is not None and BYTES[server]):
        pytest.skip(f"{server} carries no such example")
    for decoded in {form for form in forms if form or example.data is not None}:
        if not decoded and not BYTES[server]:
            continue
        topic, payload = shape(server, example, profile.id, decoded=decoded)
        parts, told = run(list(ENVELOPES.values()), topic, payload, example, profile.id)
        # Both versions of ChirpStack use the same topic.
        owner = "chirpstack_v4" if server == "chirpstack_v3" else server
        assert told.envelope == ENVELOPES[owner].title
        check(parts, example)


def test_no_two_profiles_recognise_each_others_examples() -> None:
    recogniser = Recogniser(PROFILES.values())
    for case in LORAWAN_EXAMPLES:
        profile, example = case.values
        assert isinstance(profile, Profile)
        assert isinstance(example, Example)
        name = example.name or (profile.file.recognise.names or [profile.id])[0]
        found = recogniser.find("chirpstack_v4", Uplink(EUI, None, example.fields or {}, profile_names=(name,)))
        assert found is profile, f"{name} is taken for {found and found.id}"
        for other in PROFILES.values():
            assert other is profile or not (set(other.names) & set(profile.names))


def test_fields_that_tell_are_told_apart() -> None:
    """Of two profiles that need the same fields, neither would be sure."""
    seen: dict[tuple[str, tuple[str, ...], tuple[str, ...]], str] = {}
    for profile in PROFILES.values():
        told = profile.file.recognise
        if told.fields:
            for envelope in profile.envelopes:
                key = (envelope, tuple(sorted(told.fields)), tuple(told.family))
                assert key not in seen, f"{profile.id} and {seen[key]} want the same fields"
                seen[key] = profile.id


def test_registers_are_counters() -> None:
    """A field whose name is that of a register maps to a counter, one of a momentary value to none."""
    registers = ("pulse", "energy", "consumption", "total", "index", "counter", "volume")
    momentary = ("power_factor", "active_power", "voltage", "temperature", "distance", "current_chn", "humidity")
    for profile in PROFILES.values():
        if "lorawan" not in profile.file.envelopes:
            continue
        for name, spec in profile.file.fields.items():
            kind, folded = metrics()[spec.metric].kind, name.lower()
            if any(word in folded for word in momentary) or "volume flow" in folded:
                assert kind != "counter", f"{profile.id}: {name} is no register"
            elif any(word in folded for word in registers):
                assert kind == "counter", f"{profile.id}: {name} is a register"


def test_example_values_are_plausible() -> None:
    for case in EXAMPLES:
        profile, example = case.values
        assert isinstance(profile, Profile)
        assert isinstance(example, Example)
        told = [example.readings, *example.channels.values(), *(item.readings for item in example.series)]
        for readings in told:
            for name, value in readings.items():
                low, high = metrics()[name].range
                assert low <= value <= high or name in example.suspect, f"{profile.id}: {name} {value}"


def test_at_least_32_lorawan_models() -> None:
    assert sum("lorawan" in profile.file.envelopes for profile in PROFILES.values()) >= 32


OWN = """
version: 1
id: {id}
extends: {extends}
model: another
envelopes: [{envelope}]
fields:
  pulse: {{metric: {metric}, unit: {unit}}}
examples:
  - {{fields: {{pulse: 10}}, readings: {{water_m3: 0.1}}}}
"""


def own(folder: Path, name: str, **keys: str) -> None:
    told = {"id": name, "extends": "milesight-em300-di", "envelope": "lorawan", "metric": "water_m3", "unit": "dL"}
    (folder / f"{name}.yaml").write_text(OWN.format(**(told | keys)), encoding="utf-8")


def test_a_profile_of_the_city_extends_a_shipped_one(tmp_path: Path) -> None:
    own(tmp_path, "city-meter")
    profile = load_profiles(tmp_path)["city-meter"]
    (mapped,) = profile.map(Uplink(EUI, None, {"pulse": 10, "temperature": 4, "water": 5}))
    assert mapped.metrics == pytest.approx({"water_m3": 0.001, "temperature_c": 4})
    assert mapped.unknown == ()
    assert profile.file.maker == "Milesight"
    assert len(profile.file.quirks) == len(PROFILES["milesight-em300-di"].file.quirks)


def test_every_mistake_at_once(tmp_path: Path) -> None:
    own(tmp_path, "a", extends="b")
    own(tmp_path, "b", extends="a")
    own(tmp_path, "c", extends="nobody")
    own(tmp_path, "d", envelope="lorawam", metric="water_m4")
    own(tmp_path, "e", unit="kWh")
    own(tmp_path, "f")
    own(tmp_path, "g", id="f")
    own(tmp_path, "h", envelope="[broken")
    with pytest.raises(FileProblems) as caught:
        load_profiles(tmp_path)
    told = "\n".join(str(problem) for problem in caught.value.problems)
    for sentence in (
        "goes in a circle: a → b → a",
        "there is no profile 'nobody'",
        "there is no format 'lorawam'",
        "there is no metric 'water_m4'",
        "'kWh' cannot become 'm3'",
        "has the same id 'f'",
        "h.yaml:",
    ):
        assert sentence in told


def test_a_city_may_replace_a_shipped_profile_once(tmp_path: Path) -> None:
    own(tmp_path, "one", id="milesight-wts506")
    assert load_profiles(tmp_path)["milesight-wts506"].file.model == "another"
    own(tmp_path, "two", id="milesight-wts506")
    with pytest.raises(FileProblems, match="has the same id"):
        load_profiles(tmp_path)


def test_hundreds_of_profiles_load_fast(tmp_path: Path) -> None:
    started = time.perf_counter()
    load_profiles()
    each_s = (time.perf_counter() - started) / len(PROFILES)
    assert each_s * 300 < 3, f"{each_s * 1000:.1f} ms for a profile"


PROFILE = """
version: 1
id: test
maker: m
model: m
kind: water
envelopes: [lorawan]
documentation: d
{rest}
examples:
  - {{fields: {{a: 1}}, readings: {{water_m3: 1}}}}
"""


def made(rest: str) -> Profile:
    return load_profile(parse_yaml(PROFILE.format(rest=rest), "t.yaml"), zone=KYIV)


def test_the_unit_that_stands_beside() -> None:
    profile = made("fields: {v: {metric: water_m3, unit: m3, unit_from: u}}")
    for unit, factor in (("L", 0.001), ("m³", 1), (None, 1)):
        (mapped,) = profile.map(Uplink(EUI, None, {"v": 5, "u": unit}))
        assert mapped.metrics == pytest.approx({"water_m3": 5 * factor})
    for unit in ("kWh", "9**9**9", 5, ["L"]):
        (mapped,) = profile.map(Uplink(EUI, None, {"v": 5, "u": unit}))
        assert mapped.metrics == {}
        assert len(mapped.problems) == 1


def test_a_series_keeps_its_times_and_tells_what_is_wrong() -> None:
    profile = made("fields: {v: {metric: water_m3}}\nseries: {list: {time: t, replaces_fields: true}}")
    good, later = 1_772_436_304, 1_772_439_904
    items = [{"t": good, "v": 1}, {"t": 5, "v": 2}, {"v": "x", "t": later}, 7, {"t": later, "v": 3, "other": 1}]
    results = profile.map(Uplink(EUI, None, {"list": items, "v": 3}))
    assert [(result.time_us, result.metrics) for result in results] == [
        (good * 1_000_000, {"water_m3": 1}),
        (later * 1_000_000, {"water_m3": 3}),
    ]
    assert [sentence for _, sentence in results[0].problems] == [
        "list.1.t: 5 is before 2020: the device's clock was never set",
        "list.2.v: 'x' is no number",
        "list.3: is no object",
    ]
    assert results[0].unknown == ("list.other",)


def test_messages_that_the_profile_knows_to_hold_no_reading() -> None:
    told = {"ipso_version": "v0.1", "sn": "6000"}
    for form in ({"fields": told}, {"data": "ff0101ff166000000000000000", "port": 85}):
        payload = json.dumps({**form, "names": ["EM400-MUD"]}).encode()
        with pytest.raises(NotAReading):
            run([plain("chirpstack_v4")], "plain", payload, Example(fields={}, readings={"water_m3": 1}), None)


@pytest.mark.parametrize("rest", ["lorawan-devices", "milesight-decoders", "watteco"])
def test_recorded_fields_are_known(rest: str) -> None:
    """What the vendors' decoders write: nothing escapes, and what is recognised leaves nothing unknown."""
    paths = sorted((SHARED / rest).glob("*.json"))
    if not paths:
        pytest.skip(f"the recorded samples are not at {SHARED}")
    read = 0
    for path in paths:
        payload = json.loads(path.read_text(encoding="utf-8"))["payload"]
        output = payload.get("output")
        fields = payload.get("decoded_payload") or (output or {}).get("data") or payload
        name = path.stem.split("_")[0] if rest == "milesight-decoders" else path.stem
        message = json.dumps({"fields": fields, "names": [name]}).encode()
        try:
            parts, _ = run([plain("chirpstack_v4")], "plain", message, Example(fields={}, readings={"x": 1}), None)
        except (Undecodable, NotAReading):
            continue
        read += 1
        assert parts[0].unknown_fields == (), f"{path.stem}: {parts[0].unknown_fields}"
    assert read >= len(paths) // 3
