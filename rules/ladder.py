"""Several levels as one alert, whose severity moves up and down while it is open. Pure.

Each level is judged by itself, with its own condition and `for`. The alert is as severe as the highest level that
holds; while one holds, those beneath it need no `for`: an open alert goes down to whatever is still true. It ends when
none holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from rules.judge import FIRING, INACTIVE, PENDING, RECOVERING, Advanced, Core, Judge, Reading, Transition

RAISED = "a higher level holds"
LOWERED = "only a lower level still holds"


class Ladder:
    """Judges of the levels of a rule, the least severe first; used as a `Judge`."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        self._judges = tuple(judges)
        self._watching = tuple(judge.watched.metric_ids() for judge in judges)
        self.ticks = any(judge.ticks for judge in judges)

    # condition: (level that holds or -1, when the last alert ended, the core of each level)
    def initial(self) -> Core:
        """State before anything is known."""
        return Core(INACTIVE, (-1, 0, tuple(judge.initial() for judge in self._judges)), 0, 0, 0, 0)

    def gap_us(self, interval_s: float) -> int:
        """See `Judge`; all levels have the rule's."""
        return self._judges[0].gap_us(interval_s)

    def level(self, core: Core) -> int:
        """Which level holds."""
        held: int = core.condition[0]
        return max(held, 0)

    def shown(self, core: Core) -> tuple[float | None, float | None]:
        """(value, limit) for the sentence, of the level that holds."""
        level, cores = self.level(core), core.condition[2]
        return self._judges[level].shown(cores[level])

    def advance(self, interval_s: float, core: Core, reading: Reading) -> Advanced:
        """The next state in order of event time."""
        made: tuple[Transition, ...] = ()
        if self.ticks:
            core, made = self.clock(interval_s, core, reading.time_us)
        reason = ""
        cores = list(core.condition[2])
        for place, judge in enumerate(self._judges):
            if reading.metric_id in self._watching[place]:
                cores[place], told = judge.advance(interval_s, cores[place], reading)
                reason = told[-1].reason if told else reason
        core, more = self._settled(core, tuple(cores), reading.time_us, reason)
        return core._replace(last_us=reading.time_us), made + more

    def next_us(self, interval_s: float, core: Core) -> int | None:
        """When the clock has something to decide next, if no reading comes before."""
        times = (judge.next_us(interval_s, each) for judge, each in zip(self._judges, core.condition[2], strict=True))
        return min((time_us for time_us in times if time_us is not None), default=None)

    def clock(self, interval_s: float, core: Core, now_us: int) -> Advanced:
        """What the clock has decided until now, in the order in which it was due."""
        made: tuple[Transition, ...] = ()
        while (next_us := self.next_us(interval_s, core)) is not None and next_us <= now_us:
            moved, reason = [], ""
            for judge, each in zip(self._judges, core.condition[2], strict=True):
                after, told = judge.clock(interval_s, each, next_us)
                moved.append(after)
                reason = told[-1].reason if told else reason
            core, more = self._settled(core, tuple(moved), next_us, reason)
            made += more
        return core, made

    def _settled(self, core: Core, cores: tuple[Core, ...], event_us: int, reason: str) -> Advanced:
        """The alert that follows from its levels; `reason`: what the last of them said."""
        held, ended_us, _ = core.condition
        top = max((place for place, each in enumerate(cores) if _holds(each)), default=-1)
        if any(each.phase is PENDING for each in cores[: max(top, 0)]):
            cores = tuple(
                each._replace(phase=FIRING, breached_us=each.since_us)
                if each.phase is PENDING and place < top
                else each
                for place, each in enumerate(cores)
            )
        if top < 0:
            phase = PENDING if any(each.phase is PENDING for each in cores) else INACTIVE
        else:
            phase = FIRING if any(each.phase is FIRING for each in cores) else RECOVERING
        if top == held:
            return core._replace(phase=phase, condition=(top, ended_us, cores)), ()
        told = top if top >= 0 else held
        shown, limit = self._judges[told].shown(cores[told])
        breached_us = core.breached_us
        if held < 0:
            # The breach of an alert lies after the end of the one before, whichever level it began with.
            breached_us = max(min(each.since_us for each in cores if _holds(each)), ended_us)
            made = Transition("fires", breached_us, event_us, reason, shown, limit, top)
        elif top < 0:
            ended_us = event_us
            made = Transition("resolves", breached_us, event_us, reason, shown, limit, held)
        elif top > held:
            made = Transition("raised", breached_us, event_us, RAISED, shown, limit, top)
        else:
            made = Transition("lowered", breached_us, event_us, LOWERED, shown, limit, top)
        return core._replace(phase=phase, condition=(top, ended_us, cores), breached_us=breached_us), (made,)


def _holds(core: Core) -> bool:
    return core.phase is FIRING or core.phase is RECOVERING
