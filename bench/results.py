"""Medians of three, and what machine they are of."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median


def machine() -> str:
    """Processor, cores, memory, system, Python."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    meminfo = Path("/proc/meminfo")
    memory = f", {int(meminfo.read_text().split()[1]) / 1e6:.0f} GB" if meminfo.exists() else ""
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{processor}, {os.cpu_count()} cores{memory}, {system}"


def of_three(measure: Callable[[], float]) -> float:
    """Median of three measurements."""
    return median(measure() for _ in range(3))


def show(what: str, value: float, unit: str, goal: float | None = None) -> None:
    """One line of the report."""
    against = f"   (goal {goal:,.0f})" if goal is not None else ""
    print(f"{what:<58} {value:>12,.0f} {unit}{against}", flush=True)
