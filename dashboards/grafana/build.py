"""Writes the generated JSON."""

from __future__ import annotations

from pathlib import Path

from dashboards.grafana import bins, building, city
from dashboards.grafana.kit import Page

JSON_FOLDER = Path(__file__).parent / "json"


def pages() -> list[Page]:
    """Every dashboard."""
    return [city.page(), building.page(), bins.page()]


def build(folder: Path = JSON_FOLDER) -> list[Path]:
    """Write every dashboard into `folder`; returns the files."""
    written = []
    for page in pages():
        path = folder / f"{page.uid}.json"
        path.write_text(page.json(), encoding="utf-8")
        written.append(path)
    return written
