"""What the board asks of the rules. The board does not import them: whoever starts it hands over a book of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from dashboards.board.messages import Language
from store.board import BoardConnection

Truth = Literal["true", "false", "unknown"]


@dataclass(frozen=True)
class SelfTest:
    """One of a rule's own tests: what happened in it, and what came out otherwise than it says."""

    name: str
    happened: str
    failures: Sequence[str]


@dataclass(frozen=True)
class RuleChanged:
    """When a rule came into force as it is. `author` is empty where it came with Misto itself."""

    at: datetime
    author: str
    version: int


@dataclass(frozen=True)
class RuleTold:
    """A rule in words of one language. `points`: code → name of those that it watches."""

    rule_id: str
    severity: str
    title: str
    sentence: str
    advice: str
    watches: str
    raised_when: str
    source: str
    points: Mapping[str, str]
    changed: RuleChanged | None


@dataclass(frozen=True)
class RuleCourse:
    """A rule at a point over time. `metric`: the one to draw; `limit`: of its values; `spans`: (truth, from, until);
    `alerts`: (fired, resolved or None) by the readings as they are stored now."""

    metric: str
    limit: float | None
    spans: Sequence[tuple[Truth, datetime, datetime]]
    alerts: Sequence[tuple[datetime, datetime | None]]


class RuleBook(Protocol):
    """The rules in force."""

    def rules(self, connection: BoardConnection, language: Language) -> list[RuleTold]:
        """Every rule in force, by its id."""
        ...

    def tests(self, connection: BoardConnection, rule_id: str) -> list[SelfTest]:
        """The rule's own tests, run."""
        ...

    def course(
        self, connection: BoardConnection, rule_id: str, point: str, start: datetime, stop: datetime
    ) -> RuleCourse | None:
        """The rule's truth at a point (its code); None if it does not watch it or there are no readings."""
        ...
