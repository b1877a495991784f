"""Device profiles: a YAML file per model that maps its fields to metrics, and carries its own proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from catalogue.errors import FileProblems, Problem
from catalogue.geometry import BinGeometry
from catalogue.inventory import PointKind
from catalogue.metrics import metrics
from catalogue.yamlfile import Document, parse_yaml, read_yaml, validate
from ingest.envelopes.base import Uplink
from ingest.errors import Reason
from ingest.numbers import number
from ingest.units import converter

Step = str | int


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldMap(_Strict):
    """One field of the device. `unit` is what the device sends; `combine` makes one value of a list."""

    metric: str
    unit: str | None = None
    scale: float = 1.0
    values: dict[str, float] | None = None
    combine: Literal["sum", "mean"] | None = None
    absent_values: list[str | float | None] = []


class Example(_Strict):
    """A message as the device sends it, and the exact readings that it must give."""

    topic: str
    payload: dict[str, Any]
    bin: BinGeometry | None = None
    readings: dict[str, float]
    suspect: list[str] = []


class Recognise(_Strict):
    """How a device that the inventory does not name is recognised: by model names, or by fields that it has."""

    names: list[str] = []
    fields: list[str] = []


class ProfileFile(_Strict):
    """The content of a profile file."""

    version: Literal[1]
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    maker: str
    model: str
    kind: PointKind
    envelopes: list[str] = Field(min_length=1)
    documentation: str
    recognise: Recognise = Recognise()
    fields: dict[str, FieldMap] = Field(min_length=1)
    ignored: list[str] = []
    quirks: list[str] = []
    examples: list[Example] = Field(min_length=1)


@dataclass(frozen=True)
class Mapped:
    """What a profile made of a message's fields."""

    metrics: dict[str, float]
    unknown: tuple[str, ...]
    problems: list[tuple[Reason, str]]
    suspect: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Rule:
    path: tuple[Step, ...]
    name: str
    metric: str
    convert: Callable[[float], float]
    spec: FieldMap


class Profile:
    """A profile ready for use: units worked out once, field paths split."""

    def __init__(self, file: ProfileFile) -> None:
        self.file = file
        self.id = file.id
        self._rules = [
            _Rule(_path(name), name, spec.metric, converter(spec.metric, spec.unit, spec.scale), spec)
            for name, spec in file.fields.items()
        ]
        self._covered = {rule.path for rule in self._rules} | {_path(name) for name in file.ignored}

    def map(self, uplink: Uplink, *, report_unknown: bool = True) -> Mapped:
        """Metrics from a message's fields. A field that is missing or null is no problem: uplinks may be partial."""
        fields = uplink.fields
        found: dict[str, float] = {}
        problems: list[tuple[Reason, str]] = []
        for rule in self._rules:
            value = _get(fields, rule.path)
            if value is None or value in rule.spec.absent_values:
                continue
            try:
                found[rule.metric] = _finite(rule.convert(_value(value, rule.spec)))
            except ValueError as error:
                problems.append((Reason.BAD_VALUE, f"{rule.name}: {error}"))
        unknown = tuple(self._unknown(fields)) if report_unknown else ()
        return Mapped(found, unknown, problems)

    def has_any(self, fields: Mapping[str, Any]) -> bool:
        """True if the message has a field that this profile maps."""
        return any(_get(fields, rule.path) is not None for rule in self._rules)

    def recognises(self, uplink: Uplink) -> bool:
        """True if a model name or all of the telling fields fit."""
        names, fields = uplink.profile_names, uplink.fields
        wanted = [_folded(name) for name in (self.file.id, *self.file.recognise.names)]
        if any(want in _folded(name) for name in names for want in wanted):
            return True
        telling = self.file.recognise.fields
        return bool(telling) and all(_get(fields, _path(name)) is not None for name in telling)

    def _unknown(self, fields: Mapping[str, Any]) -> Iterable[str]:
        for path in _leaves(fields, ()):
            if not any(path[: len(covered)] == covered for covered in self._covered):
                yield _dotted(path)


def _finite(value: float) -> float:
    if not isfinite(value):
        raise ValueError("is larger than any number of a meter")
    return value


def _folded(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _value(value: Any, spec: FieldMap) -> float:
    if spec.values is not None:
        key = str(value).lower() if isinstance(value, bool) else str(value)
        if key not in spec.values:
            raise ValueError(f"{value!r} is none of {', '.join(spec.values)}")
        return spec.values[key]
    if isinstance(value, list):
        if spec.combine is None:
            raise ValueError("is a list; the profile says neither which element nor how to combine them")
        numbers = [number(element) for element in value if element is not None]
        if not numbers:
            raise ValueError("is an empty list")
        return sum(numbers) / (len(numbers) if spec.combine == "mean" else 1)
    return number(value)


def _path(name: str) -> tuple[Step, ...]:
    return tuple(int(step) if step.isdigit() else step for step in name.split("."))


def _get(fields: Any, path: tuple[Step, ...]) -> Any:
    node = fields
    for step in path:
        if isinstance(node, dict):
            node = node.get(step if step in node else str(step))
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            return None
    return node


def _leaves(node: Any, path: tuple[Step, ...]) -> Iterable[tuple[Step, ...]]:
    if isinstance(node, dict) and node:
        for key, child in node.items():
            yield from _leaves(child, (*path, int(key) if str(key).isdigit() else str(key)))
    elif isinstance(node, list) and node:
        for index, child in enumerate(node):
            yield from _leaves(child, (*path, index))
    else:
        yield path


def _dotted(path: tuple[Step, ...]) -> str:
    return ".".join(map(str, path))


def load_profile(document: Document) -> Profile:
    """A profile from its file; raises `FileProblems` with every mistake at once."""
    file = validate(document, ProfileFile)
    problems = []
    for name, spec in file.fields.items():
        if spec.metric not in metrics():
            problems.append(
                document.problem(("fields", name, "metric"), f"there is no metric {spec.metric!r} in the catalogue")
            )
            continue
        try:
            converter(spec.metric, spec.unit, spec.scale)
        except ValueError as error:
            problems.append(document.problem(("fields", name, "unit"), str(error)))
    if problems:
        raise FileProblems(problems)
    return Profile(file)


def load_profiles(own: Path | None = None) -> dict[str, Profile]:
    """The shipped profiles by id, and those of the city's own folder, which win over shipped ones of the same id."""
    documents = [
        parse_yaml(entry.read_text(encoding="utf-8"), f"ingest/profiles/{entry.name}")
        for entry in sorted(files("ingest").joinpath("profiles").iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yaml")
    ]
    problems = []
    profiles: dict[str, Profile] = {}
    if own is not None:
        if not own.is_dir():
            raise FileProblems([Problem(str(own), None, "", "is no folder; MISTO_PROFILES_DIR names it")])
        documents += [read_yaml(path) for path in sorted(own.glob("*.yaml"))]
    for document in documents:
        try:
            profile = load_profile(document)
            profiles[profile.id] = profile
        except FileProblems as error:
            problems += error.problems
    if problems:
        raise FileProblems(problems)
    return profiles
