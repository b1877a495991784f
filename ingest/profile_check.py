"""Proof of a profile: its file's mistakes, its examples through the real decoder, and the rules that hold for all.

The tests of the shipped profiles and `misto profile test` are both this code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isclose
from typing import Any

from catalogue.metrics import Quality, metrics, metrics_by_id
from catalogue.yamlfile import Location
from ingest.decoder import Decoded, Decoder, Explanation
from ingest.envelopes import Envelope, NotAReading, Uplink
from ingest.errors import Undecodable
from ingest.lorawan_shapes import EUI, RECEIVED_US, carries_bytes, plain, shape
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.profile import LORAWAN, Profile
from ingest.profile_file import Example
from ingest.recognition import Recogniser

#: Signal strengths come from the envelope, not from the profile.
_SIGNAL = frozenset({"rssi_dbm", "snr_db"})

Readings = dict[str, float]


@dataclass
class Outcome:
    """What an example gave: by moment (microseconds; None: the message's own), by channel ("": none), metrics."""

    profile: str = ""
    envelope: str = ""
    readings: dict[tuple[int | None, str], Readings] = field(default_factory=dict)
    suspect: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Form:
    """One way in which an example's message may come. `profile`: the inventory names it, None: it is to be found."""

    title: str
    envelopes: Sequence[Envelope]
    topic: str
    payload: bytes
    profile: str | None


class Checker:
    """Checks profiles among `profiles`, all that a city has; `envelopes` are all formats.

    `received_us` is when the examples are taken for received: a time after it lies in the future.
    """

    def __init__(self, profiles: Mapping[str, Profile], envelopes: Sequence[Envelope], received_us: int) -> None:
        self._profiles = profiles
        self._received_us = max(received_us, RECEIVED_US)
        self._envelopes = {envelope.name: envelope for envelope in envelopes}
        self._recogniser = Recogniser(profiles.values())
        self._carries_bytes = {
            name: name in self._envelopes and carries_bytes(self._envelopes[name]) for name in LORAWAN
        }

    def example(self, profile: Profile, example: Example) -> list[str]:
        """Every difference between what an example promises and what its message gives, in each of its forms."""
        told = [
            f"{form.title}: {difference}"
            for form in self.forms(profile, example)
            for difference in self.differences(profile, example, form)
        ]
        return list(dict.fromkeys(told))

    def forms(self, profile: Profile, example: Example) -> Iterator[Form]:
        """As it came; or, of LoRaWAN, decoded and undecoded, by itself and from each network server."""
        if example.topic is not None:
            text = example.payload if isinstance(example.payload, str) else json.dumps(example.payload)
            everything = list(self._envelopes.values())
            yield Form("as it came", everything, example.topic, text.encode(), profile.id)
            if len(example.readings) > 1 and _recognises(profile):  # a battery alone tells nobody which model it is
                yield Form("recognised", everything, example.topic, text.encode(), None)
            return
        name = _told_name(profile, example)
        contents: list[tuple[str, dict[str, Any]]] = []
        if example.fields is not None:
            contents.append(("fields", {"fields": example.fields}))
        if example.data is not None:
            contents.append(("bytes", {"data": example.data, "port": example.port}))
        for title, content in contents:
            for forced, names in ((profile.id, []), (None, [name])):
                payload = json.dumps({**content, "names": names}).encode()
                how = f"{title}, profile given" if forced else f"{title}, recognised by {name!r}"
                yield Form(how, [plain("chirpstack_v4")], "plain", payload, forced)
        for server in LORAWAN:
            yield from self.forms_of(server, profile, example)

    def forms_of(self, server: str, profile: Profile, example: Example) -> Iterator[Form]:
        """An example's message as a LoRaWAN network server sends it, decoded and as bytes, where it carries them."""
        ways = []
        if example.fields is not None and server != "netmore":
            ways.append(("fields", True))
        if example.data is not None and self._carries_bytes[server]:
            ways.append(("bytes", False))
        for title, decoded in ways if server in self._envelopes else ():
            topic, payload = shape(server, example, profile.id, decoded=decoded)
            yield Form(f"{title} from {server}", list(self._envelopes.values()), topic, payload, profile.id)

    def run(self, example: Example, form: Form) -> Outcome:
        """Decode a form. Raises `Undecodable` or `NotAReading`."""
        registry = OneDevice(form.profile, example.bin, tuple(example.channels))
        told = Explanation()
        decoder = Decoder(form.envelopes, self._profiles, registry, thorough=True)
        parts = decoder.decode(Message(form.topic, form.payload, self._received_us), told)
        return _outcome(parts, told, example)

    def differences(self, profile: Profile, example: Example, form: Form) -> list[str]:
        """What is not as the example says; every reading, nothing unknown, nothing wrong."""
        try:
            outcome = self.run(example, form)
        except (Undecodable, NotAReading) as error:
            return [f"it cannot be read: {error}"]
        told = []
        if outcome.profile != profile.id:
            told.append(f"it is taken for {outcome.profile or 'no profile'}")
        told += _unlike(_expected(example), outcome.readings)
        for name in sorted(outcome.suspect - set(example.suspect)):
            told.append(f"{name} is suspect, the example does not list it under suspect")
        for name in sorted(set(example.suspect) - outcome.suspect):
            told.append(f"{name} is not suspect, though the example lists it")
        told += outcome.problems
        if outcome.unknown:
            told.append(f"nobody understands {', '.join(outcome.unknown)}: map it in fields, or list it in ignored")
        return told

    def recognised_as(self, profile: Profile, example: Example) -> str:
        """The profile that a network server's model name and fields lead to; empty for none."""
        uplink = Uplink(EUI, None, example.fields or {}, profile_names=(_told_name(profile, example),))
        found = self._recogniser.find("chirpstack_v4", uplink)
        return found.id if found is not None else ""

    def clashes(self, profile: Profile) -> list[tuple[Location, str]]:
        """Other profiles that claim the same model names or fields: where in the file, and a sentence."""
        told: list[tuple[Location, str]] = []
        mine = profile.file.recognise
        for other in self._profiles.values():
            if other.id == profile.id or not set(other.envelopes) & set(profile.envelopes):
                continue
            for name in sorted(set(other.names) & set(profile.names)):
                told.append((("recognise", "names"), f"{other.id} has the name {name!r} too"))
            its = other.file.recognise
            if mine.fields and set(mine.fields) == set(its.fields) and set(mine.family) == set(its.family):
                told.append((("recognise", "fields"), f"{other.id} wants the same fields; neither would be sure"))
        return told


def implausible(example: Example) -> list[str]:
    """Readings of an example outside of their metric's range that it does not call suspect; unknown metrics."""
    told = []
    for readings in _expected(example).values():
        for name, value in readings.items():
            if name not in metrics():
                told.append(f"there is no metric {name!r} in the catalogue")
                continue
            low, high = metrics()[name].range
            if not low <= value <= high and name not in example.suspect:
                told.append(f"{name} {value:g} is outside of the plausible {low:g} to {high:g}, and not under suspect")
    return told


def falling_counters(example: Example) -> list[str]:
    """Registers that fall within the moments of one example."""
    told = []
    last: Readings = {}
    for item in sorted(example.series, key=lambda item: datetime.fromisoformat(item.time)):
        for name, value in item.readings.items():
            if name in metrics() and metrics()[name].kind == "counter" and value < last.get(name, value):
                told.append(f"{name} falls from {last[name]:g} to {value:g}: a register never does")
            last[name] = value
    return told


def misnamed(profile: Profile) -> list[tuple[Location, str]]:
    """LoRaWAN fields whose name is that of a register and whose metric is none, or the other way round; with place."""
    registers = ("pulse", "energy", "consumption", "total", "index", "counter", "volume")
    momentary = ("power_factor", "active_power", "voltage", "temperature", "distance", "current_chn", "humidity")
    told: list[tuple[Location, str]] = []
    for name, spec in profile.file.fields.items() if "lorawan" in profile.file.envelopes else ():
        is_counter, folded = metrics()[spec.metric].kind == "counter", name.lower()
        if any(word in folded for word in momentary) or "volume flow" in folded:
            if is_counter:
                told.append((("fields", name), f"it is by its name no register, but {spec.metric} is one"))
        elif any(word in folded for word in registers) and not is_counter:
            told.append((("fields", name), f"it is by its name a register, but {spec.metric} is none"))
    return told


def _recognises(profile: Profile) -> bool:
    return bool(profile.file.recognise.names or profile.file.recognise.fields)


def _told_name(profile: Profile, example: Example) -> str:
    return example.name or (profile.file.recognise.names or [profile.id])[0]


def _us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def _expected(example: Example) -> dict[tuple[int | None, str], Readings]:
    expected: dict[tuple[int | None, str], Readings] = {}
    if example.readings:
        expected[None, ""] = dict(example.readings)
    for item in example.series:
        expected.setdefault((_us(item.time), ""), {}).update(item.readings)
    for channel, readings in example.channels.items():
        expected[None, channel] = dict(readings)
    return expected


def _outcome(parts: Sequence[Decoded], told: Explanation, example: Example) -> Outcome:
    """The parts by moment and channel: `OneDevice` numbers the points of an example's channels from 1."""
    outcome = Outcome(told.profile, told.envelope)
    listed = {_us(item.time) for item in example.series}
    channels = dict(enumerate(example.channels, 1))
    for part in parts:
        point_id = part.readings[0][0] if part.readings else 0
        is_listed = part.time_us in listed
        place = (part.time_us if is_listed else None, "" if is_listed else channels.get(point_id, ""))
        for _, metric_id, value, quality in part.readings:
            name = metrics_by_id()[metric_id].name
            if name not in _SIGNAL:
                outcome.readings.setdefault(place, {})[name] = value
            if quality == Quality.SUSPECT:
                outcome.suspect.add(name)
        outcome.unknown += part.unknown_fields
        outcome.problems += [f"{reason}: {detail}" for reason, detail in part.problems]
    return outcome


def _unlike(
    expected: Mapping[tuple[int | None, str], Readings], got: Mapping[tuple[int | None, str], Readings]
) -> Iterator[str]:
    for place in sorted({*expected, *got}, key=str):
        moment, channel = place
        where = f"channel {channel}: " if channel else ""
        where += f"at {datetime.fromtimestamp(moment / 1e6).astimezone().isoformat()}: " if moment is not None else ""
        wanted, found = expected.get(place, {}), got.get(place, {})
        for name in (*wanted, *(name for name in found if name not in wanted)):
            if name not in found:
                yield f"{where}{name}: expected {wanted[name]:.10g}, got nothing"
            elif name not in wanted:
                yield f"{where}{name}: got {found[name]:.10g}, the example does not list it"
            elif not isclose(wanted[name], found[name], rel_tol=1e-6, abs_tol=1e-12):
                yield f"{where}{name}: expected {wanted[name]:.10g}, got {found[name]:.10g}"
