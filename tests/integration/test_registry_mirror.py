"""What ingest keeps of the registry, and the rules of points, is what a fresh start would read, whatever changed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from rules.engine import Engine
from rules.loader import shipped_rules
from store.alerts import load_points
from store.queries import sql
from store.registry import RegistryMirror, load_registry, register_unclaimed
from tests.cities import bins, building, found

Connect = Callable[[], psycopg.Connection[Any]]


def sites(chance: random.Random) -> list[dict[str, Any]]:
    """Some city: bins come and go, a building changes its use, devices wander."""
    stand = bins(chance.randrange(1, 5))
    for point in stand["points"]:
        if chance.random() < 0.3:
            point["bin"]["empty_mm"] = chance.randrange(1000, 2000)
        if chance.random() < 0.3:
            point["devices"] = [{"address": f"other-{point['id']}"}]
        if chance.random() < 0.2:
            point["devices"] = []
    if chance.random() < 0.5:
        return [stand]
    return [stand, building() | {"use": chance.choice(["school", "kindergarten"])}]


@pytest.mark.parametrize("seed", range(4))
def test_the_mirror_is_what_would_be_read(
    database: psycopg.Connection[Any], new_connection: Connect, seed: int
) -> None:
    chance = random.Random(seed)
    mirror, engine = RegistryMirror(), Engine(shipped_rules())
    slow = new_connection()
    for step in range(20):
        some = "(SELECT assignment_id FROM assignment ORDER BY hashtext(assignment_id || %s) LIMIT 1)"
        match chance.randrange(7):
            case 0:
                register_unclaimed(database, f"dev-{chance.randrange(6)}", profile=None, kind="bin", guess={})
            case 1:
                # A transaction that is still open when the mirror looks.
                slow.execute("INSERT INTO device (address, state) VALUES (%s, 'claimed')", [f"slow-{step}"])
                mirror.refresh(database)
                slow.commit()
            case 2:
                database.execute(f"UPDATE assignment SET valid_to = now() WHERE assignment_id = {some}", [str(step)])  # type: ignore[arg-type]
            case 3:
                row = database.execute(some.strip("()"), [str(step)]).fetchone()  # type: ignore[arg-type]
                database.execute(sql("registry.drop_assignment"), {"row_id": row[0] if row else 0})
            case 4:
                database.execute("UPDATE point SET bin_empty_mm = bin_empty_mm + 1")
            case _:
                found(database, *sites(chance))
        mirror.refresh(database)
        fresh = load_registry(database)
        assert mirror.devices == fresh
        anew = engine.set_points(load_points(database), {})
        other = Engine(shipped_rules())
        other.set_points(load_points(database), {})
        assert engine.machines.keys() == other.machines.keys()
        assert {key: machine.point for key, machine in engine.machines.items()} == {
            key: machine.point for key, machine in other.machines.items()
        }
        assert all(engine.machines[machine.rule.id, machine.point.point_id] is machine for machine in anew)
        for mine, its in ((engine._by_reading, other._by_reading), (engine._by_point, other._by_point)):
            assert {key: [m.rule.id for m in value] for key, value in mine.items()} == {  # type: ignore[attr-defined]
                key: [m.rule.id for m in value]
                for key, value in its.items()  # type: ignore[attr-defined]
            }
        for mine, its in ((engine._by_clock, other._by_clock), (engine._silence, other._silence)):
            assert sorted((m.rule.id, m.point.point_id) for m in mine) == sorted(  # type: ignore[attr-defined]
                (m.rule.id, m.point.point_id)
                for m in its  # type: ignore[attr-defined]
            )
