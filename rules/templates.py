"""Templates of rules: `use: {template: NAME, with: {PARAMETER: value}}` becomes the template's rule with `$PARAMETER`
filled in. Keys that stand beside `use` go before those of the template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from catalogue.errors import Problem
from catalogue.inventory import parse_duration
from catalogue.metrics import metrics
from catalogue.yamlfile import Document, Location, mistakes, near
from rules.conditions.base import Strict

_NAME = r"[a-z][a-z0-9_]*"
_NAMED = re.compile(rf"\$({_NAME})")

_MUST_BE = {
    "number": "a number",
    "duration": "a duration such as 15m",
    "metric": "a metric of the catalogue",
    "text": "a text",
}


class Parameter(Strict):
    """What may be given to a template; without a default it must be."""

    type: Literal["number", "duration", "metric", "text"] = "number"
    default: Any = None

    @model_validator(mode="after")
    def _fitting_default(self) -> Parameter:
        if self.default is not None and not self.fits(self.default):
            raise ValueError(f"its default must be {_MUST_BE[self.type]} (it is {self.default!r})")
        return self

    def fits(self, value: Any) -> bool:
        """Whether a value is of the parameter's type; a number may come from a point's label."""
        if self.type == "number":
            return (isinstance(value, int | float) and not isinstance(value, bool)) or isinstance(value, dict)
        if self.type == "duration":
            try:
                return parse_duration(value) > 0
            except ValueError:
                return False
        return isinstance(value, str) and (self.type == "text" or value in metrics())


class Template(Strict):
    """A rule with parameters."""

    params: dict[Annotated[str, Field(pattern=f"^{_NAME}$")], Parameter] = {}
    rule: dict[str, Any]


class Use(Strict):
    """Which template, and what is given to it."""

    template: str
    given: Annotated[dict[str, Any], Field(alias="with")] = {}


@dataclass(frozen=True)
class Known:
    """A template and where it stands."""

    document: Document
    name: str
    template: Template


@dataclass
class Expanded:
    """A rule as it is after its template, and for each mistake in it the place in a file that makes it."""

    document: Document
    location: Location
    data: Any
    known: Known | None = None
    filled: dict[Location, str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()

    def problem(self, place: Location, message: str) -> Problem:
        """A `Problem` at a place of the rule."""
        for length in range(len(place), 0, -1):
            name = self.filled.get(place[:length])
            if name in self.given:
                return self.document.problem((*self.location, "use", "with", name), message)
        if self.known is None or not place or place[0] in self.own or place[0] not in self.known.template.rule:
            return self.document.problem((*self.location, *place), message)
        if any(its[: len(place)] == place and its != place for its in self.filled):
            # What is given here makes it so, another use may be right.
            message = f"{message}; as used in {self.document.name}:{self.document.line_of(self.location)}"
        return self.known.document.problem(("templates", self.known.name, "rule", *place), message)


def expand(
    document: Document, location: Location, data: Mapping[str, Any], templates: Mapping[str, Known]
) -> tuple[Expanded, list[Problem]]:
    """A rule that uses a template, as one without; with what is wrong in how it uses it."""
    own = {key: value for key, value in data.items() if key != "use"}
    plain = Expanded(document, location, own)
    here = (*location, "use")
    try:
        use = Use.model_validate(data["use"])
    except ValidationError as error:
        return plain, [document.problem((*here, *place), told) for place, told in mistakes(error, data["use"], Use)]
    known = templates.get(use.template)
    if known is None:
        told = f"there is no template {use.template!r}{near(use.template, templates)}"
        return plain, [document.problem((*here, "template"), told)]
    params = known.template.params
    problems = []
    for name in use.given.keys() - params.keys():
        meant = near(name, params) or f"; it has {', '.join(params) or 'none'}"
        told = f"the template {known.name!r} has no parameter {name!r}{meant}"
        problems.append(document.problem((*here, "with", name), told))
    values = {name: use.given.get(name, param.default) for name, param in params.items()}
    for name, value in values.items():
        if value is None:
            told = f"the template {known.name!r} needs its parameter {name!r}, {_MUST_BE[params[name].type]}"
            problems.append(document.problem((*here, "with"), told))
        elif not params[name].fits(value):
            meant = near(value, metrics()) if params[name].type == "metric" and isinstance(value, str) else ""
            told = f"must be {_MUST_BE[params[name].type]} (it is {value!r}){meant}"
            problems.append(document.problem((*here, "with", name), told))
    expanded = Expanded(document, location, None, known, {}, frozenset(use.given), frozenset(own))
    body = {key: value for key, value in known.template.rule.items() if key not in own}
    expanded.data = {**_filled(body, (), values, expanded.filled), **own}
    return expanded, problems


def unknown_parameters(known: Known) -> list[Problem]:
    """Each `$name` in a template that is none of its parameters."""
    filled: dict[Location, str] = {}
    _filled(known.template.rule, (), dict.fromkeys(known.template.params), filled)
    params = known.template.params
    return [
        known.document.problem(
            ("templates", known.name, "rule", *place),
            f"${name} is no parameter of the template{near(name, params) or '; add it under params'}",
        )
        for place, name in filled.items()
        if name not in params
    ]


def _filled(node: Any, place: Location, values: Mapping[str, Any], filled: dict[Location, str]) -> Any:
    """The template's rule with its parameters; `filled` takes what went where."""
    if isinstance(node, dict):
        return {key: _filled(value, (*place, key), values, filled) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, (*place, index), values, filled) for index, value in enumerate(node)]
    if not isinstance(node, str) or "$" not in node:
        return node
    whole = _NAMED.fullmatch(node)
    if whole is not None:
        filled[place] = whole[1]
        return values.get(whole[1])
    for name in _NAMED.findall(node):
        if name not in values or place not in filled:
            filled[place] = name
    return _NAMED.sub(lambda match: str(values.get(match[1])), node)
