"""`misto doctor`."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from misto.doctor import examine
from misto.settings import Settings

_MARKS = {"ok": "ok     ", "warning": "warning", "wrong": "WRONG  "}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("doctor")(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """Check settings, database, broker, clock, inventory and services, and say what to do about what is wrong.

    Exit status 1 if anything is wrong.
    """
    findings = []
    for finding in examine(Settings(), os.environ):
        findings.append(finding)
        if not as_json:
            print(f"{_MARKS[finding.level]}  {finding.subject}: {finding.text}")
            if finding.level != "ok" and finding.remedy:
                print(f"         → {finding.remedy}")
    if as_json:
        print(json.dumps([finding.__dict__ for finding in findings], indent=1, ensure_ascii=False))
    if any(finding.level == "wrong" for finding in findings):
        raise typer.Exit(1)
