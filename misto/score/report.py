"""A score as a table for people, as JSON, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from misto.score.matching import Score

_RULES = (
    "rule",
    "points",
    "faults",
    "found",
    "recall",
    "alerts",
    "false",
    "precision",
    "delay median / p95",
    "false a point and month",
)
_FAULTS = ("fault", "all", "noticeable", "watched", "found", "recall", "delay median / p95", "rules")


def rule_rows(score: Score) -> list[tuple[str, ...]]:
    """A row for each rule."""
    return [
        (
            its.rule, f"{its.points:,}", f"{its.found.faults:,}", f"{its.found.found:,}", _share(its.found.recall),
            f"{its.true + its.false:,}", f"{its.false:,}", _share(its.precision),
            _delay(its.found.delay_median_h, its.found.delay_p95_h), f"{its.false_per_point_month:.4f}",
        )
        for its in score.rules
    ]  # fmt: skip


def fault_rows(score: Score) -> list[tuple[str, ...]]:
    """A row for each kind of fault."""
    return [
        (
            its.kind, f"{its.all:,}", f"{its.noticeable:,}", f"{its.found.faults:,}", f"{its.found.found:,}",
            _share(its.found.recall), _delay(its.found.delay_median_h, its.found.delay_p95_h),
            ", ".join(its.rules) or "none",
        )
        for its in score.faults
    ]  # fmt: skip


def show(score: Score, title: str, console: Console) -> None:
    """Print the tables."""
    for name, header, rows in ((title, _RULES, rule_rows(score)), ("faults", _FAULTS, fault_rows(score))):
        table = Table(title=name, title_justify="left", box=box.SIMPLE)
        for column in header:
            table.add_column(column, justify="left" if column in ("rule", "fault", "rules") else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for who, count in score.messages_per_day.items():
        console.print(f"{who}: {count:.2f} alerts a person and day", highlight=False)


def markdown(score: Score) -> str:
    """The tables in Markdown."""
    parts = [_markdown_table(_RULES, rule_rows(score)), _markdown_table(_FAULTS, fault_rows(score))]
    people = "".join(f"- {who}: {count:.2f} alerts a person and day\n" for who, count in score.messages_per_day.items())
    return "\n".join([*parts, people])


def as_json(score: Score) -> dict[str, Any]:
    """Everything, with the shares worked out."""
    content = asdict(score)
    for its, plain in zip(score.rules, content["rules"], strict=True):
        plain |= {
            "precision": its.precision,
            "recall": its.found.recall,
            "false_per_point_month": its.false_per_point_month,
        }
        plain["by_kind"] = {kind: asdict(found) | {"recall": found.recall} for kind, found in its.by_kind.items()}
    for fault, plain in zip(score.faults, content["faults"], strict=True):
        plain["recall"] = fault.found.recall
    return content


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _delay(median_h: float | None, p95_h: float | None) -> str:
    return "" if median_h is None or p95_h is None else f"{median_h:.1f} / {p95_h:.1f} h"
