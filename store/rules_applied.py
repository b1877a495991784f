"""Versions of the city's own rules, and the sets of rules that were in force with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row

from store.queries import sql


@dataclass(frozen=True)
class AppliedVersion:
    """The city's own rules as they were applied. `files`: the text of each file by its name."""

    version: int
    applied_at: datetime
    author: str
    note: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class SetInForce:
    """A set of rules that came into force `since`. `rules`: of each rule by id a digest of all that it says."""

    since: datetime
    version: int
    author: str
    rules: Mapping[str, str]


def newest(connection: Connection[Any]) -> int:
    """The newest version; 0 before anything was applied."""
    row = connection.cursor(row_factory=tuple_row).execute(sql("rules_applied.newest")).fetchone()
    return row[0] if row else 0


def versions(connection: Connection[Any]) -> list[AppliedVersion]:
    """All versions, newest first."""
    rows = connection.cursor(row_factory=tuple_row).execute(sql("rules_applied.versions"))
    return [AppliedVersion(*row) for row in rows]


def record(connection: Connection[Any], author: str, note: str, files: Mapping[str, str]) -> int:
    """Make these files the newest version; returns its number. The caller's transaction has locked the rule set."""
    parameters = {"author": author, "note": note, "files": json.dumps(dict(files))}
    row = connection.execute(sql("rules_applied.record"), parameters).fetchone()
    assert row is not None
    return int(row[0])


def describe_set(connection: Connection[Any], rules_hash: str, version: int, rules: Mapping[str, str]) -> None:
    """Keep what is in a set of rules that was put in force just now."""
    parameters = {"rules_hash": rules_hash, "version": version, "rules": json.dumps(dict(rules))}
    connection.execute(sql("rules_applied.describe_set"), parameters)


def sets(connection: Connection[Any]) -> list[SetInForce]:
    """Sets of rules in the order in which they came into force."""
    return [SetInForce(*row) for row in connection.cursor(row_factory=tuple_row).execute(sql("rules_applied.sets"))]
