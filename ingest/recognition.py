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
    several sets of fields the one that looks deepest into the message wins, then the largest, then the first id.
    A general profile is taken last."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        self._by_envelope: dict[str, list[Profile]] = {}
        for profile in sorted(profiles, key=lambda profile: profile.id):
            for envelope in profile.envelopes:
                self._by_envelope.setdefault(envelope, []).append(profile)
        self._by_fields = {
            envelope: tuple(sorted((each for each in its if each.telling), key=_particular, reverse=True))
            for envelope, its in self._by_envelope.items()
        }
        self._general = {
            envelope: tuple(each for each in its if each.file.recognise.general)
            for envelope, its in self._by_envelope.items()
        }
        self._by_names: dict[tuple[str, tuple[str, ...]], tuple[Profile | None, tuple[Profile, ...]]] = {}

    def find(self, envelope: str, uplink: Uplink) -> Profile | None:
        """The profile for an uplink that came in this envelope, or None."""
        key = (envelope, uplink.profile_names)
        named, candidates = self._by_names.get(key) or self._look(key)
        if named is not None:
            return named
        for profile in candidates:
            if profile.fits(uplink.fields):
                return profile
        for profile in self._general.get(envelope, ()):
            if profile.reads(uplink.fields):
                return profile
        return None

    def _look(self, key: tuple[str, tuple[str, ...]]) -> tuple[Profile | None, tuple[Profile, ...]]:
        """The profile that the names tell, or those whose fields decide, the most particular first."""
        envelope, names = key
        told = [folded(name) for name in names]
        candidates = self._by_fields.get(envelope, ())
        fitting = tuple(profile for profile in candidates if profile.is_of_family(told))
        if len(fitting) == len(candidates):
            fitting = candidates  # the same for most devices: kept once
        result = (self._named(envelope, told), fitting)
        if sum(map(len, names)) <= _LONGEST_NAMES:
            if len(self._by_names) >= _MOST_NAMES:
                self._by_names.clear()
            self._by_names[key] = result
        return result

    def _named(self, envelope: str, told: list[str]) -> Profile | None:
        best: tuple[int, Profile] | None = None
        for profile in self._by_envelope.get(envelope, ()):
            length = max((len(want) for want in profile.names if any(want in name for name in told)), default=0)
            if length and (best is None or length > best[0]):
                best = (length, profile)
        return best[1] if best else None


def _particular(profile: Profile) -> tuple[int, int, int]:
    """A family first, then how deep the deepest field lies, then how many there are."""
    return int(bool(profile.families)), max(map(len, profile.telling)), len(profile.telling)
