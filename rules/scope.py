"""Which points a rule watches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from catalogue.inventory import BuildingUse, Fraction, Id, PointKind
from rules.conditions.base import Strict
from store.alerts import PointInfo

#: In place of a word: any word at all.
ANY = "*"


class Choice(Strict):
    """What a point must be: one of `only` (with `present` anything), and none of `excluded` (with `absent` nothing).

    In a file: `paper`, `[paper, glass]`, `"*"`, and after `not` the same.
    """

    only: tuple[str, ...] = ()
    excluded: tuple[str, ...] = Field(default=(), alias="not")
    present: bool = False
    absent: bool = False

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.keys() == {"not"}:
            words = _listed(data["not"])
            return {"absent": True} if ANY in words else {"not": words}
        if isinstance(data, dict):
            raise ValueError("must be a word, a list of words, or {not: …} for all but these")
        words = _listed(data)
        return {"present": True} if ANY in words else {"only": words}

    @model_serializer
    def _written(self) -> Any:
        if self.absent or self.excluded:
            return {"not": [ANY] if self.absent else list(self.excluded)}
        return [ANY] if self.present else list(self.only)

    def __bool__(self) -> bool:
        """Whether it asks for anything."""
        return bool(self.only or self.excluded or self.present or self.absent)

    def fits(self, own: str | None) -> bool:
        """Whether this is what a point may be; None: the point has no such word."""
        if own is None:
            return not (self.only or self.present)
        return not self.absent and own not in self.excluded and (not self.only or own in self.only)

    def words(self) -> list[str]:
        """What it asks for, for people."""
        if self.absent:
            return ["none"]
        return [ANY] if self.present else [*self.only, *(f"not {word}" for word in self.excluded)]


def _listed(words: Any) -> list[Any]:
    if words == [] or words is None:
        raise ValueError('names nothing; leave the key out, or give "*" for anything')
    return words if isinstance(words, list) else [words]


class Kinds(Choice):
    """Of point."""

    only: tuple[PointKind, ...] = ()
    excluded: tuple[PointKind, ...] = Field(default=(), alias="not")


class Fractions(Choice):
    """Of waste."""

    only: tuple[Fraction, ...] = ()
    excluded: tuple[Fraction, ...] = Field(default=(), alias="not")


class Uses(Choice):
    """Of a building."""

    only: tuple[BuildingUse, ...] = ()
    excluded: tuple[BuildingUse, ...] = Field(default=(), alias="not")


class Ids(Choice):
    """Of the inventory."""

    only: tuple[Id, ...] = ()
    excluded: tuple[Id, ...] = Field(default=(), alias="not")


class Scope(Strict):
    """Which points a rule watches; every given part must fit. `labels` are those of the point, and those of its site
    that the point has not itself."""

    kind: Kinds = Kinds.model_construct()
    fraction: Fractions = Fractions.model_construct()
    use: Uses = Uses.model_construct()
    site: Ids = Ids.model_construct()
    zone: Ids = Ids.model_construct()
    contractor: Ids = Ids.model_construct()
    labels: dict[str, Choice] = {}

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: asked for name, asked in handler(self).items() if asked}

    def fits(self, point: PointInfo) -> bool:
        """Whether every given part fits the point."""
        for _, choice, attribute in self._asked:
            if not choice.fits(getattr(point, attribute)):
                return False
        return not self.labels or all(choice.fits(own) for _, choice, own in self.parts(point))

    def parts(self, point: PointInfo) -> Iterator[tuple[str, Choice, str | None]]:
        """(name, what is asked for, what the point is) of each part that asks for something."""
        for name, choice, attribute in self._asked:
            yield name, choice, getattr(point, attribute)
        for name, choice in self.labels.items():
            yield f"labels.{name}", choice, point.labels.get(name)

    @cached_property
    def _asked(self) -> tuple[tuple[str, Choice, str], ...]:
        """Name, choice and the point's attribute of the parts that ask for something."""
        parts: tuple[tuple[str, Choice, str], ...] = (
            ("kind", self.kind, "kind"),
            ("fraction", self.fraction, "fraction"),
            ("use", self.use, "use"),
            ("site", self.site, "site_id"),
            ("zone", self.zone, "zone_id"),
            ("contractor", self.contractor, "contractor_id"),
        )
        return tuple(part for part in parts if part[1])
