"""Reading rule files: strict, every mistake at once with file and line."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from catalogue.errors import FileProblems, Problem
from catalogue.yamlfile import Document, mistakes, parse_yaml, read_yaml, validate
from rules.calendars import Local, local_of
from rules.conditions.base import Strict
from rules.labelled import malformed
from rules.model import Rule
from rules.templates import Expanded, Known, Template, expand, unknown_parameters


class RuleFile(Strict):
    """The content of a rule file; its rules are checked once their templates are known."""

    version: Literal[1]
    templates: dict[str, Template] = {}
    rules: list[dict[str, Any]] = []


def load_documents(documents: list[Document], local: Local | None = None) -> list[Rule]:
    """The rules of these files. Raises `FileProblems` with the mistakes of all of them."""
    local = local or local_of("Europe/Kyiv")
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
                told = f"the template {name!r} stands in {templates[name].document.name} too"
                problems.append(document.problem(("templates", name), told))
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
                places[rule_id] = f"{document.name}:{place.line}"
            if rule is not None:
                rules.append(rule)
    if problems:
        raise FileProblems(list(dict.fromkeys(problems)))
    return rules


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


def read_rules(paths: list[Path], local: Local | None = None) -> list[Rule]:
    """The rules of files, or of all `*.yaml` in folders; a template of one of them is known to all."""
    documents: list[Document] = []
    for path in paths:
        documents += [read_yaml(file) for file in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]
    return load_documents(documents, local)


def rules_in_force(own: Path | None, local: Local | None = None) -> list[Rule]:
    """The shipped rules and the city's own; one of the city's with the same id replaces the shipped one. `local`: what
    their hours follow; without it, Kyiv's time and the usual school holidays."""
    rules = {rule.id: rule for rule in shipped_rules(local)}
    if own is not None:
        if not own.is_dir():
            raise FileProblems([Problem(str(own), None, "", "is no folder; MISTO_RULES_DIR names it")])
        rules |= {rule.id: rule for rule in read_rules([own], local)}
    return list(rules.values())
