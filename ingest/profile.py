"""Device profiles: a YAML file per model that maps its fields to metrics, and carries its own proof.

Here they are read: blocks and parents put together, every mistake told at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from catalogue.errors import FileProblems, Problem
from catalogue.metrics import metrics
from catalogue.yamlfile import Document, Location, parse_yaml, read_yaml, validate
from ingest.envelopes import all_envelopes
from ingest.profile_file import BlockFile, Example, FieldMap, ProfileFile
from ingest.profile_map import Mapped, Profile
from ingest.units import converter

__all__ = [
    "LORAWAN",
    "Mapped",
    "Profile",
    "Sources",
    "Tested",
    "load_profile",
    "load_profiles",
    "load_tested",
    "profile_examples",
]

#: What a profile can name in `envelopes` for every LoRaWAN network server.
LORAWAN = ("chirpstack_v3", "chirpstack_v4", "netmore", "thingpark", "tts")

#: What a child or a block's user takes over. Mappings are merged, the own keys winning; lists are appended to.
_MAPPINGS = ("fields", "series", "codec")
_LISTS = ("ignored", "suspect_if", "quirks", "inside")
_TEXTS = ("maker", "model", "kind", "envelopes", "documentation")

_EXAMPLES = re.compile(r"^examples:.*?(?=^[^\s#-]|\Z)", re.MULTILINE | re.DOTALL)


class _Lazy(Document):
    """A document parsed the fast way; the slow way, which knows lines, only where a mistake must be told."""

    def __init__(self, name: str, text: str, data: Any) -> None:
        self.name = name
        self.data = data
        self._text = text

    def line_of(self, location: Location) -> int | None:
        return parse_yaml(self._text, self.name).line_of(location)


class _Merged(Document):
    """A profile with what it takes over; lines are those of its own file."""

    def __init__(self, document: Document, data: Any) -> None:
        self.name = document.name
        self.data = data
        self._own = document

    def line_of(self, location: Location) -> int | None:
        return self._own.line_of(location)


class Sources:
    """The raw documents of profiles and blocks by id, and what is wrong with them."""

    def __init__(self) -> None:
        self.profiles: dict[str, Document] = {}
        self.blocks: dict[str, Document] = {}
        self.problems: list[Problem] = []

    def add(self, document: Document, into: dict[str, Document], *, replacing: frozenset[str] = frozenset()) -> None:
        """Keep a document under its id, unless it has none or another file of the same folder has it."""
        name = document.data.get("id") if isinstance(document.data, dict) else None
        if not isinstance(name, str):
            self.problems.append(document.problem(("id",), "a profile needs an id"))
        elif name in into and name not in replacing:
            self.problems.append(document.problem(("id",), f"{into[name].name} has the same id {name!r}"))
        else:
            into[name] = document


def load_profiles(own: Path | None = None, zone: ZoneInfo | None = None) -> dict[str, Profile]:
    """The shipped profiles by id, and those of the city's own folder, which win over shipped ones of the same id.

    `zone` is where meters live that send local times. Raises `FileProblems` with every mistake at once. The examples
    of shipped profiles are left out (`profile_examples` reads them); the city's own are checked.
    """
    sources = _shipped()
    if own is not None:
        if not own.is_dir():
            raise FileProblems([Problem(str(own), None, "", "is no folder; MISTO_PROFILES_DIR names it")])
        shipped = frozenset(sources.profiles)
        for path in sorted(own.glob("*.yaml")):
            document = _attempt(path, sources)
            if document is not None:
                sources.add(document, sources.profiles, replacing=shipped)
                # Once the city has replaced it, a second file of the city is a mistake.
                shipped -= {document.data.get("id")} if isinstance(document.data, dict) else set()
        for path in sorted((own / "blocks").glob("*.yaml")):
            document = _attempt(path, sources)
            if document is not None:
                sources.add(document, sources.blocks, replacing=frozenset(sources.blocks))
    problems = list(sources.problems)
    profiles: dict[str, Profile] = {}
    for document in sources.profiles.values():
        try:
            profile = load_profile(document, sources, zone)
            profiles[profile.id] = profile
        except FileProblems as error:
            problems += error.problems
    if problems:
        raise FileProblems(list(dict.fromkeys(problems)))
    return profiles


@dataclass(frozen=True)
class Tested:
    """All profiles by id; of those on trial the documents, the ids that replace shipped ones, and what is wrong."""

    profiles: dict[str, Profile]
    documents: dict[str, Document]
    replacing: frozenset[str]
    problems: list[Problem]


def load_tested(paths: Iterable[Path], own: Path | None = None, zone: ZoneInfo | None = None) -> Tested:
    """Profile files on trial.

    Each path is a file or a folder (with its folder `blocks`). The tried stand beside the shipped ones and those of the
    city's folder `own`; of these, whoever has the id of a tried one gives way if shipped, and is a mistake if not.
    """
    sources = _shipped()
    shipped = frozenset(sources.profiles)
    files = list(dict.fromkeys(file.resolve() for path in paths for file in _yaml_files(path)))
    for folder in dict.fromkeys(file.parent for file in files):
        for path in _yaml_files(folder / "blocks"):
            if (document := _attempt(path, sources)) is not None:
                sources.add(document, sources.blocks, replacing=frozenset(sources.blocks))
    tried: dict[str, Document] = {}
    for path in files:
        if (document := _attempt(path, sources)) is not None:
            before = len(sources.problems)
            sources.add(document, sources.profiles, replacing=shipped - tried.keys())
            if len(sources.problems) == before:
                tried[document.data["id"]] = document
    problems = list(sources.problems)
    for path in _yaml_files(own) if own is not None else ():
        other = Sources()
        document = _attempt(path, other) if path.resolve() not in files else None
        name = document.data.get("id") if document is not None and isinstance(document.data, dict) else None
        if document is None or not isinstance(name, str):
            continue
        if name in tried:
            problems.append(tried[name].problem(("id",), f"{path} has the same id {name!r}: give it another"))
        else:
            sources.profiles[name] = document
    profiles: dict[str, Profile] = {}
    for name, document in sources.profiles.items():
        try:
            profiles[name] = load_profile(document, sources, zone)
        except FileProblems as error:
            problems += error.problems if name in tried else []
    loaded = {name: document for name, document in tried.items() if name in profiles}
    return Tested(profiles, loaded, shipped & loaded.keys(), problems)


def _yaml_files(path: Path) -> list[Path]:
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path] if path.suffix or path.exists() else []


def load_profile(document: Document, sources: Sources | None = None, zone: ZoneInfo | None = None) -> Profile:
    """A profile from its file; raises `FileProblems` with every mistake at once."""
    sources = sources or _shipped()
    problems: list[Problem] = []
    merged = _merged(document, sources, (), problems)
    if problems:
        raise FileProblems(problems)
    whole = _Merged(document, merged)
    file = validate(whole, ProfileFile)
    problems = list(_mistakes(whole, file))
    if not isinstance(document, _Lazy) and not file.examples:
        problems.append(document.problem(("examples",), "is missing: a profile carries its proof"))
    if problems:
        raise FileProblems(problems)
    names = [each for name in file.envelopes for each in (LORAWAN if name == "lorawan" else (name,))]
    return Profile(file, dict.fromkeys(names), zone)


def profile_examples(profile_id: str) -> list[Example]:
    """The examples of a shipped profile."""
    for entry in _entries(files("ingest").joinpath("profiles")):
        text = entry.read_text(encoding="utf-8")
        if re.search(rf"^id: {re.escape(profile_id)}$", text, re.MULTILINE):
            told = parse_yaml(text, entry.name).data.get("examples", [])
            return [Example.model_validate(example) for example in told]
    raise KeyError(profile_id)


def _entries(folder: Traversable) -> list[Traversable]:
    if not folder.is_dir():
        return []
    return sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda entry: entry.name)


def _shipped() -> Sources:
    sources = Sources()
    root = files("ingest").joinpath("profiles")
    for folder, into in ((root, sources.profiles), (root.joinpath("blocks"), sources.blocks)):
        for entry in _entries(folder):
            text = _EXAMPLES.sub("", entry.read_text(encoding="utf-8"))
            try:
                sources.add(_fast(f"ingest/profiles/{entry.name}", text), into)
            except FileProblems as error:
                sources.problems += error.problems
    return sources


def _fast(name: str, text: str) -> Document:
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return parse_yaml(text, name)
    return _Lazy(name, text, data)


def _attempt(path: Path, sources: Sources) -> Document | None:
    try:
        return read_yaml(path)
    except FileProblems as error:
        sources.problems += error.problems
        return None


def _merged(document: Document, sources: Sources, seen: tuple[str, ...], problems: list[Problem]) -> dict[str, Any]:
    """A profile's content with what it takes from its parent and its blocks."""
    own = document.data if isinstance(document.data, dict) else {}
    merged: dict[str, Any] = {}
    parent = own.get("extends")
    if isinstance(parent, str):
        line = (*seen, str(own.get("id")))
        if parent in line:
            problems.append(document.problem(("extends",), f"goes in a circle: {' → '.join((*line, parent))}"))
        elif parent not in sources.profiles:
            problems.append(document.problem(("extends",), f"there is no profile {parent!r}"))
        else:
            above = _merged(sources.profiles[parent], sources, line, problems)
            merged = {key: above[key] for key in (*_MAPPINGS, *_LISTS, *_TEXTS) if key in above}
    for block in own.get("blocks") or [] if isinstance(own.get("blocks"), list) else []:
        if block not in sources.blocks:
            known = ", ".join(sorted(sources.blocks)) or "none"
            problems.append(document.problem(("blocks",), f"there is no block {block!r}; there are {known}"))
            continue
        try:
            validate(sources.blocks[block], BlockFile)
        except FileProblems as error:
            problems += error.problems
            continue
        shared = sources.blocks[block].data
        merged = _over(merged, {key: shared[key] for key in (*_MAPPINGS, *_LISTS) if key in shared})
    return _over(merged, own)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        if key in _MAPPINGS and isinstance(value, dict) and isinstance(below.get(key), dict):
            result[key] = _deep(below[key], value)
        elif key in _LISTS and isinstance(value, list) and isinstance(below.get(key), list):
            result[key] = below[key] + [entry for entry in value if entry not in below[key]]
        else:
            result[key] = value
    return result


