"""Why a message got its profile, and which others came near."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from ingest.envelopes.base import Uplink
from ingest.field_path import get, path_of
from ingest.profile import Profile
from ingest.profile_map import folded

_MOST_NEAR = 4
_ALIKE = 0.75


@dataclass(frozen=True)
class Near:
    """A profile that was not taken, and what speaks for it."""

    profile: str
    text: str


def why(profile: Profile | None, uplink: Uplink, told: str) -> str:
    """The reason in particular; `told` is what the decoder says."""
    if profile is None or told == "the inventory says so":
        return told
    name = _by_name(profile, uplink)
    if name:
        return name
    if profile.file.recognise.general:
        return told
    wanted = profile.file.recognise
    family = f" and a model name with {' or '.join(wanted.family)}" if wanted.family else ""
    return f"the message has its fields {', '.join(wanted.fields)}{family}"


def near_profiles(profiles: Mapping[str, Profile], envelope: str, uplink: Uplink, taken: Profile | None) -> list[Near]:
    """Others of this format that fit too, or that know some of the fields or nearly the model's name; best first."""
    names = [folded(name) for name in uplink.profile_names]
    scored: list[tuple[tuple[float, ...], Near]] = []
    for profile in profiles.values():
        if profile is taken or envelope not in profile.envelopes:
            continue
        by_name = _by_name(profile, uplink)
        alike = max(
            (difflib.SequenceMatcher(None, told, want).ratio() for told in names for want in profile.names), default=0.0
        )
        fits = bool(profile.telling) and profile.is_of_family(names) and profile.fits(uplink.fields)
        specs = profile.file.fields.items()
        known = [name for name, spec in specs if get(uplink.fields, path_of(spec.path or name)) is not None]
        missing = [name for name in profile.file.recognise.fields if get(uplink.fields, path_of(name)) is None]
        if by_name:
            text = f"{by_name}, less particularly"
        elif fits:
            text = f"the message has its fields {', '.join(profile.file.recognise.fields)} too"
        elif alike >= _ALIKE and taken is None:
            text = f"its name is like the model name {', '.join(uplink.profile_names)}"
        elif known and taken is None:
            lacks = f"; {', '.join(missing)} missing" if missing else ""
            text = f"it knows {', '.join(known[:6])} ({len(known)} of its {len(profile.file.fields)} fields{lacks})"
        else:
            continue
        share = len(known) / max(1, len(profile.file.fields))
        scored.append(((bool(by_name), fits, alike >= _ALIKE, len(known), share), Near(profile.id, text)))
    scored.sort(key=lambda entry: (entry[0], entry[1].profile), reverse=True)
    return [near for _, near in scored[:_MOST_NEAR]]


def _by_name(profile: Profile, uplink: Uplink) -> str:
    for told in uplink.profile_names:
        for own in (*profile.file.recognise.names, profile.id):
            if folded(own) and folded(own) in folded(told):
                return f"the message tells the model {told!r}, which holds its name {own!r}"
    return ""
