"""What of a payload people get to see."""

from __future__ import annotations

import json

import pytest

from dashboards.board.messages import has_message, messages
from ingest.errors import REASONS, Reason
from store.quarantine import CAUSES
from store.redaction import MASK, hidden_topic, hide, redacted, shown

SECRET = "s3cr3t-Value"


@pytest.mark.parametrize(
    "text",
    [
        '{"appKey": "s3cr3t-Value", "x": 1}',
        '{"AppSKey":"s3cr3t-Value"}',
        '{"nwk_s_key" : "s3cr3t-Value"}',
        '{"device": {"Password": "s3cr3t-Value"}}',
        '{"wifi": {"ap": [1, "}"], "name": "s3cr3t-Value"}, "power_w": 5}',
        '{"token": "ends with a \\" s3cr3t-Value"}',
        '{"token": "cut off s3cr3t-Val',
        '{"wifi": {"name": "s3cr3t-Value',
        "{'api-key': 's3cr3t-Value'}",
        '{"payload": "{\\"password\\": \\"s3cr3t-Value\\", \\"a\\": 1}"}',
        '{"name": "appKey", "value": "s3cr3t-Value"}',
        '{"key":"nwkSKey","type":"text","value":"s3cr3t-Value"}',
        '{"keys": ["s3cr3t-Value", "s3cr3t-Value"]}',
        '{"пароль": "s3cr3t-Value"}',
        "power=5&token=s3cr3t-Value&x=1",
        "Password: s3cr3t-Value",
        "Authorization: Bearer s3cr3t-Value",
        '{"url": "https://me:s3cr3t-Value@broker.example/x"}',
        '{"x": "eyJhbGciOi.eyJzdWIiOi-s3cr3t-Value.x"}',
        '[{"mqtt": {"psk": 12345678, "ssid": "s3cr3t-Value"}}]',
    ],
)  # fmt: skip
def test_secrets_are_hidden(text: str) -> None:
    hidden = hide(text)
    assert "s3cr3t-Val" not in hidden
    assert MASK in hidden
    assert hide(hidden) == hidden


@pytest.mark.parametrize(
    "text",
    [
        '{"time": "2026-11-23T10:15:00Z", "power_w": 5, "status": {"a": ["b", null]}}',
        '{"password": null, "x": 1}',
        "hello",
        '{"name": "temperature", "value": 21.5}',
        '{"wifi_rssi": -60, "tilted": false}',
        "",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert hide(text) == text


def test_the_rest_stays_where_it_was() -> None:
    assert hide('{"a":1,"appKey":"abc","b":{"token":17,"c":[2]}}') == '{"a":1,"appKey":"***","b":{"token":***,"c":[2]}}'


def test_bytes_that_are_no_text_are_digits_without_their_secrets() -> None:
    its = shown(b'\xff\x00{"password": "s3cr3t-Value"}')
    assert (its.is_text, its.is_redacted) == (False, True)
    assert SECRET.encode().hex(" ") not in its.text
    assert its.text.startswith("ff 00 7b 22 70")
    assert all(len(line) <= 95 for line in its.text.splitlines())


def test_text_is_text_and_what_steers_a_terminal_is_not() -> None:
    assert shown("показ\n\t5".encode()).text == "показ\n\t5"
    assert not shown(b"\x1b[2J").is_text
    assert not shown("a\u202eb".encode()).is_text
    assert shown("показ".encode()[:-1], cut=True).text == "пока"
    assert not shown("показ".encode()[:-1]).is_text
    assert shown(b"").text == ""


@pytest.mark.parametrize(
    "payload",
    [
        b"\\" * 500_000,
        b'"' * 500_000,
        b'{"token":' * 60_000,
        b'"token":{' * 60_000,
        b'"token":"' + b"\\" * 500_000,
        b"eyJ" * 200_000,
        b"a" * 500_000,
        b"a=" * 250_000,
        b"://a" * 120_000,
        json.dumps({"password": "x" * 500_000}).encode(),
        b'{"name":"appKey",' * 30_000,
        b'"token":[' + b'"\\' * 200_000,
    ],
)  # fmt: skip
@pytest.mark.timeout(60)  # what grows with the square of the size takes many minutes
def test_hostile_payloads_take_time_in_proportion(payload: bytes) -> None:
    redacted(payload)


def test_every_reason_has_its_sentence_and_what_to_do() -> None:
    for reason in Reason:
        assert messages()[f"why.{reason}"]["en"] == REASONS[reason]
        assert has_message(f"todo.{reason}")
    assert all(has_message(f"gone.{cause}") for cause in CAUSES)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/json/4jggokgpepnvsb2uv4s40d59ov/dev7/attrs", "/json/***/dev7/attrs"),
        ("/ul/k3y/dev7/attrs/t", "/ul/***/dev7/attrs/t"),
        ("json/k3y/dev7/cmdexe", "json/***/dev7/cmdexe"),
        ("/k3y/dev7/attrs", "/***/dev7/attrs"),
        ("application/1/device/24e1/event/up", "application/1/device/24e1/event/up"),
        ("misto/attrs/up", "misto/attrs/up"),
        ("/json/attrs", "/json/attrs"),
    ],
)
def test_a_key_in_a_topic_is_hidden(topic: str, expected: str) -> None:
    assert hidden_topic(topic) == expected
