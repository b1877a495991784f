"""A draft of a profile from recorded messages: what is sure is mapped, the rest stands beside it as a comment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from catalogue.inventory import normal_address
from catalogue.yamlfile import parse_yaml
from ingest.envelopes import Envelope, NotAReading, Uplink
from ingest.errors import IngestError, Undecodable
from ingest.message import Message
from ingest.profile import LORAWAN, Profile, Sources, load_profile
from ingest.profile_check import Checker, Form, Outcome
from ingest.profile_draft_text import Parts, profile_text
from ingest.profile_file import Example
from ingest.profile_guess import Column, Guess, columns, flat, guess_all
from ingest.profile_map import folded
from ingest.profile_neutral import neutral_address, neutral_fields, neutral_topic

_MOST_EXAMPLES = 3
_MOST_TELLING = 6

#: What a metric says of the kind of point; the first that is there.
_KINDS = {
    "fill_level_pct": "bin", "distance_mm": "bin", "water_m3": "water", "gas_m3": "gas", "heat_carrier_m3": "heat",
    "supply_temperature_c": "heat", "energy_kwh": "electricity", "power_w": "electricity", "voltage_v": "electricity",
    "voltage_l1_v": "electricity", "current_a": "electricity",
}  # fmt: skip


class NoDraft(IngestError):
    """Of these messages no profile can be drafted. Its text is a sentence for a person."""


@dataclass(frozen=True)
class Sample:
    """A device's part of a recorded message, opened by its format."""

    message: Message
    envelope: Envelope
    uplink: Uplink

    @property
    def model(self) -> str:
        """The model's name that the format tells, or nothing."""
        names = [name for name in self.uplink.profile_names if normal_address(name) != self.uplink.address]
        return names[0] if names else ""


@dataclass
class Draft:
    """A profile's text, and what its author should know. `problems`: what `misto profile test` would say of it."""

    id: str
    profile: Profile
    text: str
    sure: int
    unsure: int
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def by_model(samples: Sequence[Sample]) -> dict[tuple[str, str, str], list[Sample]]:
    """Samples by format, model name and, where the format tells no name, the fields of the device."""
    names: dict[tuple[str, str], set[str]] = {}
    for sample in samples:
        names.setdefault((sample.envelope.name, sample.uplink.address), set()).update(flat(sample.uplink.fields))
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in samples:
        its = names[sample.envelope.name, sample.uplink.address]
        variant = "" if sample.model else " ".join(sorted(its))
        groups.setdefault((sample.envelope.name, sample.model, variant), []).append(sample)
    return groups


def draft(
    samples: Sequence[Sample],
    profiles: Mapping[str, Profile],
    envelopes: Sequence[Envelope],
    *,
    profile_id: str | None = None,
    chosen: Mapping[str, Mapping[str, Any]] | None = None,
) -> Draft:
    """Draft a profile from samples of one model. Raises `NoDraft`.

    `profiles` are those that there are; `chosen` says of fields what they are (the keys of a profile's field).
    """
    first = samples[0]
    if all(sample.uplink.data is not None and not sample.uplink.fields for sample in samples):
        raise NoDraft(
            f"{first.model or first.uplink.address} sends bytes that nobody has decoded: have the network server "
            "decode them, or write a codec (docs/profiles.md, Bytes)"
        )
    samples = [sample for sample in samples if sample.uplink.fields]
    if not samples:
        raise NoDraft("none of the messages has fields of its own")
    found = columns([(sample.uplink.address, sample.uplink.fields) for sample in samples])
    guesses = _chosen(guess_all(found), found, chosen or {})
    sure = {name: guess for name, guess in guesses.items() if guess.sure and guess.spec}
    if not sure:
        raise NoDraft(
            "of no field it is sure what it is; say it of one with --field, as --field 'NAME=metric:unit': "
            + "; ".join(_told(name, guess) for name, guess in list(guesses.items())[:12])
        )
    drafted = Drafting(samples, profiles, envelopes, found, guesses)
    return drafted.finish(profile_id or _id(first, profiles))


