"""A rule as it was kept with the alerts that it raised, as a rule again. Pure.

What is kept has lengths of time in seconds and windows as pairs of times, where a file needs `30m` and `"02:00-05:00"`.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from rules.errors import RulesError
from rules.model import Rule


def rule_of(definition: dict[str, Any]) -> Rule:
    """The rule. Raises `RulesError` if this version of Misto does not know its language any more."""
    tree = deepcopy(definition)
    try:
        return Rule.model_validate(tree)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_context=False):
            _rewrite(tree, item["loc"])
    try:
        return Rule.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RulesError(
            f"the rule {definition.get('id')!r} was kept by another version of Misto and cannot be read: "
            f"{place}: {first['msg']}"
        ) from None


def _rewrite(tree: Any, location: tuple[int | str, ...]) -> None:
    """Write the value at a place as a file would."""
    for step in location[:-1]:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return
    match tree.get(location[-1]) if isinstance(tree, dict) else None:
        case int() | float() as seconds:
            tree[location[-1]] = f"{seconds}s"
        case [str() as start, str() as end]:
            tree[location[-1]] = f"{start}-{end}"
