"""What is done the short way for speed gives exactly what the plain way gives."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from catalogue.inventory import normal_address
from ingest.clock import parse_time_us
from ingest.decoder import Decoder, Explanation
from ingest.envelopes import Uplink, all_envelopes
from ingest.envelopes.base import device_address, json_value
from ingest.errors import IngestError, Reason, Undecodable
from ingest.field_path import Paths, get, path_of
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.profile import load_profiles
from ingest.profile_map import Profile, folded
from ingest.recognition import Recogniser

PROFILES = load_profiles()
ENVELOPES = all_envelopes(ZoneInfo("Europe/Kyiv"))
NOW_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)

numbers = st.integers(-(10**25), 10**25) | st.floats() | st.sampled_from([1e308, -0.0, 2**63, 2**64, -(2**63) - 1])
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8) | st.sampled_from(["12,5", "00746.379", "7 %", "x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def by_the_library(payload: bytes) -> str:
    try:
        return repr(json.loads(payload, parse_constant=lambda name: float(name.replace("Infinity", "inf"))))
    except (ValueError, RecursionError):
        return "no JSON"


def by_ingest(payload: bytes) -> str:
    try:
        return repr(json_value(payload))
    except Undecodable as error:
        return "no JSON" if error.reason is Reason.NOT_JSON else error.detail


@given(values, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]), st.booleans())
def test_json_is_read_as_the_standard_library_reads_it(value: object, encoding: str, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped)
    payload = text.encode(encoding)
    assert by_ingest(payload) == by_the_library(payload)


PIECES = ["{", "}", "[", "]", ":", ",", '"a"', '"a":1', "1", "-", "0", ".", "e", "+", "NaN", "-Infinity", "nan", "true",
          "nul", '"', "\\", "\\ud800", "\\u00e9", " ", "\n", "\0", "\ufeff", "\x01", "é", "9" * 5000, "1e999"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
@example('{"a":1,"a":2}')
@example('["\\ud800"]')
@example("[18446744073709551616, -9223372036854775809, 123456789012345678901234567890]")
@example("[NaN, Infinity, -Infinity, -0, -0.0, 1e999, 5e-324, 9007199254740993]")
@example("[01]")
@example("[1.]")
@example("[1,]")
def test_what_is_no_json_stays_none(text: str) -> None:
    assert by_ingest(text.encode()) == by_the_library(text.encode())


@given(st.binary(max_size=12))
def test_any_bytes_are_read_as_the_standard_library_reads_them(payload: bytes) -> None:
    assert by_ingest(payload) == by_the_library(payload)


def levels(value: object) -> int:
    """How deep a value is nested; a number alone is one level."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(levels, value), default=0) if isinstance(value, list) else 1


@pytest.mark.parametrize("inner", ["1", "{}", "[]", '{"a": [1, 2]}'])
@pytest.mark.parametrize("depth", [1, 20, 21, 22, 23, 24, 25, 30, 150, 201, 300])
# Half a surrogate pair makes the standard library read it; brackets in a text nest nothing.
@pytest.mark.parametrize("beside", ["", ", 0", r', "\ud800"', f', "{"[" * 99}"'])
def test_depth_has_the_same_bound_however_it_is_parsed(inner: str, depth: int, beside: str) -> None:
    payload = f"{'[' * depth}{inner}{beside}{']' * depth}".encode()
    if levels(json.loads(payload)) <= 24:
        json_value(payload)
    else:
        with pytest.raises(Undecodable, match="nested more than 24 deep"):
            json_value(payload)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "0", "1"]), values, max_size=4),
    st.lists(st.lists(st.sampled_from(["a", "b", 0, 1, 7]), min_size=1, max_size=4).map(tuple), min_size=1, max_size=6),
)
def test_paths_read_together_are_those_read_alone(
    fields: dict[str, object], paths: list[tuple[str | int, ...]]
) -> None:
    together = Paths()
    places = [together.place(path) for path in paths]
    found = together.read(fields)
    assert repr([found[place] for place in places]) == repr([get(fields, path) for path in paths])


@given(st.text(max_size=140))
def test_an_address_is_the_same_when_it_is_told_again(told: str) -> None:
    answers = []
    for _ in range(2):
        try:
            answers.append(device_address(told))
        except Undecodable as error:
            answers.append(error.reason)
    assert answers[0] == answers[1]
    assert answers[0] in (normal_address(told), Reason.NO_DEVICE)


