"""Whether a file has the columns that its mapping names."""

from __future__ import annotations

from collections.abc import Iterator

from catalogue.yamlfile import Location
from simulators.replay.mapping import OWN_COLUMN, Mapping, SiteTemplate, placeholders


def check_columns(mapping: Mapping, columns: list[str]) -> None:
    """Raise `FileProblems` if the mapping names a column that the file does not have, or has twice."""
    spec = mapping.spec
    found: list[tuple[Location, str]] = []
    has = ", ".join(repr(name) for name in columns[:30]) or "none"

    def need(location: Location, name: str) -> None:
        if columns.count(name) != 1:
            wrong = "has no column" if name not in columns else "has more than one column"
            found.append((location, f"the file {wrong} {name!r}; its columns are: {has}"))

    for name in spec.time.columns:
        need(("time", "column"), name)
    for name in placeholders(spec.device.address):
        if name != "file" and not (name == "column" and spec.device.from_columns is not None):
            need(("device", "address"), name)
    for number, condition in enumerate(spec.where):
        need(("where", number, "column"), condition.column)
    for r, reading in enumerate(spec.readings):
        for v, value in enumerate(reading.values):
            if value.column != OWN_COLUMN:
                need(("readings", r, "values", v, "column"), value.column)
    if isinstance(spec.device.from_columns, list):
        for name in spec.device.from_columns:
            need(("device", "from_columns"), name)
    if spec.inventory is not None:
        site = spec.inventory.site
        for location, template in _site_templates(site):
            for name in placeholders(template):
                if name not in ("address", "file") and not (name == "column" and spec.device.from_columns):
                    need(("inventory", "site", *location), name)
    mapping.fail(found)


def _site_templates(site: SiteTemplate) -> Iterator[tuple[Location, str]]:
    yield ("id",), site.id
    for key in ("name", "address"):
        texts = getattr(site, key)
        if texts is not None:
            yield (key, "en"), texts.en
            yield (key, "uk"), texts.uk
