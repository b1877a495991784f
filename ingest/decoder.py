"""A message becomes readings: envelope, device, profile, time, values. No I/O: the registry is asked by a protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from catalogue.geometry import fill_from_distance
from catalogue.inventory import normal_address
from catalogue.metrics import Quality, metrics
from ingest.clock import TimeSource, settle_time
from ingest.envelopes import Announcement, Envelope, NotAReading, Uplink
from ingest.envelopes.base import json_value
from ingest.errors import LONGEST_DETAIL, Reason, Undecodable, bare
from ingest.message import Message
from ingest.pins import Pins
from ingest.profile import Mapped, Profile
from ingest.recognition import Recogniser
from store.registry import Assignment, RegisteredDevice
from store.text import storable

#: Larger than any sensor's message; what is larger is kept, but not parsed.
MAX_PAYLOAD_BYTES = 256 * 1024
#: Topics are remembered, here and by formats that describe themselves.
MAX_TOPIC_CHARACTERS = 1024
_MOST_REMEMBERED = 200_000

#: A device's address and a channel of it.
_LONGEST_WITH_CHANNEL = 256

#: Metric → its number in the database and its plausible range.
_METRICS = {metric.name: (metric.id, *metric.range) for metric in metrics().values()}
_FILL, _, _ = _METRICS["fill_level_pct"]
_FARTHEST_MM = _METRICS["distance_mm"][2]
_LEVEL = frozenset({"fill_level_pct", "distance_mm"})
_DEVICE = TimeSource.DEVICE
_SUSPECT = int(Quality.SUSPECT)


class Registry(Protocol):
    """What the decoder asks about devices."""

    def device(self, address: str) -> RegisteredDevice | None:
        """The device of this address, if the city knows it."""

    def unclaimed(self, address: str, profile: str | None, kind: str, guess: Mapping[str, Any]) -> RegisteredDevice:
        """Keep a device that nobody knows yet."""

    def announced(self, address: str, facts: Mapping[str, str]) -> None:
        """Keep what is told about a device, as a suggestion."""


@dataclass(slots=True)
class Decoded:
    """What a device's part of a message became. `readings` are (point_id, metric_id, value, quality) at `time_us`."""

    time_us: int
    time_source: TimeSource
    envelope: str
    device: RegisteredDevice
    readings: list[tuple[int, int, float, int]]
    problems: list[tuple[Reason, str]]
    unknown_fields: tuple[str, ...]
    profile: str | None


@dataclass
class Explanation:
    """Why a message was read as it was, for people."""

    envelope: str = ""
    envelope_why: str = ""
    address: str = ""
    profile: str = ""
    profile_why: str = ""
    notes: list[str] = field(default_factory=list)


