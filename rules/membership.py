"""One worker among others: it gives signs of life, takes its share of the partitions, and puts its rules in force."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection

from rules.applied import Taken, digests
from rules.leases import Partition, Standing, View, Worker, hash_of, plan, standing
from rules.model import Rule
from store import alerts, rules_applied, rules_leases
from store.connection import connect
from store.errors import StoreError

log = logging.getLogger("misto.rules")

_WAITS = "newer rules are in force than those of this worker; it waits until it is restarted with them"


class Membership:
    """What this process holds changes only in `tend`. `version`: whose rules these are; `newest`: the newest that there
    was when they were chosen. Once there is a newer one, it is `outdated` and holds nothing."""

    def __init__(
        self, url: str, name: str, rules: Sequence[Rule], lease_s: float, version: int = 0, newest: int = 0
    ) -> None:
        self._url = url
        self._name = name
        self._rules = rules
        self._version = version
        self._newest = newest
        self._hash = hash_of(rules, version)
        self.outdated = False
        self._lease_s = lease_s
        self._me: Worker | None = None
        self._started_at: datetime | None = None
        self._standing: Standing = "works"

    def with_rules(self, taken: Taken) -> Membership:
        """The same worker with other rules."""
        other = Membership(self._url, self._name, taken.rules, self._lease_s, taken.version, taken.newest)
        other._started_at = self._started_at
        return other

    @property
    def waits(self) -> str:
        """Why nothing is judged here, or nothing."""
        return _WAITS if self._standing == "waits" else ""

    @contextmanager
    def on(self, connection: Connection[Any]) -> Iterator[None]:
        """Live on this connection. What is held at a clean end is free at once."""
        with connection.transaction():
            for rule in self._rules:
                alerts.save_rule(connection, rule.id, rule.hash, rule.definition)
            self._begin(connection)
        ended = threading.Event()
        thread = threading.Thread(target=self._give_signs, args=(ended,), name="lease", daemon=True)
        thread.start()
        try:
            yield
            connection.rollback()
            assert self._me is not None
            with connection.transaction():
                rules_leases.leave(connection, self._me.worker_id)
        finally:
            ended.set()
            thread.join(1)

    def tend(self, connection: Connection[Any]) -> dict[int, Partition]:
        """Give a sign of life, give back and take partitions; returns what is held now, by number."""
        with connection.transaction():
            assert self._me is not None
            if not rules_leases.renew(connection, self._me.worker_id, self._lease_s):
                self._begin(connection)
            rules_leases.bury(connection, self._lease_s)
        me = self._me
        with connection.transaction():
            self.outdated = rules_applied.newest(connection) != self._newest
            if self.outdated:
                return {}
            view = _view(connection)
            if standing(view, me) == "leads":
                view = self._lead(connection, me)
            todo = plan(view, me)
            for holder, partitions in ((None, todo.release), (me.worker_id, todo.take)):
                if partitions:
                    rules_leases.change_hands(connection, holder, [(one.number, one.token) for one in partitions])
            if todo.release or todo.take:
                view = _view(connection)
        self._tell(standing(view, me))
        return {one.number: one for one in view.partitions if one.holder == me.worker_id}

    def _begin(self, connection: Connection[Any]) -> None:
        worker_id, started_at = rules_leases.register(
            connection, self._name, self._hash, self._lease_s, self._started_at
        )
        self._started_at = started_at
        self._me = Worker(worker_id, self._hash, started_at)

    def _lead(self, connection: Connection[Any], me: Worker) -> View:
        """Put our rules in force, unless newer ones were put in force or applied just now."""
        rules_leases.lock_rule_set(connection)
        if rules_applied.newest(connection) == self._newest and standing(_view(connection), me) == "leads":
            rules_leases.put_in_force(connection, self._hash)
            if self._version:
                rules_applied.describe_set(connection, self._hash, self._version, digests(self._rules))
            closed = alerts.drop_states(connection, [rule.id for rule in self._rules])
            log.info("the %d rules of this worker are in force now", len(self._rules))
            if closed:
                log.info("%d open alerts closed, for their rules are no longer in force", closed)
        return _view(connection)

    def _tell(self, now: Standing) -> None:
        if now != self._standing and now == "waits":
            log.warning(_WAITS)
        self._standing = now

    def _give_signs(self, ended: threading.Event) -> None:
        """The lease must not end while a long step is worked out; so it is renewed beside, over a connection of its
        own."""
        connection: Connection[Any] | None = None
        while not ended.wait(self._lease_s / 3):
            try:
                if connection is None:
                    connection = connect(self._url, service="rules-lease", autocommit=True, timeout_s=2)
                assert self._me is not None
                rules_leases.renew(connection, self._me.worker_id, self._lease_s)
            except (StoreError, psycopg.Error):
                # The service itself tells of a database that is away.
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()


def _view(connection: Connection[Any]) -> View:
    return View(
        [Worker(*row) for row in rules_leases.workers(connection)],
        [Partition(*row) for row in rules_leases.partitions(connection)],
        rules_leases.rule_sets(connection),
    )