def _deep(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merged at every depth; a key that is null above is taken away."""
    result = dict(below)
    for key, value in above.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(below.get(key), dict):
            result[key] = _deep(below[key], value)
        else:
            result[key] = value
    return result


@cache
def _envelope_names() -> frozenset[str]:
    return frozenset(envelope.name for envelope in all_envelopes(ZoneInfo("UTC"))) | {*LORAWAN, "lorawan"}


def _mistakes(document: Document, file: ProfileFile) -> Iterator[Problem]:
    for index, name in enumerate(file.envelopes):
        if name not in _envelope_names():
            known = ", ".join(sorted(_envelope_names()))
            yield document.problem(("envelopes", index), f"there is no format {name!r}; there are {known}")
    yield from _wrong_fields(document, ("fields",), file.fields)
    for name, series in file.series.items():
        yield from _wrong_fields(document, ("series", name, "fields"), series.fields)
    for index, condition in enumerate(file.suspect_if):
        for metric in condition.metrics:
            if metric not in metrics():
                yield document.problem(
                    ("suspect_if", index, "metrics"), f"there is no metric {metric!r} in the catalogue"
                )


def _wrong_fields(document: Document, place: tuple[str, ...], fields: Mapping[str, FieldMap]) -> Iterable[Problem]:
    for name, spec in fields.items():
        if spec.metric not in metrics():
            near = difflib.get_close_matches(spec.metric, metrics(), 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else " (docs/mqtt-json.md lists them)"
            message = f"there is no metric {spec.metric!r} in the catalogue{hint}"
            yield document.problem((*place, name, "metric"), message)
            continue
        try:
            converter(spec.metric, spec.unit, spec.scale)
        except ValueError as error:
            yield document.problem((*place, name, "unit"), str(error))