class Decoder:
    """Decodes messages. Keeps which envelope a topic belongs to and which devices were looked through already."""

    def __init__(
        self,
        envelopes: Sequence[Envelope],
        profiles: Mapping[str, Profile],
        registry: Registry,
        *,
        thorough: bool = False,
        pins: Pins | None = None,
    ) -> None:
        self._envelopes = envelopes
        self._profiles = profiles
        self._recogniser = Recogniser(profiles.values())
        self._registry = registry
        self._thorough = thorough
        self._pins = pins or None
        self._by_topic: dict[str, Envelope] = {}
        self._looked_through: set[str] = set()

    def decode(self, message: Message, explanation: Explanation | None = None) -> list[Decoded]:
        """What a message holds: at least one part with readings; what else of it cannot be read stands in `problems`.

        Raises `Undecodable` (to quarantine) or `NotAReading` (to be counted) if there is nothing to be read at all.
        """
        payload = message.payload
        if len(message.topic) > MAX_TOPIC_CHARACTERS:
            raise Undecodable(
                Reason.TOO_LARGE,
                f"its topic has {len(message.topic)} characters; {MAX_TOPIC_CHARACTERS} are read at the most",
            )
        if not payload and not self._owned(message.topic, lambda envelope: envelope.reads_empty):
            raise Undecodable(Reason.EMPTY, "the message has no content")
        if len(payload) > MAX_PAYLOAD_BYTES:
            if self._owned(message.topic, lambda envelope: message.topic in envelope.tells_at_length):
                raise NotAReading(f"what is told on {message.topic} is too long to be read, and no reading")
            raise Undecodable(
                Reason.TOO_LARGE, f"it has {len(payload)} bytes; {MAX_PAYLOAD_BYTES} are read at the most"
            )
        envelope = self._by_topic.get(message.topic) or self._envelope(message, explanation)
        if explanation is not None:
            explanation.envelope = envelope.title
        parts: list[Decoded] = []
        refused: list[Undecodable] = []
        nothing: NotAReading | None = None
        for item in envelope.decode(message.topic, payload, message.received_us):
            if explanation is not None:
                explanation.address = item.address
            if isinstance(item, Announcement):
                self._registry.announced(item.address, item.facts)
                nothing = nothing or NotAReading(f"{envelope.title} tells about the device {item.address}")
                continue
            try:
                parts += self._place(message, envelope, item, explanation)
            except NotAReading as error:
                nothing = nothing or bare(error)
            except Undecodable as error:
                error.device_address = item.address
                refused.append(bare(error))
        if not parts:
            if refused:
                raise refused[0]
            raise nothing or Undecodable(Reason.EMPTY, f"it is an empty list, where {envelope.title} has readings")
        if refused:
            parts[0].problems += [(error.reason, f"{error.device_address}: {error.detail}") for error in refused]
        for part in parts:
            if part.problems:
                part.problems = [(reason, storable(detail, LONGEST_DETAIL)) for reason, detail in part.problems]
        return parts

    def _owned(self, topic: str, wanted: Callable[[Envelope], bool]) -> bool:
        """Whether the envelope that owns a topic is a wanted one."""
        owner = next((envelope for envelope in self._envelopes if envelope.owns_topic(topic)), None)
        return owner is not None and wanted(owner)

    def _envelope(self, message: Message, told: Explanation | None) -> Envelope:
        """The envelope of a topic that was not seen before, or of one that nobody owns."""
        pin = self._pins.find(message.topic) if self._pins is not None else None
        if pin is not None:
            if told is not None:
                told.envelope_why = f"pinned by MISTO_ENVELOPES: {pin.topic_filter}"
            return pin.envelope
        for envelope in self._envelopes:
            if envelope.owns_topic(message.topic):
                if told is not None:
                    told.envelope_why = f"the topic {message.topic} is its own"
                if len(self._by_topic) >= _MOST_REMEMBERED:  # topics are input: their memory has an end
                    self._by_topic.clear()
                self._by_topic[message.topic] = envelope
                return envelope
        try:
            content = json_value(message.payload)
        except Undecodable as error:
            raise Undecodable(
                Reason.UNKNOWN_ENVELOPE, f"the topic {message.topic!r} is of no known format, and {error.detail}"
            ) from None
        for envelope in self._envelopes:
            if envelope.looks_like(content):
                if told is not None:
                    told.envelope_why = "its content is built so"
                return envelope
        raise Undecodable(
            Reason.UNKNOWN_ENVELOPE, f"neither the topic {message.topic!r} nor the content is of a known format"
        )

    def _place(self, message: Message, envelope: Envelope, uplink: Uplink, told: Explanation | None) -> list[Decoded]:
        device, address = self._device(uplink.address, uplink.channel)
        profile = None
        first_time = self._look_through(uplink.address)
        if first_time and uplink.facts:
            self._registry.announced(uplink.address, uplink.facts)
        if uplink.metrics is not None:
            if told is not None:
                told.profile_why = "none is needed: the fields are Misto's own metrics"
            results = [Mapped(uplink.metrics, uplink.unknown)]
        else:
            profile = self._profile(envelope, uplink, device, told)
            if profile is None:
                return [part for own in uplink.instead for part in self._place(message, envelope, own, told)]
            general = profile.file.recognise.general
            results = profile.map(uplink, report_unknown=first_time or general)
            if general and results[0].unknown and results[0].metrics:
                # What nobody understands of it is not lost: it waits for a profile of its own.
                results[0].problems.append((Reason.UNKNOWN_PROFILE, _nobody_knows(uplink, results[0])))
        first = results[0]
        problems = [*uplink.problems, *first.problems] if uplink.problems or first.problems else []
        signal = uplink.signal
        if not signal and not first.metrics and not any(mapped.metrics for mapped in results):
            if problems:
                raise Undecodable(problems[0][0], "; ".join(detail for _, detail in problems))
            if profile is not None and profile.understands(uplink):
                raise NotAReading(f"a message without readings, as the profile {profile.id} knows them")
            raise Undecodable(Reason.NO_READINGS, "it holds no field that is a reading")
        if signal and first.time_us is not None:
            results.insert(0, Mapped({}))  # the signal is of now, what the message tells of earlier
        parts: list[Decoded] = []
        refused: list[Undecodable] = []
        nothing: NotAReading | None = None
        for mapped in results:
            place = self._device(uplink.address, mapped.channel) if mapped.channel else (device, address)
            try:
                parts.append(self._part(message, envelope, uplink, mapped, profile, *place, signal))
                signal = {}
            except NotAReading as error:
                nothing = bare(error)
            except Undecodable as error:
                refused.append(bare(error))
        if not parts:
            raise refused[0] if refused else nothing or Undecodable(Reason.NO_READINGS, "it holds no reading")
        if problems:
            parts[0].problems += problems
        if refused:
            parts[0].problems += [(error.reason, error.detail) for error in refused]
        return parts

    def _part(
        self,
        message: Message,
        envelope: Envelope,
        uplink: Uplink,
        mapped: Mapped,
        profile: Profile | None,
        device: RegisteredDevice | None,
        address: str,
        signal: Mapping[str, float],
    ) -> Decoded:
        """One channel's readings at one moment."""
        time_us, source = settle_time(uplink.time_us if mapped.time_us is None else mapped.time_us, message.received_us)
        if message.retained and source is not _DEVICE:
            # The broker sends it at every new session; without a time of its own it would count again each time.
            raise NotAReading("a retained message without a time")
        profile_id = None if profile is None else profile.id
        if device is None:
            bound = None if profile is None or profile.file.recognise.general else profile_id
            kind = profile.file.kind if profile is not None else kind_of(mapped.metrics)
            guess = {
                "envelope": envelope.name,
                "metrics": sorted(mapped.metrics),
                "names": [storable(name, 100) for name in uplink.profile_names],
            }
            device = self._registry.unclaimed(address, bound, kind, guess)
        channel = mapped.channel or uplink.channel
        assignment = _assignment_at(device, time_us, channel if address == uplink.address else "")
        if assignment is None:
            raise Undecodable(
                Reason.NOT_ASSIGNED, "at its time the device was assigned to no point; see valid_from and valid_to"
            )
        found = {**signal, **mapped.metrics} if signal else mapped.metrics
        readings = _readings(found, assignment, uplink.quality, uplink.suspect | mapped.suspect)
        return Decoded(time_us, source, envelope.name, device, readings, [], mapped.unknown, profile_id)

    def _device(self, address: str, channel: str) -> tuple[RegisteredDevice | None, str]:
        """The device, and its address. A channel that its device has no point for is a device of its own."""
        device = self._registry.device(address)
        if not channel or (
            device is not None and any(assignment.channel == channel for assignment in device.assignments)
        ):
            return device, address
        address = normal_address(f"{address}/{channel}")
        if not address.isprintable() or len(address) > _LONGEST_WITH_CHANNEL:
            raise Undecodable(Reason.NO_DEVICE, f"its channel {channel[:40]!r} cannot be printed or is too long")
        return self._registry.device(address), address

    def _profile(
        self, envelope: Envelope, uplink: Uplink, device: RegisteredDevice | None, told: Explanation | None
    ) -> Profile | None:
        """The profile of an uplink; None if what the sender made of the content is better than a general one."""
        if device is not None and device.profile is not None:
            profile = self._profiles.get(device.profile)
            if profile is None:
                raise Undecodable(
                    Reason.UNKNOWN_PROFILE,
                    f"the inventory gives it the profile {device.profile!r}, which does not exist",
                )
            if told is not None:
                told.profile, told.profile_why = profile.id, "the inventory says so"
            return profile
        found = self._recogniser.find(envelope.name, uplink)
        if uplink.instead and (found is None or found.file.recognise.general):
            return None
        if found is not None:
            if told is not None:
                general = found.file.recognise.general
                why = "no other profile fits; only fields of one meaning are read" if general else None
                told.profile, told.profile_why = found.id, why or "its model name or its fields fit"
            return found
        raise Undecodable(Reason.UNKNOWN_PROFILE, _nobody_knows(uplink))

    def _look_through(self, address: str) -> bool:
        """Whether to list what nobody understood: once a device and process is enough."""
        if self._thorough:
            return True
        if address in self._looked_through:
            return False
        if len(self._looked_through) < _MOST_REMEMBERED:
            self._looked_through.add(address)
        return True


