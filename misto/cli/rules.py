"""`misto rules`: run, check and list them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from misto.service import health_server, set_up_logging, stop_on_signals, tune_collector
from misto.settings import Settings
from rules.loader import read_rules, rules_in_force
from rules.model import Rule
from rules.selftest import failures
from rules.service import RulesConfig, RulesService


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="The rules that raise alerts.", no_args_is_help=True)
    group.command("run")(run)
    group.command("check")(check)
    group.command("list")(list_rules)
    app.add_typer(group, name="rules")


def run() -> None:
    """Judge readings and raise alerts until stopped."""
    settings = Settings()
    set_up_logging(settings.log_level)
    rules = rules_in_force(settings.rules_dir)
    stop = stop_on_signals()
    service = RulesService(
        RulesConfig(settings.database_url, rules, settings.time_zone, judge_history=settings.judge_history), stop
    )
    tune_collector()
    with health_server(settings.metrics_host, settings.rules_metrics_port, service.health):
        service.run()


def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="rule files or folders; without any, the rules in force")
    ] = None,
) -> None:
    """Check rule files and run their own tests."""
    rules = read_rules(paths) if paths else rules_in_force(Settings().rules_dir)
    told = [failure for rule in rules for failure in failures(rule)]
    for failure in told:
        print(failure)
    tests = sum(len(rule.tests) for rule in rules)
    print(f"{len(rules)} rules, {tests} tests, {len(told)} failed")
    if told:
        raise typer.Exit(1)


def list_rules() -> None:
    """List the rules in force."""
    for rule in rules_in_force(Settings().rules_dir):
        print(f"{rule.id:<24} {rule.severity:<9} {_kinds(rule):<22} {rule.source}")


def _kinds(rule: Rule) -> str:
    return ", ".join(rule.scope.kind) or "every point"
