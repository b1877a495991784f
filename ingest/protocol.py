"""Which version of MQTT to speak with a broker: 5, and 3.1.1 where the broker has no 5. Pure.

A broker without MQTT 5 answers a CONNECT of version 5 with the return code 1 of its own version, or closes the line
without a word. So does a port that is no broker's, and a proxy whose broker is just starting: silence makes try 3.1.1,
but only for one connection, and never at a broker that has once shown MQTT 5.
"""

from __future__ import annotations

from dataclasses import dataclass

#: How often version 5 must be met by silence before 3.1.1 is tried.
_SILENCES = 2


@dataclass
class Protocol:
    """`five`: whether the next connection is of MQTT 5. `sharing`: there are shared subscriptions, which need it."""

    sharing: bool
    five: bool = True
    _five_works: bool = False
    _guessed: bool = False
    _silences: int = 0

    def worked(self) -> None:
        """The broker has taken session and subscription."""
        self._silences = 0
        self._five_works = self._five_works or self.five

    def refused(self) -> bool:
        """The broker said that it has no such version; True if another is tried."""
        if not self.five or self.sharing:
            return False
        self.five, self._guessed, self._five_works = False, False, False
        return True

    def ended(self, *, silent: bool) -> bool:
        """The connection is over, `silent` if the broker closed it before any answer; True if another version is to be
        tried at once."""
        if not self.five:
            if self._guessed:
                # One more silence then tells that it is still the same broker.
                self.five, self._silences = True, 0 if silent else _SILENCES - 1
            return False
        if not silent or self.sharing or self._five_works:
            return False
        self._silences += 1
        if self._silences < _SILENCES:
            return False
        self.five, self._guessed = False, True
        return True
