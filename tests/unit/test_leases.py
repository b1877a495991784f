"""Shares and rule sets, without a database: whoever comes, goes or stands still, no two write for the same points."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.yamlfile import parse_yaml
from rules.leases import Partition, Plan, View, Worker, groups, hash_of, plan, standing
from rules.loader import load_documents, shipped_rules
from store.reading_log import Position

T0 = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass
class Member:
    """A worker as it sees itself: what it believes to hold, and a plan that it has not carried out yet."""

    me: Worker
    lives: bool = True
    held: dict[int, int] = field(default_factory=dict)
    planned: Plan | None = None


class Table:
    """The table in memory, with the rules that the database keeps: who does not know the token changes nothing."""

    def __init__(self, count: int) -> None:
        self.partitions = [Partition(number, None, 0, Position(0, 0)) for number in range(count)]
        self.rule_sets: list[tuple[str, datetime]] = []
        self.members: list[Member] = []
        self.wrote: dict[tuple[int, int], int] = {}
        self.now = T0

    def join(self, rules_hash: str) -> None:
        self.now += timedelta(seconds=1)
        self.members.append(Member(Worker(len(self.members) + 1, rules_hash, self.now)))

    def view(self) -> View:
        workers = [member.me for member in self.members if member.lives]
        return View(workers, list(self.partitions), list(self.rule_sets))

    def look(self, member: Member) -> None:
        """Look at the table and plan, as `tend` does before it writes."""
        self.now += timedelta(seconds=1)
        if standing(self.view(), member.me) == "leads":
            self.rule_sets = [one for one in self.rule_sets if one[0] != member.me.rules_hash]
            self.rule_sets.insert(0, (member.me.rules_hash, self.now))
            self.partitions = [one._replace(holder=None, token=one.token + 1) for one in self.partitions]
        member.planned = plan(self.view(), member.me)

    def carry_out(self, member: Member) -> None:
        if member.planned is None:
            return
        for holder, wanted in ((None, member.planned.release), (member.me.worker_id, member.planned.take)):
            for one in wanted:
                now = self.partitions[one.number]
                if now.token == one.token:
                    self.partitions[one.number] = now._replace(holder=holder, token=now.token + 1)
        member.planned = None
        member.held = {one.number: one.token for one in self.partitions if one.holder == member.me.worker_id}

    def write(self, member: Member) -> None:
        for number, token in member.held.items():
            if self.partitions[number].token == token:
                assert self.partitions[number].holder == member.me.worker_id
                assert self.wrote.setdefault((number, token), member.me.worker_id) == member.me.worker_id

    def settle(self) -> None:
        for _ in range(4):
            for member in self.members:
                if member.lives:
                    self.look(member)
                    self.carry_out(member)

    def shares(self) -> list[int]:
        return sorted(Counter(one.holder for one in self.partitions if one.holder is not None).values())


actions = st.lists(
    st.tuples(st.sampled_from(["join", "die", "pause", "wake", "look", "carry out", "write"]), st.integers(0, 9)),
    max_size=60,
)


@given(count=st.integers(1, 64), todo=actions, sets=st.lists(st.sampled_from("abc"), min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_no_two_write_and_all_is_shared_in_the_end(count: int, todo: list[tuple[str, int]], sets: list[str]) -> None:
    table = Table(count)
    table.join(sets[0])
    asleep: set[int] = set()
    for action, who in todo:
        if action == "join":
            table.join(sets[who % len(sets)])
            continue
        member = table.members[who % len(table.members)]
        match action:
            case "die":
                member.lives, member.held, member.planned = False, {}, None
            case "pause":
                # Taken for dead, but it goes on with what it believes.
                member.lives = False
                asleep.add(member.me.worker_id)
            case "wake" if member.me.worker_id in asleep:
                member.lives = True
            case "look" if member.lives:
                table.look(member)
            case "carry out":
                table.carry_out(member)
            case "write":
                table.write(member)
    table.settle()
    for member in table.members:
        table.write(member)
    alive = [member for member in table.members if member.lives]
    in_force = table.rule_sets[0][0] if table.rule_sets else None
    working = [member for member in alive if member.me.rules_hash == in_force]
    shares = table.shares()
    if working:
        assert {one.holder for one in table.partitions} <= {member.me.worker_id for member in working}
        assert sum(shares) == count
        assert len(shares) == min(len(working), count)
        assert shares[-1] - shares[0] <= 1
    else:
        assert not any(standing(table.view(), member.me) == "works" for member in alive)


def test_a_partition_that_two_plan_to_take_goes_to_one() -> None:
    table = Table(4)
    table.join("a")
    table.join("a")
    one, other = table.members
    table.look(one)
    one.planned = plan(View([one.me], table.partitions, table.rule_sets), one.me)
    other.planned = plan(View([other.me], table.partitions, table.rule_sets), other.me)
    table.carry_out(one)
    table.carry_out(other)
    assert len(one.held) == 4
    assert other.held == {}


def test_a_newcomer_gets_its_share_and_no_more_moves_than_that() -> None:
    table = Table(64)
    for number in range(1, 11):
        table.join("a")
        before = [one.holder for one in table.partitions]
        table.settle()
        after = [one.holder for one in table.partitions]
        moved = sum(was is not None and was != now for was, now in zip(before, after, strict=True))
        assert moved == sum(holder == number for holder in after) or number == 1
        assert len(table.shares()) == number
        assert table.shares()[-1] - table.shares()[0] <= 1


def at(seconds: int) -> datetime:
    return T0 + timedelta(seconds=seconds)


OLD, NEW = ("old", at(0)), ("new", at(100))


@pytest.mark.parametrize(
    ("me", "others", "sets", "expected"),
    [
        (Worker(1, "old", at(1)), [], [], "leads"),
        (Worker(1, "old", at(1)), [], [OLD], "works"),
        (Worker(2, "new", at(99)), [Worker(1, "old", at(1))], [OLD], "leads"),
        (Worker(1, "old", at(1)), [Worker(2, "new", at(99))], [NEW, OLD], "waits"),
        # The worker with the newer rules has died: one that was there before does not undo the upgrade.
        (Worker(1, "old", at(1)), [], [NEW, OLD], "waits"),
        # Nor does one that is started while others have the newer rules.
        (Worker(3, "old", at(200)), [Worker(2, "new", at(99))], [NEW, OLD], "waits"),
        # Started afterwards and alone: somebody wants the old files back.
        (Worker(3, "old", at(200)), [Worker(1, "old", at(1))], [NEW, OLD], "leads"),
    ],
)
def test_which_rules_are_in_force(
    me: Worker, others: list[Worker], sets: list[tuple[str, datetime]], expected: str
) -> None:
    assert standing(View([me, *others], [], sets), me) == expected


def test_partitions_are_judged_by_their_place_the_hindmost_first() -> None:
    chance = random.Random(1)
    held = {n: Partition(n, 1, 1, Position(chance.randrange(3), chance.randrange(3))) for n in range(64)}
    there = groups(held)
    assert sorted(one.number for _, partitions in there for one in partitions) == list(range(64))
    assert all(earlier[0] < later[0] for earlier, later in pairwise(there))


def test_the_hash_of_the_rules_goes_by_what_they_decide() -> None:
    rules = shipped_rules()
    assert hash_of(rules) == hash_of(rules[::-1])
    text = "version: 1\nrules:\n  - {id: one, title: {en: T, uk: Т}, sentence: {en: S, uk: Р}, advice: {en: A, uk: П}, "

    def one(rest: str) -> str:
        return hash_of(load_documents([parse_yaml(text + rest, "test.yaml")]))

    when = "when: {threshold: {metric: fill_level_pct, above: 80}}"
    assert one(f"source: here, {when}}}") == one(f"source: there, {when}}}")
    assert one(f"source: here, {when}}}") != one(f"source: here, for: 5m, {when}}}")
    assert hash_of(rules[1:]) != hash_of(rules)
