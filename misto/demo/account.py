"""What a run of the demo has done, counted at both ends, and whether that is as it must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import Connection

from store.queries import sql

#: In so many hours of a city alerts are raised and resolved: bins are emptied twice a day.
EVENTFUL = timedelta(hours=6)

#: In so much time at least one of the hundreds of devices reports.
TALKATIVE = timedelta(minutes=1)


@dataclass(frozen=True)
class Sent:
    """What the simulators say about themselves (`misto simulate run --summary`)."""

    sent: int = 0
    acknowledged: int = 0
    garbage: int = 0
    duplicates: int = 0
    city_time_us: int = 0
    caught_up: bool = False

    @classmethod
    def read(cls, path: Path) -> Sent | None:
        """From the summary file; None if there is none yet."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return cls(**{name: content[name] for name in cls.__dataclass_fields__})

    @property
    def different(self) -> int:
        """Messages that each bring readings of their own."""
        return self.acknowledged - self.garbage - self.duplicates


@dataclass(frozen=True)
class Stored:
    """What the database holds of the live part of this run."""

    messages: int
    readings: int
    readings_in_all: int
    quarantined: int
    raised: int
    resolved: int
    open: int
    waiting: int  # batches that rules or keeper have still to take

    @classmethod
    def count(cls, connection: Connection[Any], begin: datetime, last_quarantined: int) -> Stored:
        """Count from the city time `begin` on; quarantine after the row `last_quarantined`."""
        row = connection.execute(sql("demo.counts"), {"begin": begin, "last_quarantined": last_quarantined}).fetchone()
        assert row is not None
        return cls(*row)


@dataclass(frozen=True)
class Account:
    """A run: what was sent and stored, how long it lasted, how much city time it covers, what ended by itself."""

    sent: Sent
    stored: Stored
    lasted: timedelta
    covered: timedelta
    ended: Mapping[str, int] = field(default_factory=dict)

    def is_through(self) -> bool:
        """True if everything sent has been stored, judged and derived from."""
        return (
            self.stored.messages >= self.sent.different
            and self.stored.quarantined >= self.sent.garbage
            and not self.stored.waiting
        )

    def wrong(self) -> list[str]:
        """A sentence for each thing that is not as it must be."""
        sent, stored = self.sent, self.stored
        found = []
        if not sent.acknowledged and self.lasted >= TALKATIVE:
            found.append("the simulators have sent nothing")
        if sent.acknowledged < sent.sent:
            found.append(f"the broker has not acknowledged {sent.sent - sent.acknowledged} messages")
        if stored.messages != sent.different:
            found.append(f"{sent.different:,} different messages were sent, {stored.messages:,} are stored")
        if stored.quarantined != sent.garbage:
            found.append(f"{sent.garbage} unreadable messages were sent, {stored.quarantined} are in quarantine")
        if stored.waiting:
            found.append(f"rules or keeper have still {stored.waiting} batches to take")
        if sent.caught_up and self.covered >= EVENTFUL and not (stored.raised and stored.resolved):
            found.append(
                f"in {self.covered.total_seconds() / 3600:.0f} hours of the city alerts must be raised and resolved; "
                f"{stored.raised} were raised, {stored.resolved} resolved"
            )
        found += [f"{name} has ended by itself ({count} times)" for name, count in self.ended.items()]
        return found

    def rows(self) -> list[tuple[str, str]]:
        """The summary for people: what, how much."""
        sent, stored = self.sent, self.stored
        hours, minutes = divmod(round(self.covered.total_seconds() / 60), 60)
        return [
            ("city time played", f"{hours} h {minutes} min"),
            ("messages sent, acknowledged by the broker", f"{sent.acknowledged:,} of {sent.sent:,}"),
            ("  unreadable on purpose / copies on purpose", f"{sent.garbage:,} / {sent.duplicates:,}"),
            ("messages stored", f"{stored.messages:,} of {sent.different:,}"),
            ("readings stored", f"{stored.readings:,} ({stored.readings_in_all:,} with the history)"),
            ("messages in quarantine", f"{stored.quarantined:,} of {sent.garbage:,}"),
            ("alerts raised / resolved / open now", f"{stored.raised:,} / {stored.resolved:,} / {stored.open:,}"),
        ]
