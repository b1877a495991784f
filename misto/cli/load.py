"""`misto simulate run --load`: as many messages as the broker takes."""

from __future__ import annotations

import sys
import threading

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskProgressColumn, TextColumn

from misto.cli.keys import pausable
from misto.settings import Settings
from simulators.load import Load, LoadConfig, Summary


def run_load(settings: Settings, devices: int, count: int | None, rate_per_s: float, stop: threading.Event) -> int:
    """Publish as `devices` meters until `count` or `stop`; returns the exit status, 1 if not all is acknowledged.

    `rate_per_s` 0 is as fast as the broker takes it. The space bar, or SIGUSR1, pauses and resumes. To be called in the
    main thread. Raises `SimulatorError`, for example if the broker refuses the login.
    """
    with _shown(count) as bar:
        task = bar.add_task("", total=count)

        def progress(now: Summary) -> None:
            told = f"{now.sent:,} sent, {now.acknowledged:,} acknowledged, {now.rate_per_s:,.0f} a second"
            if now.refused:
                told += f", {now.refused:,} refused"
            if load.paused.is_set():
                told += ", paused"
            if now.state != "connected":
                told += f"; {now.state}"
            bar.update(task, completed=now.acknowledged, description=told)

        config = LoadConfig(settings.mqtt_url, devices, count, rate_per_s, ca_file=settings.mqtt_ca_file)
        load = Load(config, on_progress=progress)
        with pausable(load.paused):
            done = load.run(stop)
    print(_in_words(done))
    return 0 if done.acknowledged == done.sent else 1


def _shown(count: int | None) -> Progress:
    """A bar, or a running line where there is no end; in a log nothing."""
    columns: list[ProgressColumn] = [SpinnerColumn()] if count is None else [BarColumn(), TaskProgressColumn()]
    return Progress(
        *columns,
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def _in_words(done: Summary) -> str:
    text = (
        f"sent {done.sent:,} messages, {done.acknowledged:,} acknowledged by the broker in {done.seconds:.1f} s: "
        f"{done.rate_per_s:,.0f} a second"
    )
    if done.refused:
        text += f"; {done.refused:,} refused"
    if done.repeated:
        text += f"; {done.repeated:,} sent again after a reconnect"
    return text
