"""Rules as they are in another folder or file, or as they were at a commit of git."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

from rules.errors import RulesError
from rules.loader import read_rules, rules_in_force, shipped_rules
from rules.model import Rule

_GIT_S = 30


def rules_at(place: str, paths: list[Path] | None, own: Path | None, time_zone: str) -> list[Rule]:
    """The rules to compare with: those of a file or folder, or of a git commit (`HEAD~1`, a tag).

    `paths`: files and folders that the comparison is about, if not the rules in force; `own`: the city's own folder.
    Where the rules in force are compared, a folder or a commit stands for the city's own rules, over the shipped ones;
    without own rules a commit stands for the shipped ones. `time_zone` is what their hours follow.
    """
    path = Path(place)
    if path.exists():
        if paths:
            return read_rules([path], time_zone)
        return rules_in_force(path, time_zone) if path.is_dir() else _over_shipped(read_rules([path], time_zone))
    if paths:
        with _at_commit(place, paths) as copies:
            return read_rules(copies, time_zone)
    if own is not None:
        with _at_commit(place, [own]) as copies:
            return rules_in_force(copies[0], time_zone)
    with as_file(files("rules").joinpath("packs")) as packs, _at_commit(place, [packs]) as copies:
        return read_rules(copies, time_zone)


def _over_shipped(its: list[Rule]) -> list[Rule]:
    return list(({rule.id: rule for rule in shipped_rules()} | {rule.id: rule for rule in its}).values())


@contextmanager
def _at_commit(commit: str, paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Folders with the rule files of each path as they were; a folder that was not there had none."""
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder, str(number)) for number in range(len(paths))]
        for path, copy in zip(paths, copies, strict=True):
            copy.mkdir()
            _copy(commit, path, copy)
        yield copies


def _copy(commit: str, path: Path, copy: Path) -> None:
    folder = path if path.is_dir() else path.parent
    known = () if commit.startswith("-") else _git(folder, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if not known:
        raise RulesError(f"{commit!r} is no file, no folder, and no commit of the git repository of {folder}")
    names = _git(folder, "ls-tree", "--name-only", commit, "./" if path.is_dir() else f"./{path.name}").splitlines()
    for name in names:
        if name.endswith(".yaml"):
            (copy / Path(name).name).write_text(_git(folder, "show", f"{commit}:./{name}"), encoding="utf-8")


def _git(folder: Path, *arguments: str) -> str:
    """What git says; empty if it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RulesError(f"git cannot be run: {error}") from None
    return done.stdout if done.returncode == 0 else ""
