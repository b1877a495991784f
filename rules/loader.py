"""Reading rule files: strict, every mistake at once with file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

from catalogue.errors import FileProblems, Problem
from catalogue.yamlfile import Document, parse_yaml, read_yaml, validate
from rules.conditions.base import Strict
from rules.model import Rule


class RuleFile(Strict):
    """The content of a rule file."""

    version: Literal[1]
    rules: list[Rule]


def load_documents(documents: list[Document]) -> list[Rule]:
    """The rules of these files. Raises `FileProblems` with the mistakes of all of them."""
    rules, problems = collect(documents)
    if problems:
        raise FileProblems(problems)
    return rules


def collect(documents: list[Document]) -> tuple[list[Rule], list[Problem]]:
    """The rules of those files that have no mistake, and the mistakes of the others."""
    problems: list[Problem] = []
    rules: list[Rule] = []
    places: dict[str, str] = {}
    for document in documents:
        try:
            file = validate(document, RuleFile)
        except FileProblems as error:
            problems += error.problems
            continue
        for index, rule in enumerate(file.rules):
            place = document.problem(
                ("rules", index, "id"), f"the rule {rule.id!r} stands in {places.get(rule.id)} too"
            )
            if rule.id in places:
                problems.append(place)
            places[rule.id] = f"{document.name}:{place.line}"
            rules.append(rule)
    return rules, problems


def shipped_rules() -> list[Rule]:
    """The rules that come with Misto."""
    entries = sorted(files("rules").joinpath("packs").iterdir(), key=lambda entry: entry.name)
    return load_documents(
        [
            parse_yaml(entry.read_text(encoding="utf-8"), f"rules/packs/{entry.name}")
            for entry in entries
            if entry.name.endswith(".yaml")
        ]
    )


def read_rules(paths: list[Path]) -> list[Rule]:
    """The rules of files, or of all `*.yaml` in folders. Raises `FileProblems` with the mistakes of all of them."""
    rules, problems = survey(paths)
    if problems:
        raise FileProblems(problems)
    return rules


def survey(paths: list[Path]) -> tuple[list[Rule], list[Problem]]:
    """As `read_rules`, but with what is well and what is wrong side by side."""
    documents: list[Document] = []
    unreadable: list[Problem] = []
    for path in paths:
        for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
            try:
                documents.append(read_yaml(file))
            except FileProblems as error:
                unreadable += error.problems
    rules, problems = collect(documents)
    return rules, unreadable + problems


def rules_in_force(own: Path | None) -> list[Rule]:
    """The rules as a folder of the city's own would have them, over the shipped ones."""
    return with_own(shipped_rules(), rules_of_files(own_files(own)) if own is not None else ())


def own_files(folder: Path) -> dict[str, str]:
    """The text of each rule file of the city's own folder by its name. Raises `FileProblems` with every mistake."""
    if not folder.is_dir():
        raise FileProblems([Problem(str(folder), None, "", "is no folder; MISTO_RULES_DIR names it")])
    read_rules([folder])
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.yaml"))}


def rules_of_files(texts: Mapping[str, str]) -> list[Rule]:
    """The rules of files whose texts are given by name. Raises `FileProblems` with the mistakes of all of them."""
    return load_documents([parse_yaml(text, name) for name, text in sorted(texts.items())])


def with_own(shipped: Iterable[Rule], own: Iterable[Rule]) -> list[Rule]:
    """The shipped rules and the city's own; one of the city's with the same id replaces the shipped one."""
    return list(({rule.id: rule for rule in shipped} | {rule.id: rule for rule in own}).values())
