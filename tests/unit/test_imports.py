"""The arrows between the folders are those of docs/architecture.md, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ALLOWED: dict[str, set[str]] = {
    "catalogue": set(),
    "store": {"catalogue"},
    "ingest": {"catalogue", "store"},
    "insights": {"catalogue"},
    "rules": {"catalogue", "store", "insights"},
    "dashboards": {"catalogue", "store", "insights"},
    "simulators": {"catalogue"},
    "misto": {"catalogue", "store", "ingest", "insights", "rules", "dashboards", "simulators"},
}

MODULES = sorted(path for folder in ALLOWED for path in (ROOT / folder).rglob("*.py"))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that this test can read them"
            yield node.module or ""


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_what_the_table_allows(module: Path) -> None:
    folder = module.relative_to(ROOT).parts[0]
    tree = ast.parse(module.read_text(encoding="utf-8"))
    ours = {name.split(".")[0] for name in _imports(tree)} & set(ALLOWED)
    assert ours <= ALLOWED[folder] | {folder}


def _reads_environment(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in {"environ", "getenv"}
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
        ):
            yield node.lineno


@pytest.mark.parametrize(
    "module",
    [path for path in MODULES if path.relative_to(ROOT).parts[0] != "misto"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_only_the_command_line_reads_the_environment(module: Path) -> None:
    lines = list(_reads_environment(ast.parse(module.read_text(encoding="utf-8"))))
    assert not lines, f"{module} reads the environment on line {lines}; take an argument instead"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_small(module: Path) -> None:
    lines = len(module.read_text(encoding="utf-8").splitlines())
    assert lines <= 800, f"{module} has {lines} lines; above 800 a module is split"


def test_the_table_of_the_architecture_paper_is_this_one() -> None:
    paper = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = {}
    for line in paper.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 3 and cells[0].strip("`/") in ALLOWED:
            rows[cells[0].strip("`/")] = cells[2]
    assert set(rows) == set(ALLOWED)
    for folder, text in rows.items():
        named = set() if text == "nothing of ours" else {part.strip(" `/") for part in text.split(",")}
        expected = {"all"} if folder == "misto" else ALLOWED[folder]
        assert named == expected, f"docs/architecture.md says {text!r} for {folder}"
