"""Every profile proves itself: each of its examples through the real decoder, in the shape of each of its formats."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from catalogue.errors import FileProblems
from catalogue.yamlfile import parse_yaml
from ingest.decoder import Decoded, Decoder
from ingest.envelopes import NotAReading, Uplink, all_envelopes
from ingest.errors import Undecodable
from ingest.lorawan_shapes import EUI, plain
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.profile import LORAWAN, Profile, load_profile, load_profiles, profile_examples
from ingest.profile_check import Checker, falling_counters, implausible, misnamed
from ingest.profile_file import Example

KYIV = ZoneInfo("Europe/Kyiv")
NOW_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)
PROFILES = load_profiles(zone=KYIV)
ENVELOPES = {envelope.name: envelope for envelope in all_envelopes(KYIV)}
CHECKER = Checker(PROFILES, list(ENVELOPES.values()), time.time_ns() // 1000)
CARRIED = {
    "chirpstack_v3": ["fields", "bytes"], "chirpstack_v4": ["fields", "bytes"], "netmore": ["bytes"],
    "thingpark": ["fields", "bytes"], "tts": ["fields", "bytes"],
}  # fmt: skip
SHARED = Path(os.environ.get("MISTO_SHARED_SAMPLES") or Path(__file__).parents[3] / "shared" / "samples")


def run(payload: dict[str, Any]) -> list[Decoded]:
    decoder = Decoder([plain("chirpstack_v4")], PROFILES, OneDevice(None, None), thorough=True)
    return decoder.decode(Message("plain", json.dumps(payload).encode(), NOW_US))


EXAMPLES = [
    pytest.param(profile, example, id=f"{profile.id}-{index}")
    for profile in PROFILES.values()
    for index, example in enumerate(profile_examples(profile.id))
]
LORAWAN_EXAMPLES = [case for case in EXAMPLES if case.values[1].topic is None]  # type: ignore[union-attr]


def test_every_profile_has_an_example() -> None:
    assert {case.values[0].id for case in EXAMPLES} == set(PROFILES)  # type: ignore[union-attr]


@pytest.mark.parametrize(("profile", "example"), EXAMPLES)
def test_examples_in_all_their_forms(profile: Profile, example: Example) -> None:
    assert CHECKER.example(profile, example) == []
    assert implausible(example) + falling_counters(example) == []


def test_lorawan_examples_come_from_every_network_server() -> None:
    """Both forms are tried with each server that carries them, and it is the server's own format that reads them."""
    for server in LORAWAN:
        tried: set[str] = set()
        for case in LORAWAN_EXAMPLES:
            profile, example = case.values
            assert isinstance(profile, Profile)
            assert isinstance(example, Example)
            for form in CHECKER.forms_of(server, profile, example):
                tried.add(form.title)
                # Both versions of ChirpStack use the same topic.
                owner = "chirpstack_v4" if server == "chirpstack_v3" else server
                assert CHECKER.run(example, form).envelope == ENVELOPES[owner].title
        assert tried == {f"{content} from {server}" for content in CARRIED[server]}


def test_no_two_profiles_recognise_each_others_examples() -> None:
    for case in LORAWAN_EXAMPLES:
        profile, example = case.values
        assert isinstance(profile, Profile)
        assert isinstance(example, Example)
        assert CHECKER.recognised_as(profile, example) == profile.id


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.id)
def test_a_profile_fits_among_the_others(profile: Profile) -> None:
    assert CHECKER.clashes(profile) + misnamed(profile) == []


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


def test_registers_that_fall_names_that_lie_and_profiles_in_each_others_way_are_told() -> None:
    falling = Example.model_validate(
        {
            "fields": {"x": 1},
            "series": [
                {"time": "2026-03-02T10:00:00Z", "readings": {"water_m3": 4, "temperature_c": 9}},
                {"time": "2026-03-02T09:00:00Z", "readings": {"water_m3": 5, "temperature_c": 10}},
            ],
        }
    )
    assert falling_counters(falling) == ["water_m3 falls from 5 to 4: a register never does"]
    text = PROFILE.format(
        rest="""
recognise: {names: [EM400-MUD], fields: [vdd, co2, humidity]}
fields:
  pulse_total: {metric: temperature_c, unit: degC}
  voltage: {metric: water_m3, unit: m3}"""
    )
    profile = load_profile(parse_yaml(text, "p.yaml"))
    assert [sentence for _, sentence in misnamed(profile)] == [
        "it is by its name a register, but temperature_c is none",
        "it is by its name no register, but water_m3 is one",
    ]
    assert sorted(sentence for _, sentence in CHECKER.clashes(profile)) == [
        "elsys-ers-co2 wants the same fields; neither would be sure",
        "milesight-em400-mud has the name 'em400mud' too",
    ]


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
        payload: dict[str, Any] = {**form, "names": ["EM400-MUD"]}
        with pytest.raises(NotAReading):
            run(payload)


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
        try:
            parts = run({"fields": fields, "names": [name]})
        except (Undecodable, NotAReading):
            continue
        read += 1
        assert parts[0].unknown_fields == (), f"{path.stem}: {parts[0].unknown_fields}"
    assert read >= len(paths) // 3
