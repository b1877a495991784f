"""Condition kinds, a file each. A kind is a frozen pydantic model with `initial`, `fold`, `truth`, `metrics`."""

from rules.conditions.tree import Condition, Node

__all__ = ["Condition", "Node"]
