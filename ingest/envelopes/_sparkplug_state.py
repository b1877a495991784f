"""What births have told: metrics by name and alias of every edge node and device, and whether messages are missing.

Source: Eclipse Sparkplug 3.0 specification, chapters "Operational Behavior" (sequence numbers, reorder timeout, bdSeq)
and "Payloads" (aliases). Threads and network may change the order of messages, so they are ordered by when they were
received, and a gap in the sequence counts only after a while.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest.envelopes._described import Meaning
from ingest.envelopes._remembered import MOST_ENTRIES, Remembered

#: How long a message that is missing in the sequence may still come.
REORDER_TIMEOUT_US = 10_000_000
#: Further ahead than this a sequence number (0 to 255) is an old one again.
_MOST_AHEAD = 128


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric as its birth tells it. `meaning` None: no metric of the catalogue, `wanted` says whether to tell so."""

    name: str
    alias: int | None
    datatype: int
    meaning: Meaning | None
    wanted: bool


@dataclass(slots=True)
class _Birth:
    born_us: int
    by_name: dict[str, Definition]
    by_alias: dict[int, Definition]
    dead_us: int | None = None


@dataclass(slots=True)
class _Session:
    """An edge node since its birth (`born_us` 0: not seen). `missing`: sequence number → when that was noticed."""

    born_us: int = 0
    bd_seq: int | None = None
    dead_us: int | None = None
    last_seq: int | None = None
    missing: dict[int, int] = field(default_factory=dict)
    is_torn: bool = False

    def note(self, seq: int | None, received_us: int) -> None:
        """Follow the sequence; redelivered and replayed messages change nothing."""
        if seq is None or received_us < self.born_us:
            return
        if self.last_seq is None:
            self.last_seq = seq
            return
        ahead = (seq - self.last_seq) % 256
        if ahead == 1 and seq in self.missing:
            self.is_torn = True  # it is missing since the round before
            self.missing.clear()
        if ahead == 0 or ahead > _MOST_AHEAD:
            self.missing.pop(seq, None)
        else:
            for step in range(1, ahead):
                self.missing.setdefault((self.last_seq + step) % 256, received_us)
            self.missing.pop(seq, None)
            self.last_seq = seq
        oldest = next(iter(self.missing.values()), received_us)
        if received_us - oldest > REORDER_TIMEOUT_US:
            self.is_torn = True
            self.missing.clear()


class View:
    """What is known for one message: its metrics, and whether aliases may be trusted."""

    def __init__(self, birth: _Birth | None, why: str, is_torn: bool) -> None:
        self._birth = birth
        self._is_torn = is_torn
        #: Why there is no birth, as the end of a sentence.
        self.why = why

    def find(self, name: str, alias: int | None) -> Definition | None:
        """The definition of a metric that a message names or points to."""
        if self._birth is None:
            return None
        if name:
            return self._birth.by_name.get(name)
        return self._birth.by_alias.get(alias) if alias is not None and not self._is_torn else None


class Births:
    """Births of all edge nodes and devices, for several threads."""

    def __init__(self, limit: int = MOST_ENTRIES) -> None:
        self._lock = threading.Lock()
        self._sessions: Remembered[tuple[str, str], _Session] = Remembered(limit)
        self._births: Remembered[tuple[str, str, str], _Birth] = Remembered(limit)

    @property
    def total(self) -> int:
        """How many metrics are remembered."""
        return self._births.total

    def born(
        self,
        place: tuple[str, str, str],
        definitions: Iterable[Definition],
        received_us: int,
        seq: int | None,
        bd_seq: int | None = None,
        *,
        is_stored: bool = False,
    ) -> None:
        """Take a birth over. `place` is group, edge node, device (empty: the node's own birth).

        `is_stored`: a broker's copy of it, which says nothing of the sequence and only fills what is not known.
        """
        by_name: dict[str, Definition] = {}
        by_alias: dict[int, Definition] = {}
        for definition in definitions:
            by_name[definition.name] = definition
            if definition.alias is not None:
                by_alias[definition.alias] = definition
        with self._lock:
            known = self._births.get(place)
            session = self._session(place)
            if known is not None and (is_stored or known.born_us > received_us):
                return  # delivered again
            self._births.put(place, _Birth(received_us, by_name, by_alias), len(by_name) + 1)
            if is_stored:
                return
            if not place[2] and received_us >= session.born_us:
                again = received_us == session.born_us
                session.born_us, session.bd_seq = received_us, bd_seq
                if not again:
                    session.last_seq, session.is_torn = None, False
                    session.missing.clear()
                if session.dead_us is not None and session.dead_us <= received_us:
                    session.dead_us = None
            session.note(seq, received_us)

    def died(self, place: tuple[str, str, str], received_us: int, seq: int | None, bd_seq: int | None) -> None:
        """Take a death over. An edge node's with the number of another birth is of a session that is over."""
        with self._lock:
            session = self._session(place)
            if place[2]:
                session.note(seq, received_us)
                birth = self._births.get(place)
                if birth is not None and birth.born_us <= received_us:
                    birth.dead_us = received_us
            elif received_us >= session.born_us and (
                bd_seq is None or session.bd_seq is None or bd_seq == session.bd_seq
            ):
                session.dead_us = received_us

    def view(self, place: tuple[str, str, str], received_us: int, seq: int | None) -> View:
        """What is known for a data message that was received then."""
        with self._lock:
            session = self._session(place)
            session.note(seq, received_us)
            birth = self._births.get(place)
            if birth is None:
                return View(None, "", False)
            if birth.dead_us is not None and birth.dead_us < received_us:
                return View(None, " since the device's death", False)
            if session.dead_us is not None and birth.born_us <= session.dead_us < received_us:
                return View(None, " since the edge node's death", False)
            if place[2] and birth.born_us < session.born_us <= received_us:
                return View(None, " of the device since the edge node's", False)
            is_torn = session.is_torn and received_us >= session.born_us
            return View(birth, " since a message is missing in the sequence" if is_torn else "", is_torn)

    def _session(self, place: tuple[str, str, str]) -> _Session:
        session = self._sessions.get(place[:2])
        if session is None:
            session = _Session()
            self._sessions.put(place[:2], session)
        return session
