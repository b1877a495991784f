"""YAML 1.2 files read strictly: duplicate keys are refused and every value knows its line.

YAML 1.2 (ruamel.yaml) because in 1.1 the time `06:00` is the number 360 and the word `no` is false.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from catalogue.errors import FileProblems, Problem

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]


class Document:
    """A parsed YAML file: plain Python data, and the line of each key."""

    def __init__(self, name: str, tree: Any) -> None:
        self.name = name
        self._tree = tree
        self.data = _plain(tree)

    def line_of(self, location: Location) -> int | None:
        """Line (from 1) of the deepest part of `location` that the file has."""
        node, line = self._tree, None
        for step in location:
            if isinstance(node, CommentedMap) and step in node:
                line = node.lc.key(step)[0] + 1
                node = node[step]
            elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
                line = node.lc.item(step)[0] + 1
                node = node[step]
            else:
                break
        return line

    def problem(self, location: Location, message: str) -> Problem:
        """A `Problem` at `location` (keys and indices from the top of the file)."""
        return Problem(self.name, self.line_of(location), _dotted(location), message)


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text. Raises `FileProblems` with file and line for a syntax error or a duplicate key."""
    reader = YAML(typ="rt", pure=True)
    reader.allow_duplicate_keys = False
    try:
        return Document(name, reader.load(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        twice = re.match('found duplicate key "([^"]*)"', str(error.problem))
        if isinstance(error, DuplicateKeyError) and twice:
            raise FileProblems([Problem(name, line, twice[1], "stands twice here; remove one of them")]) from None
        raise FileProblems([Problem(name, line, "", " ".join(str(error.problem or error.context).split()))]) from None
    except YAMLError as error:
        raise FileProblems([Problem(name, None, "", str(error))]) from None


def read_yaml(path: Path) -> Document:
    """Read a YAML file. Raises `FileProblems` if it is missing, is no UTF-8 or no YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileProblems([Problem(str(path), None, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise FileProblems([Problem(str(path), None, "", f"is not UTF-8 text: {error.reason}")]) from None
    return parse_yaml(text, str(path))


def validate(document: Document, model: type[Model]) -> Model:
    """Check a document against a pydantic model; raises `FileProblems` with every mistake at once."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise FileProblems(validation_problems(document, error, model=model)) from None


def validation_problems(
    document: Document, error: ValidationError, prefix: Location = (), model: type[BaseModel] | None = None
) -> list[Problem]:
    """Each mistake that pydantic found, as a sentence with its place in the file."""
    return [document.problem(prefix + location, message) for location, message in mistakes(error, document.data, model)]


def mistakes(error: ValidationError, data: Any, model: type[BaseModel] | None = None) -> list[tuple[Location, str]]:
    """(place in `data`, sentence) of each mistake that pydantic found; with `model`, near names of unknown keys."""
    told = []
    for item in error.errors(include_url=False, include_context=True):
        location = _in_file(item["loc"], data)
        known = _keys_at(model, location[:-1]) if model is not None and item["type"] == "extra_forbidden" else []
        told.append((location, _sentence(item, known)))
    return told


def near(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` if one of the known names is near, or nothing."""
    found = get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    """Keys that the models at this place know."""
    kinds = [model]
    for step in location:
        # A step that is no field is the place in a list or mapping of the same models.
        fields = [
            field.annotation
            for kind in kinds
            for name, field in kind.model_fields.items()
            if step == (field.alias or name)
        ]
        kinds = [kind for annotation in fields for kind in _models(annotation)] or kinds
    return [field.alias or name for kind in kinds for name, field in kind.model_fields.items()]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _sentence(item: Any, known: list[str]) -> str:
    given, context, meant = item.get("input"), item.get("ctx", {}), ""
    match item["type"]:
        case "extra_forbidden":
            meant = near(str(item["loc"][-1]), known)
            return "is not a known key here" + (meant or "; check the spelling or remove it")
        case "missing":
            return "is missing"
        case "model_type" | "model_attributes_type" | "dict_type":
            message = "must be keys with their values"
        case "list_type":
            message = "must be a list"
        case "too_short":
            least, there = context["min_length"], context["actual_length"]
            return f"needs {least} or more; {'it is empty' if there == 0 else f'there is only {there}'}"
        case "literal_error":
            message = item["msg"]
            meant = near(given, re.findall(r"'([^']*)'", context["expected"])) if isinstance(given, str) else ""
        case _:
            message = str(item["msg"]).removeprefix("Value error, ")
    # A number such as 6 is not told by a message that says "06:00".
    is_plain = isinstance(given, str | int | float | bool)
    if is_plain and not re.search(rf"(?<!\w){re.escape(repr(given))}(?!\w)", message):
        return f"{message} (it is {given!r}){meant}"
    return message + meant


def _in_file(location: Location, data: Any) -> Location:
    """Drop the steps that pydantic adds for unions, aliases, keys and single words, and that the file does not have."""
    steps: list[int | str] = []
    node = data
    for step in location[:-1]:
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            continue
        steps.append(step)
    last = location[-1:]
    added = last == ("[key]",) or (last and isinstance(last[0], int) and isinstance(node, str))
    return tuple(steps) if added else (*steps, *last)


def _dotted(location: Location) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, bool):
        return bool(node)
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