def _chosen(
    guesses: dict[str, Guess], found: Mapping[str, Column], chosen: Mapping[str, Mapping[str, Any]]
) -> dict[str, Guess]:
    for name, spec in chosen.items():
        if name not in found:
            raise NoDraft(f"--field {name}: the messages have no such field; they have {', '.join(list(found)[:20])}")
        others = {
            other for other, guess in guesses.items() if guess.sure and guess.spec.get("metric") == spec["metric"]
        }
        for other in others:
            guesses[other] = replace(guesses[other], sure=False, note=f"{name} is that already")
        guesses[name] = Guess(spec, True, "given with --field")
    return guesses


def _told(name: str, guess: Guess) -> str:
    return f"{name} ({guess.spec['metric']}? {guess.note})" if guess.spec else name


def _id(sample: Sample, profiles: Mapping[str, Profile]) -> str:
    """An id made of the model's name, which no other profile has as its id or as a model's name."""
    by_format = f"{sample.envelope.name.replace('_', '-')}-device"
    told = re.sub(r"[^a-z0-9]+", "-", sample.model.lower()).strip("-")[:60] or by_format
    taken = {name for profile in profiles.values() for name in profile.names}
    numbered = (told, *(f"{told}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in numbered if folded(name) not in taken)


class Drafting:
    """One draft in the making: parts put together, tried with the real decoder, given up where they do not hold."""

    def __init__(
        self,
        samples: Sequence[Sample],
        profiles: Mapping[str, Profile],
        envelopes: Sequence[Envelope],
        found: Mapping[str, Column],
        guesses: Mapping[str, Guess],
    ) -> None:
        self._samples, self._profiles, self._envelopes = samples, profiles, envelopes
        self._found, self._guesses = found, guesses
        self._notes: list[str] = []
        if any(_has_dot(sample.uplink.fields) for sample in samples):
            self._notes.append("a field has a dot in its own name: no profile can name it, the examples leave it out")
        self._is_lorawan = samples[0].envelope.name in LORAWAN

    def finish(self, profile_id: str) -> Draft:
        """The draft, with its examples' readings as the draft itself gives them."""
        first = self._samples[0]
        sure = {name: dict(guess.spec) for name, guess in self._guesses.items() if guess.sure and guess.spec}
        metrics = {str(spec["metric"]) for spec in sure.values()}
        parts = Parts(
            id=profile_id,
            model=first.model or profile_id,
            kind=next((kind for metric, kind in _KINDS.items() if metric in metrics), "weather"),
            envelope="lorawan" if self._is_lorawan else first.envelope.name,
            names=[first.model] if first.model else [],
            telling=self._telling(sure),
            found=self._shown(sure),
            guesses=self._guesses,
        )
        profile = self._load(parts)
        for place, clash in self._checker(profile).clashes(profile):
            self._notes.append(clash)
            if "names" in place:
                parts.names = []
            else:
                parts.telling = []
        self._fill_examples(parts, sure)
        if not parts.examples:
            raise NoDraft("none of the messages gives a reading with the fields that are sure; see `misto decode`")
        problems = self._problems(parts)
        if problems and (parts.names or parts.telling) and any("taken for" in problem for problem in problems):
            parts.names, parts.telling = [], []
            problems = self._problems(parts)
        if not parts.names and not parts.telling:
            self._notes.append("nothing tells this model for certain: name the profile in the inventory of its devices")
        unsure = sum(not guess.sure for guess in self._guesses.values())
        return Draft(profile_id, self._load(parts), profile_text(parts), len(sure), unsure, self._notes, problems)

    def _shown(self, sure: Mapping[str, Any]) -> dict[str, Column]:
        """The fields with values that may be published."""
        told = [
            (sample.uplink.address, neutral_fields(sample.uplink.fields, sample.uplink.address, [*sure]))
            for sample in self._samples
        ]
        return {**self._found, **columns(told)}

    def _telling(self, sure: Mapping[str, Any]) -> list[str]:
        """Fields that every message has; with the model's name known they are not needed."""
        if self._samples[0].model:
            return []
        everywhere = [
            name for name in sure if all(flat(sample.uplink.fields).get(name) is not None for sample in self._samples)
        ]
        return everywhere[:_MOST_TELLING] if len(everywhere) > 1 else []

    def _load(self, parts: Parts) -> Profile:
        return load_profile(parse_yaml(profile_text(parts), f"{parts.id}.yaml"), Sources())

    def _checker(self, profile: Profile) -> Checker:
        latest_us = max(sample.message.received_us for sample in self._samples)
        return Checker({**self._profiles, profile.id: profile}, self._envelopes, latest_us)

    def _problems(self, parts: Parts) -> list[str]:
        profile = self._load(parts)
        checker = self._checker(profile)
        told = [difference for example in profile.file.examples for difference in checker.example(profile, example)]
        return list(dict.fromkeys(told))

    def _fill_examples(self, parts: Parts, sure: Mapping[str, Any]) -> None:
        """The messages with most fields, then those that add others, without identifiers."""
        profile = self._load(parts)
        checker = self._checker(profile)
        shown: set[str] = set()
        kept = {*sure, *(str(spec["unit_from"]) for spec in sure.values() if "unit_from" in spec)}
        by_size = sorted(self._samples, key=lambda sample: -len(flat(sample.uplink.fields)))
        for sample in by_size:
            names = set(flat(sample.uplink.fields))
            if names <= shown or len(parts.examples) >= _MOST_EXAMPLES:
                continue
            try:
                content = self._neutral(sample, kept)
                wanted = self._outcome(checker, profile, self._as_sent(sample))
                got = self._outcome(checker, profile, content)
            except (Undecodable, NotAReading, ValueError):
                continue
            if got.readings and got.readings == wanted.readings:
                shown |= names
                parts.examples.append((content, got))
            else:
                self._notes.append("a message was left out of the examples: without its identifiers it reads otherwise")

    def _as_sent(self, sample: Sample) -> dict[str, Any]:
        if self._is_lorawan:
            return self._lorawan(sample, sample.uplink.fields)
        return {"topic": sample.message.topic, "payload": _payload(sample.message.payload)}

    def _neutral(self, sample: Sample, kept: set[str]) -> dict[str, Any]:
        address = sample.uplink.address
        if self._is_lorawan:
            return self._lorawan(sample, neutral_fields(sample.uplink.fields, address, kept))
        payload = _payload(sample.message.payload)
        if isinstance(payload, dict):
            payload = neutral_fields(payload, address, kept)
        elif isinstance(payload, str):
            payload = payload.replace(address, neutral_address(address))
        else:
            payload = neutral_fields({"content": payload}, address, kept)["content"]
        return {"topic": neutral_topic(sample.message.topic, address), "payload": payload}

    @staticmethod
    def _lorawan(sample: Sample, fields: Mapping[str, Any]) -> dict[str, Any]:
        port = {"port": sample.uplink.port} if sample.uplink.port > 1 else {}
        return {**port, "fields": dict(fields)}

    def _outcome(self, checker: Checker, profile: Profile, content: Mapping[str, Any]) -> Outcome:
        channels = {sample.uplink.channel for sample in self._samples if sample.uplink.channel}
        blank: dict[str, dict[str, float]] = {channel: {} for channel in sorted(channels)}
        readings = {} if blank else {"x": 0.0}
        example = Example.model_validate({**content, "channels": blank, "readings": readings})
        form = next(iter(checker.forms(profile, example)))
        return checker.run(example, Form(form.title, form.envelopes, form.topic, form.payload, profile.id))


def _has_dot(fields: Mapping[str, Any]) -> bool:
    return any("." in key or (isinstance(value, Mapping) and _has_dot(value)) for key, value in fields.items())


def _payload(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode()
