"""While Misto itself could not receive, silence accuses nobody."""

from __future__ import annotations

from rules.engine import Engine
from rules.loader import shipped_rules
from rules.step import Seen, step
from store.alerts import PointInfo

HOUR_US = 3_600_000_000
BEGIN_US = 1_772_400_000_000_000
POINT = PointInfo(
    1, "bin-1", "bin", 1800.0, "mixed", {}, "Bin", "Bin", "stand", "Stand", "Stand", None, None, None, None, None, None, None
)  # fmt: skip


def heard() -> Engine:
    """A device that was heard at the beginning, and reports every half hour."""
    engine = Engine([rule for rule in shipped_rules() if rule.id == "device-silent"])
    engine.set_points([POINT], {})
    for machine in engine.machines.values():
        machine.state, _ = step(machine.rule, POINT.interval_s, machine.state, Seen(BEGIN_US))
    return engine


def test_a_silent_device_is_told_of() -> None:
    engine = heard()
    assert engine.tick(BEGIN_US + HOUR_US, [], False) == []
    assert [one.transition.kind for one in engine.tick(BEGIN_US + 3 * HOUR_US, [], False)] == ["fires"]


def test_the_time_of_an_outage_and_one_more_interval_do_not_count() -> None:
    engine = heard()
    outage = (BEGIN_US + HOUR_US, BEGIN_US + 6 * HOUR_US)
    assert engine.tick(outage[1] + HOUR_US, [outage], False) == []
    assert [one.transition.kind for one in engine.tick(outage[1] + 2 * HOUR_US, [outage], False)] == ["fires"]


def test_an_outage_before_the_device_was_heard_changes_nothing() -> None:
    outage = (BEGIN_US - 6 * HOUR_US, BEGIN_US)
    assert len(heard().tick(BEGIN_US + 3 * HOUR_US, [outage], False)) == 1


def test_while_ingest_is_not_heard_of_nobody_is_silent() -> None:
    engine = heard()
    assert engine.tick(BEGIN_US + 30 * HOUR_US, [], True) == []
