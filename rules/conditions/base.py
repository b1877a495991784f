"""What every condition kind shares.

A condition folds good readings, in order of event time, into an immutable state (nested tuples of JSON values) and
says what it holds to be true: True, False, or None for unknown. Unknown neither starts an alert nor clears it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict

from catalogue.metrics import metrics
from catalogue.yamlfile import near

State = tuple[Any, ...]
Truth = bool | None


def _known_metric(name: str) -> str:
    if name not in metrics():
        raise ValueError(f"there is no metric {name!r} in the catalogue{near(name, metrics())}")
    return name


MetricName = Annotated[str, AfterValidator(_known_metric)]


class Strict(BaseModel):
    """A part of a rule file: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Fold(Protocol):
    """What `step` needs of a condition."""

    @property
    def memory_s(self) -> float:
        """How far back readings still matter, in seconds."""

    def metric_ids(self) -> frozenset[int]:
        """Metrics whose readings it folds."""

    def initial(self) -> State:
        """State before any reading: unknown."""

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        """State after a good reading."""

    def truth(self, state: State, firing: bool = False, fresh_us: int = 0) -> Truth:
        """What holds after the last reading. Hysteresis is for what fires already: `firing`. Where there are several
        parts, those not heard since `fresh_us` are unknown."""

    def shown(self, state: State) -> tuple[float | None, float | None]:
        """(value, limit) for the sentence: what was measured and against what."""


class Condition(Strict, ABC):
    """A kind of condition: the class of this sort in a module of `rules.conditions`; the module's name is the kind's.

    Here stands what they share: the metric that they watch, and a state whose first item is what holds.
    """

    metric: MetricName

    @property
    def memory_s(self) -> float:
        """See `Fold`."""
        return 0.0

    def metric_ids(self) -> frozenset[int]:
        """See `Fold`."""
        return frozenset({metric_id(self.metric)})

    @abstractmethod
    def initial(self) -> State:
        """See `Fold`."""

    @abstractmethod
    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        """See `Fold`."""

    def truth(self, state: State, firing: bool = False, fresh_us: int = 0) -> Truth:
        """See `Fold`."""
        held: Truth = state[0]
        return held

    @abstractmethod
    def shown(self, state: State) -> tuple[float | None, float | None]:
        """See `Fold`."""


def metric_id(name: str) -> int:
    """Number of a metric."""
    return metrics()[name].id