def _nobody_knows(uplink: Uplink, read: Mapped | None = None) -> str:
    names = ", ".join(uplink.profile_names) or "none told"
    if read is not None:
        return (
            f"no profile knows this model ({names}): only {', '.join(read.metrics)} could be read, and nobody"
            f" understands {', '.join(read.unknown[:12])}; write one"
        )
    if uplink.fields:
        return f"no profile knows this model ({names}) with the fields {', '.join(list(uplink.fields)[:12])}; write one"
    where = f" (port {uplink.port}, {len(uplink.data)} bytes)" if uplink.data else ""
    return (
        f"nobody has decoded its bytes{where}, and no profile knows the model ({names}): give the device a profile"
        " in the inventory, or write one"
    )


def digest(message: Message) -> bytes:
    """Tells whether a redelivered packet id carries the same message."""
    return hashlib.blake2b(message.topic.encode() + b"\0" + message.payload, digest_size=8).digest()


def _assignment_at(device: RegisteredDevice, time_us: int, channel: str) -> Assignment | None:
    """The point of a channel at a time; without a channel the device's own, else that of any."""
    seconds = time_us / 1e6
    other = None
    for assignment in device.assignments:
        if assignment.valid_from <= seconds < assignment.valid_to:
            if assignment.channel == channel:
                return assignment
            if not channel and other is None:
                other = assignment
    return other


