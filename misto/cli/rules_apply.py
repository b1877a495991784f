"""`misto rules apply` and `versions`: a change of rules on a running system."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from psycopg import Connection

from catalogue.errors import FileProblems
from misto.rules_change import RuleChange, preview
from misto.settings import Settings
from rules.applied import take
from rules.errors import RulesError
from rules.loader import over_shipped, own_files, rules_of_files, shipped_rules
from rules.model import Rule
from rules.selftest import failures
from rules.words import local
from store import rules_applied, rules_leases
from store.connection import connect
from store.migrate import check_schema
from store.rules_applied import AppliedVersion

#: A change that opens more alerts at once is asked about.
MOST_OPENED = 20

_WORDS = {"new": "new", "changed": "changed", "texts": "other texts", "gone": "gone"}


def register(group: typer.Typer) -> None:
    """Add the commands of this module."""
    group.command("apply")(apply)
    group.command("versions")(versions)


def apply(
    author: Annotated[str, typer.Option(help="who makes the change; else the user of this machine")] = "",
    note: Annotated[str, typer.Option(help="why, for those who look at it later")] = "",
    version: Annotated[int | None, typer.Option(min=1, help="go back to the own rules of this version")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help=f"also if more than {MOST_OPENED} alerts would open, or no own rule is left")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False,
) -> None:
    """Put the files of MISTO_RULES_DIR in force on the running system: checked, tested and previewed first.

    Running workers take the new version within seconds; what is not changed keeps its state. A mistake changes nothing.
    """
    settings = Settings()
    with connect(settings.database_url, service="rules-apply") as connection:
        check_schema(connection, writes=not dry_run)
        known = rules_applied.versions(connection)
        before = take(connection, shipped_rules, settings.time_zone)
        if version is not None:
            files = dict(_version(known, version).files)
            note = note or f"back to version {version}"
        elif settings.rules_dir is None:
            raise RulesError("MISTO_RULES_DIR names no folder with own rules; set it, or go back with --version")
        else:
            files = own_files(settings.rules_dir, settings.time_zone)
        if known and dict(known[0].files) == files:
            print(f"nothing is changed: version {known[0].version} has these rules already")
            return
        after = over_shipped(shipped_rules, files, settings.time_zone)
        _test(after)
        changes = preview(connection, before.rules, after)
        connection.commit()
        _show(changes)
        if dry_run:
            print("nothing was applied")
            return
        if not yes:
            _ask(sum(change.opens for change in changes), emptied=bool(known and known[0].files and not files))
        number = _record(connection, author or _user(), note, files, before.newest)
    print(f"version {number} is applied; `misto rules apply --version {before.version}` goes back" if before.version
          else f"version {number} is applied")  # fmt: skip


def _version(known: Sequence[AppliedVersion], number: int) -> AppliedVersion:
    for one in known:
        if one.version == number:
            return one
    raise RulesError(f"there is no version {number}; `misto rules versions` lists them")


def _test(rules: Sequence[Rule]) -> None:
    told = [text for rule in rules for text in failures(rule)]
    if told:
        raise RulesError("\n".join([*told, "nothing was applied: a rule's own test fails"]))


def _show(changes: Sequence[RuleChange]) -> None:
    width = max((len(change.rule_id) for change in changes), default=0)
    for change in changes:
        figures = f"  opens {change.opens}, closes {change.closes}, keeps {change.keeps}"
        print(f"{change.rule_id:<{width}}  {_WORDS[change.kind]:<11}{'' if change.kind == 'texts' else figures}")
    opens, closes = sum(change.opens for change in changes), sum(change.closes for change in changes)
    print(f"{len(changes)} rules are changed; by the stored readings this opens {opens} alerts and closes {closes}")


def _ask(opens: int, *, emptied: bool) -> None:
    """Ask before a flood, and before all own rules go: a folder that is not mounted is empty too."""
    if opens > MOST_OPENED:
        what = f"{opens} alerts would open at once"
    elif emptied:
        what = "no own rule would be left"
    else:
        return
    if not sys.stdin.isatty():
        raise RulesError(f"nothing was applied: {what}; with --yes it is")
    if not typer.confirm(f"{what[0].upper()}{what[1:]}. Apply?"):
        raise RulesError("nothing was applied")


def _record(connection: Connection[Any], author: str, note: str, files: Mapping[str, str], seen: int) -> int:
    """Record the version, unless somebody has applied another since the preview."""
    with connection.transaction():
        rules_leases.lock_rule_set(connection)
        newest = rules_applied.newest(connection)
        if newest != seen:
            raise RulesError(f"nothing was applied: version {newest} was applied meanwhile; look at it and try again")
        return rules_applied.record(connection, author, note, files)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def versions(
    number: Annotated[int | None, typer.Argument(help="show the files of this version")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="everything, for programs")] = False,
) -> None:
    """List the versions of the city's own rules, newest first: the first one is in force. With a number, its files."""
    settings = Settings()
    with connect(settings.database_url, service="rules-apply") as connection:
        check_schema(connection)
        known = rules_applied.versions(connection)
    if number is not None:
        known = [_version(known, number)]
    if as_json:
        print(json.dumps([_plain(one) for one in known], indent=1, ensure_ascii=False))
        return
    if not known:
        print("nothing has been applied yet; the first start of `misto rules run` records version 1")
    zone = ZoneInfo(settings.time_zone)
    for one in known:
        rules = f"{_count(one)} own rules"
        at = local(round(one.applied_at.timestamp() * 1e6), zone)
        print(f"{one.version:>4}  {at}  {one.author}: {one.note or 'no note'} ({rules})")
        if number is not None:
            for name, text in one.files.items():
                print(f"\n# {name}\n{text.rstrip()}")


def _count(one: AppliedVersion) -> str:
    try:
        return str(len(rules_of_files(one.files)))
    except FileProblems:
        return "unreadable"


def _plain(one: AppliedVersion) -> dict[str, Any]:
    return {
        "version": one.version,
        "applied_at": one.applied_at.isoformat(),
        "author": one.author,
        "note": one.note,
        "files": dict(one.files),
    }
