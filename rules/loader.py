"""Reading rule files: strict, every mistake at once with file and line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from catalogue.errors import FileProblems, Problem
from catalogue.yamlfile import Document, mistakes, parse_yaml, read_yaml, validate
from rules.calendars import CALENDAR_FILE, Local, local_of
from rules.conditions.base import Strict
from rules.labelled import malformed
from rules.model import Rule
from rules.templates import Expanded, Known, Template, expand, unknown_parameters

TIME_ZONE = "Europe/Kyiv"

#: Gives the rules that come with Misto, with the hours of a city.
Shipped = Callable[[Local], Sequence[Rule]]


class RuleFile(Strict):
    """The content of a rule file; its rules are checked once their templates are known."""

    version: Literal[1]
    templates: dict[str, Template] = {}
    rules: list[dict[str, Any]] = []


def load_documents(documents: Sequence[Document], local: Local | None = None) -> list[Rule]:
    """The rules of these files. Raises `FileProblems` with the mistakes of all of them."""
    rules, problems = collect(documents, local)
    if problems:
        raise FileProblems(problems)
    return rules


def collect(documents: Sequence[Document], local: Local | None = None) -> tuple[list[Rule], list[Problem]]:
    """The rules that have no mistake, and the mistakes of the others."""
    local = local or local_of(TIME_ZONE)
    problems: list[Problem] = []
    files_read: list[tuple[Document, RuleFile]] = []
    templates: dict[str, Known] = {}
    for document in documents:
        try:
            file = validate(document, RuleFile)
        except FileProblems as error:
            problems += error.problems
            continue
        files_read.append((document, file))
        for name, template in file.templates.items():
            if name in templates:
                first = templates[name].document
                told = f"the template {name!r} stands in {first.name}:{first.line_of(('templates', name))} too"
                problems.append(document.problem(("templates", name), told))
                continue
            templates[name] = Known(document, name, template)
            problems += unknown_parameters(templates[name])
    rules: list[Rule] = []
    places: dict[str, str] = {}
    for document, file in files_read:
        for index, data in enumerate(file.rules):
            rule, found = _rule(document, index, data, templates, local)
            problems += found
            rule_id = data.get("id")
            if isinstance(rule_id, str):
                told = f"the rule {rule_id!r} stands in {places.get(rule_id)} too"
                place = document.problem(("rules", index, "id"), told)
                if rule_id in places:
                    problems.append(place)
                    continue
                places[rule_id] = f"{document.name}:{place.line}"
            if rule is not None:
                rules.append(rule)
    # What is wrong in a template is wrong in every rule that uses it.
    return rules, list(dict.fromkeys(problems))


def _rule(
    document: Document, index: int, data: dict[str, Any], templates: dict[str, Known], local: Local
) -> tuple[Rule | None, list[Problem]]:
    """A rule of a file, or what is wrong with it."""
    written = Expanded(document, ("rules", index), data)
    if "use" in data:
        written, problems = expand(document, ("rules", index), data, templates)
        if problems:
            return None, problems
    found = malformed(written.data)
    if found:
        return None, [written.problem(place, told) for place, told in found]
    whole = {**written.data}
    if "active" in whole:
        whole["active"] = local.completed(whole["active"])
    try:
        return Rule.model_validate(whole), []
    except ValidationError as error:
        return None, [written.problem(place, told) for place, told in mistakes(error, whole, Rule)]


def shipped_rules(local: Local | None = None) -> list[Rule]:
    """The rules that come with Misto."""
    entries = sorted(files("rules").joinpath("packs").iterdir(), key=lambda entry: entry.name)
    return load_documents(
        [
            parse_yaml(entry.read_text(encoding="utf-8"), f"rules/packs/{entry.name}")
            for entry in entries
            if entry.name.endswith(".yaml")
        ],
        local,
    )


def read_rules(paths: Sequence[Path], time_zone: str = TIME_ZONE) -> list[Rule]:
    """The rules of files, or of all `*.yaml` in folders; a template of one of them is known to all. Raises
    `FileProblems` with the mistakes of all of them."""
    rules, problems = survey(paths, time_zone)
    if problems:
        raise FileProblems(problems)
    return rules


def survey(paths: Sequence[Path], time_zone: str = TIME_ZONE) -> tuple[list[Rule], list[Problem]]:
    """As `read_rules`, but with what is well and what is wrong side by side. A `calendar.yaml` in one of the folders is
    the city's calendar."""
    documents: list[Document] = []
    calendars: list[Document] = []
    problems: list[Problem] = []
    for path in paths:
        for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
            try:
                (calendars if file.name == CALENDAR_FILE else documents).append(read_yaml(file))
            except FileProblems as error:
                problems += error.problems
    for document in calendars[1:]:
        problems.append(document.problem((), f"there can be one calendar, and {calendars[0].name} is one too"))
    try:
        local = local_of(time_zone, calendars[0] if calendars else None)
    except FileProblems as error:
        problems += error.problems
        local = local_of(time_zone)
    rules, found = collect(documents, local)
    return rules, problems + found


def rules_in_force(own: Path | None, time_zone: str = TIME_ZONE) -> list[Rule]:
    """The rules as a folder of the city's own would have them, over the shipped ones. `time_zone` and the calendar of
    that folder are what their hours follow."""
    return over_shipped(shipped_rules, own_files(own, time_zone) if own is not None else {}, time_zone)


def own_files(folder: Path, time_zone: str = TIME_ZONE) -> dict[str, str]:
    """The text of each file of the city's own folder by its name, its calendar among them. Raises `FileProblems` with
    every mistake."""
    if not folder.is_dir():
        raise FileProblems([Problem(str(folder), None, "", "is no folder; MISTO_RULES_DIR names it")])
    read_rules([folder], time_zone)
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.yaml"))}


def rules_of_files(texts: Mapping[str, str], time_zone: str = TIME_ZONE) -> list[Rule]:
    """The rules of files whose texts are given by name. Raises `FileProblems` with the mistakes of all of them."""
    documents = [parse_yaml(text, name) for name, text in sorted(texts.items()) if name != CALENDAR_FILE]
    return load_documents(documents, _local_of(texts, time_zone))


def over_shipped(shipped: Shipped, own: Mapping[str, str], time_zone: str = TIME_ZONE) -> list[Rule]:
    """The shipped rules and those of the city's own files; one of the city's with the same id replaces the shipped
    one. Raises `FileProblems`."""
    its = {rule.id: rule for rule in shipped(_local_of(own, time_zone))}
    return list((its | {rule.id: rule for rule in rules_of_files(own, time_zone)}).values())


def _local_of(texts: Mapping[str, str], time_zone: str) -> Local:
    calendar = parse_yaml(texts[CALENDAR_FILE], CALENDAR_FILE) if CALENDAR_FILE in texts else None
    return local_of(time_zone, calendar)