def _readings(
    found: Mapping[str, float], assignment: Assignment, quality: Quality, suspect: frozenset[str]
) -> list[tuple[int, int, float, int]]:
    point_id, told = assignment.point_id, int(quality)
    if found.get("tilted") or found.get("lid_open"):
        suspect |= {"fill_level_pct"}  # the sensor looks at the bin's wall, or past it
    readings = []
    for name, value in found.items():
        metric_id, low, high = _METRICS[name]
        trusted = low <= value <= high and name not in suspect
        readings.append((point_id, metric_id, value, told if trusted else _SUSPECT))
    if assignment.geometry is not None and "distance_mm" in found and "fill_level_pct" not in found:
        fill, plausible = fill_from_distance(found["distance_mm"], assignment.geometry)
        trusted = plausible and found["distance_mm"] <= _FARTHEST_MM and not suspect & _LEVEL
        readings.append((point_id, _FILL, fill, told if trusted else _SUSPECT))
    return readings


_TELLING = {
    "fill_level_pct": "bin",
    "distance_mm": "bin",
    "water_m3": "water",
    "gas_m3": "gas",
    "heat_carrier_m3": "heat",
    "supply_temperature_c": "heat",
    "energy_kwh": "electricity",
    "power_w": "electricity",
    "voltage_v": "electricity",
    "voltage_l1_v": "electricity",
    "co2_ppm": "indoor",
    "wind_speed_ms": "weather",
    "rain_mm": "weather",
    "irradiance_wm2": "weather",
    "air_pressure_hpa": "weather",
}


def kind_of(found: Iterable[str]) -> str:
    """The kind of point that these metrics speak for."""
    found = set(found)
    return next((kind for name, kind in _TELLING.items() if name in found), "indoor")
