"""Which rules are in force: the shipped ones, and over them the newest applied version of the city's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from catalogue.errors import FileProblems
from rules.loader import Shipped, over_shipped
from rules.model import Rule
from store import rules_applied, rules_leases

FIRST_AUTHOR = "Misto"
FIRST_NOTE = "the rules as they were at the first start"


@dataclass(frozen=True)
class Taken:
    """Rules to judge by. `newest` is the newest version that there is; `version` the newest that can be read, and
    `unreadable` says why it is not the same."""

    version: int
    newest: int
    author: str
    rules: Sequence[Rule]
    unreadable: str = ""


def take(connection: Connection[Any], shipped: Shipped, time_zone: str) -> Taken:
    """The newest applied version that this Misto can read; version 0, the shipped rules alone, without any."""
    versions = rules_applied.versions(connection)
    newest = versions[0].version if versions else 0
    unreadable = ""
    for one in versions:
        try:
            rules = over_shipped(shipped, one.files, time_zone)
            return Taken(one.version, newest, one.author, rules, unreadable)
        except FileProblems as error:
            unreadable = unreadable or f"version {one.version} of the rules cannot be read by this Misto: {error}"
    return Taken(0, newest, "", over_shipped(shipped, {}, time_zone), unreadable)


def begin(connection: Connection[Any], own: Mapping[str, str] | None) -> bool:
    """Record the city's own files as version 1 if nothing has ever been applied. False if others are in force; None is
    for no files, or such as cannot be read."""
    with connection.transaction():
        versions = rules_applied.versions(connection)
        if not versions:
            rules_leases.lock_rule_set(connection)
            if not rules_applied.newest(connection):
                rules_applied.record(connection, FIRST_AUTHOR, FIRST_NOTE, own or {})
            return True
    return own is None or dict(versions[0].files) == dict(own)


def digests(rules: Iterable[Rule]) -> dict[str, str]:
    """Of each rule by id a digest that changes with anything it says; its tests do not count."""
    return {
        rule.id: hashlib.sha256(json.dumps(rule.definition, sort_keys=True).encode()).hexdigest()[:16] for rule in rules
    }
