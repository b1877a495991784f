"""Bytes become fields: every way of reading them, and what no bytes may do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ingest.codec import Codec, Layout
from ingest.envelopes import Uplink
from ingest.profile import load_profiles

PROFILES = load_profiles()


def codec(**layouts: dict[str, Any]) -> Codec:
    return Codec({name: Layout.model_validate(layout) for name, layout in layouts.items()})


def fixed(**value: Any) -> dict[str, Any]:
    return {"fields": {"v": value}}


@pytest.mark.parametrize(
    ("value", "data", "expected"),
    [
        ({"type": "u8"}, "ff", 255),
        ({"type": "i8"}, "ff", -1),
        ({"type": "u16"}, "0102", 258),
        ({"type": "u16", "order": "little"}, "0102", 513),
        ({"type": "i16", "scale": 0.1}, "0101", 25.7),
        ({"type": "i16", "scale": 0.1, "order": "little"}, "fbff", -0.5),
        ({"type": "u24"}, "010000", 65536),
        ({"type": "i24"}, "ffffbe", -66),
        ({"type": "u32"}, "ffffffff", 4294967295),
        ({"type": "i32"}, "ffffffff", -1),
        ({"type": "u64"}, "0000000100000000", 4294967296),
        ({"type": "f32"}, "41b5999a", 22.7),
        ({"type": "f32", "order": "little"}, "9a99b541", 22.7),
        ({"type": "f64"}, "3ff8000000000000", 1.5),
        ({"type": "bcd32", "order": "little"}, "78563412", 12345678),
        ({"type": "mbus_datetime"}, "002cfd28", "2023-08-29T12:00:00"),
        ({"at": -2, "type": "u16"}, "000000ff01", 65281),
        ({"type": "u16", "bits": [0, 13], "scale": 0.001}, "cbb2", 2.994),
        ({"type": "u8", "bits": [4, 7], "signed": True}, "f0", -1),
        ({"type": "u16", "mask": 0x0FFF}, "f022", 34),
        ({"type": "u8", "scale": 0.5, "offset": -40}, "64", 10),
        ({"type": "u8", "values": {"0": "normal", "1": "tilt"}}, "01", "tilt"),
        ({"type": "u8", "values": {"0": "normal"}}, "07", 7),
        ({"type": "u16", "absent": [65535]}, "ffff", None),
        ({"type": "bcd32"}, "ffffffff", None),
        ({"type": "mbus_datetime"}, "ffffffff", None),
        ({"type": "mbus_datetime"}, "00000000", None),
        ({"type": "u8", "when": {"at": 1, "equals": [1]}}, "0500", None),
        ({"type": "u8", "when": {"at": 1, "hex": "01"}}, "0501", 5),
    ],
)
def test_values(value: dict[str, Any], data: str, expected: Any) -> None:
    fields, problems = codec(a=fixed(**value)).decode(bytes.fromhex(data), 1)
    assert fields.get("v") == (pytest.approx(expected) if isinstance(expected, float) else expected)
    assert problems == []


def test_too_few_bytes_are_told_and_the_rest_is_kept() -> None:
    two = codec(a={"fields": {"a": {"type": "u8"}, "b": {"at": 1, "type": "u32"}}})
    assert two.decode(b"\x05\x01", 1) == ({"a": 5}, ["b: it ends after 2 bytes; u32 at byte 1 needs 4"])
    assert codec(a=fixed(at=-4, type="u16")).decode(b"\1\2", 1)[1] == [
        "v: it ends after 2 bytes; u16 at byte -4 needs 2"
    ]


def test_the_layout_is_chosen_by_port_length_and_bytes() -> None:
    chosen = codec(
        port={"ports": [9], **fixed(type="u8", values={"1": "port"})},
        length={"length": 3, **fixed(type="u8", values={"1": "length"})},
        between={"lengths": [5, 6], **fixed(type="u8", values={"1": "between"})},
        begin={"when": [{"at": 1, "hex": "aabb"}], **fixed(type="u8", values={"1": "begin"})},
        silent={"when": [{"at": 0, "equals": [7]}], "nothing": True},
        near={
            "when": [{"at": 0, "near": 2, "type": "u16", "within": 5}],
            "constants": {"kind": "near"},
            **fixed(type="u8", values={"1": "near"}),
        },
    )
    for data, port, expected in (
        ("01", 9, "port"),
        ("010203", 1, "length"),
        ("0102030405", 1, "between"),
        ("01aabb00", 1, "begin"),
        ("01000104", 1, "near"),
    ):
        assert chosen.decode(bytes.fromhex(data), port)[0]["v"] == expected
    assert chosen.decode(b"\7\0", 1) == ({}, [])
    assert chosen.decode(b"\1\0", 1) == ({}, ["no layout of the profile fits these 2 bytes (01 00) on port 1"])


MILESIGHT = codec(
    a={
        "tlv": {
            "order": "little",
            "ends": ["fe", "ff"],
            "entries": {
                "0175": {"length": 1, "fields": {"battery": {}}},
                "ff01": {"length": 1},
                "20ce": {"length": 6, "list": "history", "fields": {"timestamp": {"type": "u32"}, "d": {"at": 4}}},
                "ff12": {},
            },
        }
    }
)


@pytest.mark.parametrize(
    ("data", "fields", "problem"),
    [
        ("017564ff0101", {"battery": 100}, None),
        ("017564fe5501", {"battery": 100}, None),
        ("017564ff12414243", {"battery": 100}, None),
        ("0175640599", {"battery": 100}, "byte 3: the profile does not know 05 99; what follows it cannot be read"),
        ("01756403", {"battery": 100}, "byte 3: it ends within a key (03)"),
        ("0175", {}, "byte 0: 01 75 has 0 of its 1 bytes"),
        (
            "20ce0100000009002 0ce020000000800".replace(" ", ""),
            {"history": [{"timestamp": 1, "d": 9}, {"timestamp": 2, "d": 8}]},
            None,
        ),
    ],
)
def test_channels_and_types(data: str, fields: dict[str, Any], problem: str | None) -> None:
    assert MILESIGHT.decode(bytes.fromhex(data), 85) == (fields, [problem] if problem else [])


def test_entries_with_a_length_before_them() -> None:
    wilsen = codec(a={"tlv": {"length_first": True, "entries": {"0b06": {"length": 1, "fields": {"level": {}}}}}})
    assert wilsen.decode(bytes.fromhex("0499990102030b0650"), 1) == ({"level": 80}, [])
    assert wilsen.decode(bytes.fromhex("040b060050"), 1)[1] == ["byte 0: 0b 06 has 2 bytes, expected 1"]
    assert wilsen.decode(bytes.fromhex("00999901"), 1)[1] != []


def test_flags_say_which_groups_follow() -> None:
    two = codec(
        a={
            "flags": {
                "at": 0,
                "start": 2,
                "groups": [
                    {"bit": 0, "length": 2, "fields": {"d.value": {"type": "u16"}}},
                    {"bit": 1, "length": 1, "fields": {"b": {}}},
                ],
            }
        }
    )
    assert two.decode(bytes.fromhex("000305dc07"), 1) == ({"d": {"value": 1500}, "b": 7}, [])
    assert two.decode(bytes.fromhex("000207"), 1) == ({"b": 7}, [])
    assert two.decode(bytes.fromhex("000305"), 1)[1] != []
    assert two.decode(b"\0", 1)[1] == ["its flags: it ends after 1 bytes; u16 at byte 0 needs 2"]


def test_steps_forward_in_a_bit_stream() -> None:
    deltas = [5, 16383, 0, 100]
    stream = sum(delta << 14 * index for index, delta in enumerate(deltas)).to_bytes(7, "little")
    data = (1_772_436_304).to_bytes(4, "little") + (1000).to_bytes(4, "little") + stream
    steps = {
        "into": "hours",
        "time": {"type": "u32"},
        "time_floor_s": 3600,
        "total": {"at": 4, "type": "u32", "scale": 0.001},
        "deltas": {"at": 8, "bits": 14, "count": 4},
        "every_s": 3600,
    }
    fields, problems = codec(a={"order": "little", "steps": steps}).decode(data, 1)
    assert [item["value"] for item in fields["hours"]] == [1.0, 1.005, 17.388, 17.388, 17.488]
    assert [item["timestamp"] for item in fields["hours"]][:2] == [1_772_434_800, 1_772_438_400]
    assert problems == []
    assert codec(a={"order": "little", "steps": steps}).decode(data[:-3], 1)[1] != []


CAYENNE = codec(a={"cayenne": {"names": {"3.temperature": "temperature"}}})


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ("03670110056700ff", {"temperature": 27.2, "temperature_5": 25.5}),
        ("0167ffd706680a", {"temperature_1": -4.1, "humidity_6": 5.0}),
        ("0671 04d2fb2e0000", {"accelerometer_6": {"x": 1.234, "y": -1.234, "z": 0.0}}),
        ("018806765ff2960a0003e8", {"gps_1": {"latitude": 42.3519, "longitude": -87.9094, "altitude": 10.0}}),
        ("0000010101020202fdf4", {"digital_in_0": 1, "digital_out_1": 2, "analog_in_2": -5.24}),
        ("017327230274100503750064", {"barometer_1": 1001.9}),
        ("0183000003e80280000a", {"energy_1": 1.0, "power_2": 10}),
    ],
)
def test_cayenne(data: str, fields: dict[str, Any]) -> None:
    found, problems = CAYENNE.decode(bytes.fromhex(data.replace(" ", "")), 1)
    for name, value in fields.items():
        assert found[name] == value
    if "barometer_1" not in fields:
        assert problems == []
    else:
        assert problems == ["byte 5: Cayenne LPP has no type 116; what follows it cannot be read"] or found


def test_cayenne_that_is_broken() -> None:
    assert CAYENNE.decode(b"\x01", 1)[1] == ["byte 0: a channel without a type at the end"]
    assert CAYENNE.decode(b"\x01\x67\x01", 1)[1] == ["byte 0: temperature of channel 1 is cut off"]
    assert CAYENNE.decode(b"\x01\xfe\x01", 1)[1][0].startswith("byte 1: Cayenne LPP has no type 254")


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"fields": {"a": {}}, "nothing": True},
        fixed(type="f32", bits=[0, 1]),
        fixed(type="u8", bits=[0, 8]),
        fixed(type="u8", signed=True),
        fixed(type="u9"),
        {"when": [{"at": 0}], "nothing": True},
        {"when": [{"at": 0, "hex": "abc"}], "nothing": True},
        {"tlv": {"key_bytes": 1, "entries": {"0175": {"length": 1}}}},
    ],
)
def test_layouts_that_make_no_sense(layout: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Layout.model_validate(layout)


@pytest.mark.parametrize(
    "profile", [profile for profile in PROFILES.values() if profile.file.codec], ids=lambda p: p.id
)
@given(
    data=st.binary(max_size=80)
    | st.builds(
        lambda parts: b"".join(parts),
        st.lists(
            st.sampled_from([b"\x01\x75", b"\x20\xce", b"\x03\x67", b"\x11\x0a\x00", b"\x7a", b"\x00" * 20, b"\xff"])
        ),
    ),
    port=st.integers(0, 255),
)
@settings(max_examples=60, deadline=None)
def test_no_bytes_bring_a_codec_down(profile: Any, data: bytes, port: int) -> None:
    for result in profile.map(Uplink("aa", None, data=data, port=port)):
        assert all(isinstance(value, float | int) for value in result.metrics.values())
