"""Envelopes, profiles and clock, without servers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.errors import FileProblems
from catalogue.geometry import BinGeometry
from catalogue.metrics import Quality, metrics_by_id
from catalogue.yamlfile import parse_yaml
from ingest.batch import decode_batch
from ingest.clock import TimeSource, parse_time_us, settle_time
from ingest.decoder import Decoded, Decoder, Explanation
from ingest.envelopes import NotAReading, all_envelopes
from ingest.errors import Undecodable
from ingest.message import Message
from ingest.numbers import number
from ingest.one_device import OneDevice
from ingest.profile import load_profile, load_profiles

SHARED = Path(__file__).parents[3] / "shared" / "samples"
KYIV = ZoneInfo("Europe/Kyiv")
PROFILES = load_profiles()
NOW_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)


def decode(topic: str, payload: bytes, profile: str | None = None, geometry: BinGeometry | None = None) -> Decoded:
    decoder = Decoder(all_envelopes(KYIV), PROFILES, OneDevice(profile, geometry), thorough=True)
    (decoded,) = decoder.decode(Message(topic, payload, NOW_US), Explanation())
    return decoded


EXAMPLES = [
    pytest.param(profile.id, example, id=f"{profile.id}-{index}")
    for profile in PROFILES.values()
    for index, example in enumerate(profile.file.examples)
]


def test_all_mistakes_of_a_profile_are_told() -> None:
    text = (Path("ingest/profiles/nous-a1t-tasmota.yaml")).read_text(encoding="utf-8")
    wrong = text.replace("metric: energy_kwh, unit: kWh", "metric: energy_kwh, unit: m3").replace(
        "power_w, unit", "power_x, unit"
    )
    with pytest.raises(FileProblems) as caught:
        load_profile(parse_yaml(wrong, "p.yaml"))
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 2
    assert "'m3' cannot become 'kWh' of energy_kwh" in told[0]
    assert "there is no metric 'power_x' in the catalogue" in told[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2026-11-23T10:00:00Z", NOW_US), ("2026-11-23T12:00:00+02:00", NOW_US), (NOW_US / 1e6, NOW_US), (NOW_US // 1000, NOW_US),
     ("2026-11-23T10:00:00.123456789+00:00", NOW_US + 123_456), ("20261123T100000Z", NOW_US)],
)  # fmt: skip
def test_times(value: object, expected: int) -> None:
    assert parse_time_us(value) == expected


@pytest.mark.parametrize("value", ["", "now", "2026-11-23T10:00:00", True, None, [], 1e18, "2026-13-40T00:00:00Z"])
def test_no_times(value: object) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_time_us(value)


def test_the_hour_that_comes_twice_is_the_nearer_one() -> None:
    text = "2026-10-25T03:30:00"
    first = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp() * 1e6)
    assert parse_time_us(text, KYIV, first + 1) == first
    assert parse_time_us(text, KYIV, first + 3_500_000_000) == first + 3_600_000_000


def test_which_clock_is_believed() -> None:
    assert settle_time(None, NOW_US) == (NOW_US, TimeSource.RECEPTION)
    assert settle_time(0, NOW_US) == (NOW_US, TimeSource.UNSET_CLOCK)
    assert settle_time(NOW_US + 299_000_000, NOW_US) == (NOW_US + 299_000_000, TimeSource.DEVICE)
    with pytest.raises(Undecodable, match="lies 301 s ahead"):
        settle_time(NOW_US + 301_000_000, NOW_US)


@pytest.mark.parametrize(
    ("value", "expected"), [("00746.379", 746.379), ("98,5", 98.5), ("45 %", 45), (True, 1), (-3, -3)]
)
def test_numbers(value: object, expected: float) -> None:
    assert number(value) == expected


@pytest.mark.parametrize("value", ["", "1_000", "NaN", float("inf"), 10**400, None, [1], "12 kWh"])
def test_no_numbers(value: object) -> None:
    with pytest.raises(ValueError, match="number"):
        number(value)


def test_a_mistake_of_ours_costs_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder(all_envelopes(KYIV), PROFILES, OneDevice(None, None))
    right = decoder.decode

    def failing(message: Message) -> Decoded:
        if message.topic == "misto/bad/up":
            raise KeyError("oops")
        return right(message)

    monkeypatch.setattr(decoder, "decode", failing)
    messages = [Message(f"misto/{name}/up", b'{"power_w": 1}', NOW_US, 1) for name in ("a", "bad", "c")]
    result = decode_batch(messages, decoder, {})
    assert len(result.batch) == 2
    assert [entry.reason for entry in result.batch.unreadable] == ["decoder_failed"]


def samples() -> list[Path]:
    return sorted([*SHARED.glob("chirpstack-v4/*.json"), *SHARED.glob("tasmota/*.json")])


def test_recorded_messages() -> None:
    if not samples():
        pytest.skip("the recorded samples are not beside this checkout (../shared/samples)")
    outcomes = {}
    for path in samples():
        sample = json.loads(path.read_text(encoding="utf-8"))
        raw = sample.get("raw") or json.dumps(sample["payload"])
        topic = sample["topic"].replace("{", "").replace("}", "").replace("%", "")
        try:
            outcomes[path.stem] = {metrics_by_id()[m].name for _, m, _, _ in decode(topic, raw.encode()).readings}
        except (Undecodable, NotAReading) as error:
            outcomes[path.stem] = type(error).__name__
    assert {"energy_kwh", "power_w"} <= set(outcomes["energy_openHAB_13"])
    assert outcomes["docs_status"] == "NotAReading"
    assert {"battery_pct", "temperature_c", "humidity_pct"} <= set(outcomes["em300-di_env_2"])


@given(
    distance=st.floats(-100, 12_000),
    tilted=st.sampled_from([None, 0, 1]),
    lid_open=st.sampled_from([None, 0, 1]),
    own_level=st.none() | st.floats(-10, 120),
    empty=st.sampled_from([1500.0, 9800.0]),
)
def test_a_level_is_suspect_exactly_when_the_documentation_says(
    distance: float, tilted: int | None, lid_open: int | None, own_level: float | None, empty: float
) -> None:
    """docs/bins.md"""
    told = {"distance_mm": distance, "tilted": tilted, "lid_open": lid_open, "fill_level_pct": own_level}
    payload = json.dumps({name: value for name, value in told.items() if value is not None}).encode()
    part = decode("misto/bin/up", payload, geometry=BinGeometry(empty_mm=empty, full_mm=300))
    quality = {metrics_by_id()[metric].name: quality for _, metric, _, quality in part.readings}
    if own_level is None:
        suspect = not 0 < distance <= 1.1 * empty or distance > 10_000
    else:
        suspect = not 0 <= own_level <= 100
    assert (quality["fill_level_pct"] == Quality.SUSPECT) == bool(suspect or tilted or lid_open)
    assert (quality["distance_mm"] == Quality.SUSPECT) == (not 0 <= distance <= 10_000)
