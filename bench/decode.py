"""Decoding: messages a second on one core, by format."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from bench.results import of_three, show
from catalogue.inventory import read_inventory
from ingest.batch import decode_batch
from ingest.decoder import Decoder
from ingest.envelopes import all_envelopes
from ingest.message import Message
from ingest.profile import load_profiles
from misto.history import demo_city_file
from simulators.city import City
from simulators.messages import encoder_for
from store.registry import Assignment, RegisteredDevice


class Known:
    """A registry to which every device is known."""

    def __init__(self, profile: str | None) -> None:
        self._device = RegisteredDevice(
            1, "d", profile, "claimed", [Assignment(1, "", float("-inf"), float("inf"), None)]
        )

    def device(self, address: str) -> RegisteredDevice:
        return self._device

    def unclaimed(self, address: str, profile: str | None, kind: str, guess: Mapping[str, Any]) -> RegisteredDevice:
        return self._device


def plain(count: int) -> list[Message]:
    """Messages as in the design's goal: about 180 bytes with three metrics."""
    now = time.time_ns() // 1000
    return [
        Message(
            f"misto/meter-{number % 1000:04d}/up",
            json.dumps(
                {
                    "device": f"meter-{number % 1000:04d}",
                    "time": "2026-03-02T10:15:00.000Z",
                    "energy_kwh": 48213.71 + number,
                    "power_w": 5240.25,
                    "voltage_v": 229.4,
                    "quality": "good",
                }
            ).encode(),
            now,
            number % 65_000 + 1,
        )
        for number in range(count)
    ]


def simulated(profile: str, count: int) -> list[Message]:
    """Messages of a simulated device with this profile."""
    city = City(read_inventory(demo_city_file()))
    meter = next(meter for meter in city.meters if meter.profile == profile)
    zone = ZoneInfo(city.inventory.city.time_zone)
    encode = encoder_for(meter, zone)
    now = time.time_ns() // 1000
    times = meter.times_us(now - count * meter.interval_us, now)
    measured = meter.measure(times)
    return [
        Message(*encode(meter, int(at), {name: float(values[i]) for name, values in measured.items()}, i), now, 1)
        for i, at in enumerate(times)
    ]


def run(quick: bool) -> None:
    """Print messages a second for each format."""
    count = 5_000 if quick else 30_000
    zone, profiles = ZoneInfo("Europe/Kyiv"), load_profiles()
    for title, messages, profile in (
        ("decode plain JSON", plain(count), None),
        ("decode ChirpStack, bin sensor", simulated("milesight-em400-mud", count // 10), "milesight-em400-mud"),
        (
            "decode Tasmota, three-phase meter",
            simulated("eastron-sdm630-tasmota", count // 10),
            "eastron-sdm630-tasmota",
        ),
    ):
        decoder = Decoder(all_envelopes(zone), profiles, Known(profile))

        def measure(decoder: Decoder = decoder, messages: list[Message] = messages) -> float:
            began = time.perf_counter()
            decode_batch(messages, decoder, {})
            return len(messages) / (time.perf_counter() - began)

        show(title, of_three(measure), "messages/s")
