"""Named SQL: `store/sql/<group>.sql` holds statements, each under a line `-- name: its_name`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


@cache
def _group(group: str) -> dict[str, str]:
    text = files("store").joinpath("sql", f"{group}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"store/sql/{group}.sql names a statement twice")
    return {name: body.strip() for name, body in zip(names, bodies, strict=True)}


def sql(name: str) -> LiteralString:
    """The statement `group.its_name`, for psycopg (`%(parameter)s` placeholders). KeyError if there is none."""
    group, _, statement = name.partition(".")
    return _group(group)[statement]
