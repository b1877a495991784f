"""Which profile a message is for, where the inventory does not say: the most specific one that fits."""

from __future__ import annotations

from collections.abc import Iterable

from ingest.envelopes.base import Uplink
from ingest.profile_map import Profile, folded

#: Device names are input: their memory has an end.
_MOST_NAMES = 100_000
_LONGEST_NAMES = 500


class Recogniser:
    """Profiles by envelope. Of several names the longest wins; a name wins over a family, that over fields alone; of
    several sets of fields the one that looks deepest into the message wins, then the largest, then the first id."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        self._by_envelope: dict[str, list[Profile]] = {}
        for profile in sorted(profiles, key=lambda profile: profile.id):
            for envelope in profile.envelopes:
                self._by_envelope.setdefault(envelope, []).append(profile)
        self._by_name: dict[tuple[str, tuple[str, ...]], Profile | None] = {}

    def find(self, envelope: str, uplink: Uplink) -> Profile | None:
        """The profile for an uplink that came in this envelope, or None."""
        if uplink.profile_names:
            key = (envelope, uplink.profile_names)
            try:
                named = self._by_name[key]
            except KeyError:
                named = self._named(envelope, uplink.profile_names)
                if len(self._by_name) >= _MOST_NAMES:
                    self._by_name.clear()
                if sum(map(len, uplink.profile_names)) <= _LONGEST_NAMES:
                    self._by_name[key] = named
            if named is not None:
                return named
        names = [folded(name) for name in uplink.profile_names]
        best: tuple[tuple[int, int, int], Profile] | None = None
        for profile in self._by_envelope.get(envelope, ()):
            score = profile.field_score(uplink.fields, names)
            if score is not None and (best is None or score > best[0]):
                best = (score, profile)
        return best[1] if best else None

    def _named(self, envelope: str, names: tuple[str, ...]) -> Profile | None:
        told = [folded(name) for name in names]
        best: tuple[int, Profile] | None = None
        for profile in self._by_envelope.get(envelope, ()):
            length = max((len(want) for want in profile.names if any(want in name for name in told)), default=0)
            if length and (best is None or length > best[0]):
                best = (length, profile)
        return best[1] if best else None
