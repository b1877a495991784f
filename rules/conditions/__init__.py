"""Condition kinds, a file each: a module that defines a `Condition` (rules.conditions.base) is a kind of its name."""

from rules.conditions.base import Condition
from rules.conditions.tree import Node

__all__ = ["Condition", "Node"]
