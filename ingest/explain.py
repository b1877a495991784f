"""Why a message is read as it is: the decoder at its usual work, watched from outside.

Every value comes from the same code as in ingest; nothing here is asked while ingest runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from catalogue.metrics import Quality
from ingest.codec.trace import Trace
from ingest.decoder import Decoded, Decoder, Explanation
from ingest.envelopes import Announcement, Envelope, NotAReading, Uplink
from ingest.errors import Reason, Undecodable
from ingest.explain_fields import FieldTold, bytes_of, content_of, fields_told, unknown_values
from ingest.explain_profile import Near, near_profiles, why
from ingest.explain_readings import ReadingTold, readings_told
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.pins import parse_pins
from ingest.profile import Profile
from ingest.recognition import Recogniser


@dataclass
class Moment:
    """The readings of one channel at one time. `device_us` is what the device says, None if it tells no time."""

    address: str
    channel: str
    time_us: int
    time_source: str
    device_us: int | None
    readings: list[ReadingTold]


@dataclass
class DeviceTold:
    """What a message says of one device. `data` are its bytes that nobody had decoded, `trace` how they were read.

    `fields` are in the order of the profile; those without a metric could not be read. `refusal` is why there are no
    readings: (reason, sentence); the reason is None where there was nothing to be read.
    """

    address: str
    channel: str
    model_names: tuple[str, ...]
    profile: str = ""
    profile_why: str = ""
    near: list[Near] = field(default_factory=list)
    sent: Mapping[str, Any] = field(default_factory=dict)
    data: bytes | None = None
    port: int = 0
    trace: Trace | None = None
    fields: list[FieldTold] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    unknown: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[Reason, str]] = field(default_factory=list)
    refusal: tuple[Reason | None, str] | None = None


@dataclass
class Told:
    """All that there is to say about a message. `refusal` as in `DeviceTold`, for a message without any readings."""

    message: Message
    envelope: str = ""
    envelope_title: str = ""
    envelope_why: str = ""
    announcements: list[Announcement] = field(default_factory=list)
    devices: list[DeviceTold] = field(default_factory=list)
    refusal: tuple[Reason | None, str] | None = None

    @property
    def is_read(self) -> bool:
        """False if ingest would keep the message, or a part of it, in quarantine."""
        refused = [self.refusal, *(device.refusal for device in self.devices)]
        return not any(its and its[0] is not None for its in refused) and not any(
            device.problems for device in self.devices
        )


class Explainer:
    """Explains messages one after the other; formats with a memory keep it between them.

    `registry` is what is known of devices. `pins` is the setting MISTO_ENVELOPES; raises `WrongPin`.
    """

    def __init__(
        self, envelopes: Sequence[Envelope], profiles: Mapping[str, Profile], registry: OneDevice, pins: str = ""
    ) -> None:
        self._profiles = profiles
        self._registry = registry
        self._opened: tuple[Envelope, list[Uplink | Announcement]] | None = None
        watched = [self._watched(envelope) for envelope in envelopes]
        self._door = Decoder(watched, {}, registry, pins=parse_pins(pins, watched))
        self._recogniser = Recogniser(profiles.values())
        self._why: dict[str, str] = {}
        self._item: Uplink | None = None
        self._decoders: dict[str, Decoder] = {}

    def explain(self, message: Message) -> Told:
        """What becomes of a message, and why. Raises nothing."""
        told, way = Told(message), Explanation()
        self._opened = None
        try:
            self._door.decode(message, way)
        except (Undecodable, NotAReading) as error:
            told.refusal = (getattr(error, "reason", None), str(error))
        told.envelope_title = way.envelope
        # A topic's format is looked for once.
        told.envelope_why = self._why.setdefault(message.topic, way.envelope_why) if way.envelope else ""
        if self._opened is None:
            return told
        envelope, items = self._opened
        told.envelope = envelope.name
        if items:
            told.refusal = None
        for item in items:
            if isinstance(item, Announcement):
                told.announcements.append(item)
            else:
                told.devices.append(self._device(message, envelope, item))
        if told.devices and not any(device.moments for device in told.devices):
            told.refusal = next((its.refusal for its in told.devices if its.refusal and its.refusal[0]), None)
            told.refusal = told.refusal or told.devices[0].refusal
        return told

    def open(self, message: Message) -> tuple[Envelope, list[Uplink | Announcement]]:
        """A message's format and what it holds. Raises `Undecodable` or `NotAReading`."""
        self._opened = None
        try:
            self._door.decode(message)
        except (Undecodable, NotAReading):
            if self._opened is None or not self._opened[1]:
                raise
        assert self._opened is not None
        return self._opened

    def profile_of(self, envelope: str, uplink: Uplink) -> str:
        """The id of the profile that is found for an uplink, or nothing."""
        found = self._recogniser.find(envelope, uplink)
        return found.id if found is not None else ""

    def _watched(self, envelope: Envelope) -> Envelope:
        def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
            items: list[Uplink | Announcement] = []
            self._opened = (envelope, items)
            items += envelope.decode(topic, payload, received_us)
            return []

        return replace(envelope, decode=decode)

    def _device(self, message: Message, envelope: Envelope, uplink: Uplink) -> DeviceTold:
        """One device's part through the decoder alone."""
        told = DeviceTold(uplink.address, uplink.channel, uplink.profile_names, sent=uplink.fields)
        told.data, told.port = uplink.data, uplink.port
        decoder = self._decoders.get(envelope.name)
        if decoder is None:
            handed = replace(envelope, owns_topic=lambda topic: True, decode=self._hand_over)
            decoder = self._decoders[envelope.name] = Decoder([handed], self._profiles, self._registry, thorough=True)
        self._item = uplink
        way = Explanation()
        parts: list[Decoded] = []
        try:
            parts = decoder.decode(message, way)
        except (Undecodable, NotAReading) as error:
            told.refusal = (getattr(error, "reason", None), str(error))
        profile = self._profiles.get(way.profile)
        told.profile = way.profile
        told.profile_why = why(profile, uplink, way.profile_why)
        if uplink.metrics is None:
            told.near = near_profiles(self._profiles, envelope.name, uplink, profile)
        if profile is not None:
            told.trace = bytes_of(profile, uplink)
            told.sent = content_of(profile, uplink)
            told.fields = fields_told(profile, uplink)
        for part in parts:
            told.problems += part.problems
            told.unknown |= unknown_values(part.unknown_fields, told.sent, message.payload)
            told.moments.append(self._moment(part, uplink, profile, told))
        return told

    def _hand_over(self, topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        return [self._item] if self._item is not None else []

    def _moment(self, part: Decoded, uplink: Uplink, profile: Profile | None, told: DeviceTold) -> Moment:
        # A further channel that has no point of its own is a device of its own, named after it.
        _, _, channel = part.device.address.partition(f"{told.address}/")
        here = [its for its in told.fields if its.time_us == part.time_us]
        here = here or [its for its in told.fields if its.time_us is None]
        readings = readings_told(part, uplink, profile, told.sent, self._registry.geometry)
        device_us = part.time_us if here and here[0].time_us is not None else uplink.time_us
        return Moment(told.address, channel, part.time_us, part.time_source.value, device_us, readings)


def is_good(reading: ReadingTold) -> bool:
    """Whether rules may judge it."""
    return reading.quality == Quality.GOOD
