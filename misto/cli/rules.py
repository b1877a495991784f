"""`misto rules`: run, check and list them."""

from __future__ import annotations

import os
import socket

import typer

from misto.cli import rules_backtest, rules_explain, rules_files
from misto.service import health_server, set_up_logging, stop_on_signals, tune_collector
from misto.settings import Settings
from rules.loader import rules_in_force
from rules.service import RulesConfig, RulesService


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="The rules that raise alerts.", no_args_is_help=True)
    group.command("run")(run)
    rules_files.register(group)
    rules_explain.register(group)
    rules_backtest.register(group)
    app.add_typer(group, name="rules")


def run() -> None:
    """Judge readings and raise alerts until stopped."""
    settings = Settings()
    set_up_logging(settings.log_level)
    rules = rules_in_force(settings.rules_dir, settings.time_zone)
    stop = stop_on_signals()
    worker = settings.rules_worker or f"{socket.gethostname()}:{os.getpid()}"
    config = RulesConfig(settings.database_url, rules, settings.time_zone, worker, judge_history=settings.judge_history)
    service = RulesService(config, stop)
    tune_collector()
    with health_server(settings.metrics_host, settings.rules_metrics_port, service.health):
        service.run()
