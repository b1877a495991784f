"""`misto rules`: run, check, apply and list them."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import typer

from catalogue.errors import FileProblems
from misto.cli import rules_apply, rules_backtest, rules_explain, rules_files
from misto.service import health_server, set_up_logging, stop_on_signals, tune_collector
from misto.settings import Settings
from rules.loader import own_files, shipped_rules
from rules.service import RulesConfig, RulesService

log = logging.getLogger("misto.rules")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="The rules that raise alerts.", no_args_is_help=True)
    group.command("run")(run)
    rules_files.register(group)
    rules_apply.register(group)
    rules_explain.register(group)
    rules_backtest.register(group)
    app.add_typer(group, name="rules")


def run() -> None:
    """Judge readings and raise alerts until stopped.

    By the newest version of the rules that `misto rules apply` recorded; the first start takes the files as they are.
    """
    settings = Settings()
    set_up_logging(settings.log_level)
    stop = stop_on_signals()
    worker = settings.rules_worker or f"{socket.gethostname()}:{os.getpid()}"
    config = RulesConfig(
        settings.database_url, shipped_rules, settings.time_zone, worker, judge_history=settings.judge_history,
        own=_own(settings.rules_dir, settings.time_zone),
    )  # fmt: skip
    service = RulesService(config, stop)
    tune_collector()
    with health_server(settings.metrics_host, settings.rules_metrics_port, service.health):
        service.run()


def _own(folder: Path | None, time_zone: str) -> dict[str, str] | None:
    """The city's own files. Broken ones are told and left out: what was applied before goes on."""
    if folder is None:
        return None
    try:
        return own_files(folder, time_zone)
    except FileProblems as error:
        for problem in error.problems:
            log.error("%s", problem)
        log.error("the own rules have mistakes and are not taken; mend them, then `misto rules apply`")
        return None
