"""Rule files that are wrong, each with what is told of it, and files that are right."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogue.errors import FileProblems
from catalogue.yamlfile import parse_yaml
from rules.loader import collect, read_rules, survey
from rules.selftest import failures

CORPUS = Path(__file__).parents[1] / "rules"
BAD = sorted((CORPUS / "bad").glob("*.yaml"))
GOOD = sorted((CORPUS / "good").glob("*.yaml"))


def told_of(file: Path) -> list[str]:
    """`line: place: sentence` of each mistake."""
    try:
        _, problems = collect([parse_yaml(file.read_text(encoding="utf-8"), file.name)])
    except FileProblems as error:
        problems = error.problems
    return [str(problem).removeprefix(f"{file.name}:").strip() for problem in FileProblems(problems).problems]


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_what_is_told_of_a_wrong_file(file: Path) -> None:
    """The comments at its end say what."""
    lines = file.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
    assert expected
    assert told_of(file) == expected


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_a_right_file(file: Path) -> None:
    rules = read_rules([file])
    assert rules
    for rule in rules:
        assert rule.tests, f"{rule.id} has no test"
        assert failures(rule) == []


def test_every_mistake_of_every_file_is_told_at_once() -> None:
    _, problems = survey([CORPUS / "bad"])
    assert {problem.file for problem in problems} >= {str(file) for file in BAD if "template" not in file.name}