@given(st.sampled_from(sorted(PROFILES)), st.floats() | st.integers(-(10**400), 10**400))
def test_a_number_gives_the_same_reading_as_its_text(profile_id: str, value: float) -> None:
    """A number takes a profile's short way, a text that says the same the long one."""
    profile = PROFILES[profile_id]
    for rule in profile.file.fields.values():
        if rule.path is not None or rule.values is not None or rule.suffix is not None:
            continue
        name = next(name for name, its in profile.file.fields.items() if its is rule)
        results = []
        for told in (value, repr(value)):
            fields: object = told
            for step in reversed(name.split(".")):
                fields = {step: fields}
            if profile.file.inside:
                fields = {profile.file.inside[0]: fields}
            assert isinstance(fields, dict)
            mapped = profile.map(Uplink("a", None, fields), report_unknown=False)
            results.append(([(one.channel, one.metrics) for one in mapped], len(mapped[0].problems)))
        if value not in rule.absent_values:
            assert results[0] == results[1]


def most_particular(envelope: str, fields: dict[str, object], models: tuple[str, ...]) -> str | None:
    """The profile by its definition: all are looked at."""
    told = [folded(model) for model in models]
    ranked: list[tuple[tuple[int, ...], Profile]] = []
    for profile in sorted(PROFILES.values(), key=lambda profile: profile.id):
        its = profile.file.recognise
        if envelope not in profile.envelopes:
            continue
        for name in profile.names:
            if any(name in model for model in told):
                ranked.append(((2, len(name)), profile))
        of_family = any(folded(family) in model for family in its.family for model in told)
        paths = [path_of(name) for name in its.fields]
        inner = next((fields[name] for name in profile.file.inside if isinstance(fields.get(name), dict)), fields)
        if paths and (of_family or not its.family) and all(get(inner, path) is not None for path in paths):
            ranked.append(((int(of_family), max(map(len, paths)), len(paths)), profile))
    return max(ranked, key=lambda entry: entry[0])[1].id if ranked else None


@given(
    st.sampled_from(["tasmota", "zigbee2mqtt", "tts"]),
    st.sets(st.sampled_from(sorted(PROFILES)), max_size=4),
    st.sampled_from(["", *sorted({name for p in PROFILES.values() for name in p.file.recognise.family}), "EM400-MUD"]),
)
def test_the_profile_found_is_the_most_particular_one(envelope: str, profiles: set[str], model: str) -> None:
    fields: dict[str, object] = {}
    for name in sorted(name for each in profiles for name in PROFILES[each].file.recognise.fields):
        node: Any = fields
        *above, last = name.split(".")
        for step in above:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                break
        else:
            node.setdefault(last, 1)
    models = (model,) if model else ()
    recogniser = Recogniser(PROFILES.values())
    for _ in range(2):
        found = recogniser.find(envelope, Uplink("a", None, fields, profile_names=models))
        assert (found and found.id) == most_particular(envelope, fields, models)


@given(
    st.sampled_from(["misto/a/up", "tele/a/SENSOR", "zigbee2mqtt/a", "x/y"]),
    st.dictionaries(
        st.sampled_from(["power_w", "energy_kwh", "time", "power", "energy", "linkquality", "ENERGY"]),
        st.floats(0, 100) | values | st.just({"Power": 5, "Total": 7}),
    ),
)
def test_explaining_changes_nothing(topic: str, value: dict[str, object]) -> None:
    payload = json.dumps(value).encode()
    told = []
    for explanation in (None, Explanation()):
        decoder = Decoder(ENVELOPES, PROFILES, OneDevice(None, None))
        try:
            told.append(repr(decoder.decode(Message(topic, payload, NOW_US), explanation)))
        except IngestError as error:
            told.append(f"{type(error).__name__}: {error}")
    assert told[0] == told[1]


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1))  # noqa: DTZ001
    | st.integers(0, 3 * 3600).map(lambda s: datetime(2026, 10, 25, 1, 30) + timedelta(seconds=s))  # noqa: DTZ001
    | st.integers(0, 3 * 3600).map(lambda s: datetime(2026, 3, 29, 1, 30) + timedelta(seconds=s)),  # noqa: DTZ001
    st.integers(-4 * 3600, 4 * 3600),
    st.sampled_from(["Europe/Kyiv", "Australia/Lord_Howe", "America/St_Johns", "UTC"]),
)
@example(datetime(2026, 10, 25, 3, 30), 3500, "Europe/Kyiv")  # noqa: DTZ001
def test_a_local_time_is_the_nearer_of_both_it_can_be(moment: datetime, from_there_s: int, zone: str) -> None:
    its = ZoneInfo(zone)
    both = [round(moment.replace(tzinfo=its, fold=fold).timestamp() * 1e6) for fold in (0, 1)]
    near_us = both[0] + from_there_s * 1_000_000
    assert parse_time_us(moment.isoformat(), its, near_us) == min(both, key=lambda us: abs(us - near_us))
    assert parse_time_us(moment.isoformat(), its) == both[0]
