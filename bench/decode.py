"""Decoding on one core: messages a second by format, and where the time goes.

Measured in batches as the pipeline makes them, with the garbage collector as the services set it, in CPU time: what
else runs on the machine counts as little as possible.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any
from zoneinfo import ZoneInfo

from bench import formats
from bench.results import of_three, show
from ingest.batch import decode_batch
from ingest.clock import parse_time_us, settle_time
from ingest.decoder import Decoder, _readings
from ingest.envelopes import all_envelopes
from ingest.envelopes.base import json_value
from ingest.envelopes.plain_json import read_valid
from ingest.message import Message
from ingest.profile import load_profiles
from ingest.profile_map import Profile
from misto.service import tune_collector
from misto.settings import Settings
from store.registry import Assignment, RegisteredDevice

#: What `Decoder.decode` calls for a message, by the name under which its time is told.
_STAGES: dict[str, tuple[Callable[..., Any], ...]] = {
    "recognition": (Decoder._envelope,),
    "JSON": (json_value,),
    "time": (parse_time_us, settle_time),
    "device": (Decoder._device,),
    "profile": (Decoder._profile, Profile.map),
    "readings": (_readings,),
}
_RECORDED = 1_000

#: A call to be made again: function, arguments by position and by name.
_Call = tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]]


class Known:
    """A registry to which every device is known."""

    def __init__(self, profile: str | None) -> None:
        self._profile = profile
        self._devices: dict[str, RegisteredDevice] = {}

    def device(self, address: str) -> RegisteredDevice:
        known = self._devices.get(address)
        if known is None:
            number = len(self._devices) + 1
            lasting = Assignment(number, "", float("-inf"), float("inf"), None)
            known = self._devices[address] = RegisteredDevice(number, address, self._profile, "claimed", [lasting])
        return known

    def announced(self, address: str, facts: Mapping[str, str]) -> None:
        """A device that is known need not tell about itself."""


def run(quick: bool) -> None:
    """Print messages a second for each format, and microseconds a message by stage."""
    count = 4_000 if quick else 20_000
    zone, profiles = ZoneInfo("Europe/Kyiv"), load_profiles()
    tune_collector()
    for title, messages, profile, goal in (
        ("decode plain JSON", formats.plain(5 * count), None, 100_000),
        (
            "decode ChirpStack, bin sensor",
            formats.simulated("milesight-em400-mud", count), "milesight-em400-mud", 30_000,
        ),
        (
            "decode Tasmota, three-phase meter",
            formats.simulated("eastron-sdm630-tasmota", count), "eastron-sdm630-tasmota", 30_000,
        ),
        ("decode The Things Stack, bin sensor", formats.tts(count), None, 30_000),
        ("decode Zigbee2MQTT, plug", formats.zigbee2mqtt(count), None, 30_000),
        ("decode wmbusmeters, heat meter", formats.wmbusmeters(count), None, 30_000),
        ("decode Shelly Gen2, three-phase meter", formats.shelly(count), None, 30_000),
    ):  # fmt: skip
        decoder = Decoder(all_envelopes(zone), profiles, Known(profile))
        decode_batch(messages[:_RECORDED], decoder, {})

        def measure(decoder: Decoder = decoder, messages: list[Message] = messages) -> float:
            return 1e6 / _batches_us(messages, decoder)

        rate = of_three(measure)
        show(title, rate, "messages/s", goal)
        stages = _stages_us(decoder, messages[:_RECORDED])
        stages["batch"] = 1e6 / rate - sum(stages.values())
        print("    µs: " + ", ".join(f"{name} {spent:.1f}" for name, spent in stages.items()))


def _batches_us(messages: Sequence[Message], decoder: Decoder) -> float:
    """CPU time a message, in µs, from messages to arrays for the store."""
    size = Settings.model_fields["batch_messages"].default
    began = time.process_time()
    for start in range(0, len(messages), size):
        decoded = decode_batch(messages[start : start + size], decoder, {})
        assert decoded.outcomes["stored"] == min(size, len(messages) - start)
    return (time.process_time() - began) / len(messages) * 1e6


def _stages_us(decoder: Decoder, messages: Sequence[Message]) -> dict[str, float]:
    """CPU time a message of each stage, in µs: the calls that decoding makes, made again one stage at a time."""
    calls = _recorded(decoder, messages)
    spent = {name: _spent_us([call for call in calls if call[0] in stage]) for name, stage in _STAGES.items()}
    if not any(call[0] is json_value for call in calls):
        spent["JSON"] = _spent_us([(read_valid, (message.payload,), {}) for message in messages])
    opened = [
        (decoder._by_topic[message.topic].decode, (message.topic, message.payload, message.received_us), {})
        for message in messages
    ]
    within = spent["JSON"] + _spent_us([call for call in calls if call[0] is parse_time_us])
    whole = _spent_us([(decoder.decode, (message,), {}) for message in messages])
    spent = {name: us / len(messages) for name, us in spent.items()}
    model = (_spent_us(opened) - within) / len(messages)
    rest = whole / len(messages) - sum(spent.values()) - model
    return {
        "recognition": spent.pop("recognition"),
        "JSON": spent.pop("JSON"),
        "envelope": model,
        **spent,
        "rest": rest,
    }


def _spent_us(calls: Sequence[_Call]) -> float:
    """CPU time of all calls in µs, the best of five, without what the loop itself takes."""
    return max(
        0.0, min(_loop_us(calls) for _ in range(5)) - min(_loop_us([(_nothing, (), {})] * len(calls)) for _ in range(5))
    )


def _loop_us(calls: Sequence[_Call]) -> float:
    began = time.process_time()
    for function, arguments, named in calls:
        function(*arguments, **named)
    return (time.process_time() - began) * 1e6


def _nothing() -> None:
    """An empty call."""


def _recorded(decoder: Decoder, messages: Sequence[Message]) -> list[_Call]:
    """The calls of all stages that decoding these messages makes."""
    wanted: dict[CodeType, Callable[..., Any]] = {
        function.__code__: function for stage in _STAGES.values() for function in stage
    }
    calls: list[_Call] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code in wanted:
            told = frame.f_locals
            named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
            arguments = [told[name] for name in code.co_varnames[: code.co_argcount]]
            calls.append((wanted[code], arguments, {name: told[name] for name in named}))

    sys.setprofile(note)
    try:
        for message in messages:
            decoder.decode(message)
    finally:
        sys.setprofile(None)
    return calls
