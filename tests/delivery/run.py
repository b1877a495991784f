"""One run: the city starts, faults go by schedule in two lanes, all becomes whole, the account is settled."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg

from misto.runtime import Binaries
from store.migrate import migrate
from tests.delivery.account import Account, Published, settle_account
from tests.delivery.faults import FAULTS, PARTS, Fault, all_whole
from tests.delivery.messages import MOST_ROUNDS, Plan
from tests.delivery.world import World

_LANES = 2


@dataclass(frozen=True)
class RunConfig:
    """`seconds` is how long faults are begun; `names` are the faults, each of which comes at least once.

    `shared`: workers in a shared subscription instead of one. Without `repeat` each fault comes once.
    """

    seed: int
    seconds: float
    rate_per_s: float
    names: Sequence[str]
    shared: bool = False
    repeat: bool = True


def schedule(config: RunConfig) -> list[tuple[Fault, int]]:
    """Every fault once in an order of the seed's, and then, to fill the time, again; each with a seed of its own."""
    chance = random.Random(config.seed)
    rounds = 20 if config.repeat else 1
    order: list[str] = []
    for _ in range(rounds):
        names = list(config.names)
        chance.shuffle(names)
        order += names
    return [(FAULTS[name], chance.randrange(2**32)) for name in order]


def run(config: RunConfig, folder: Path, binaries: Binaries, say: Callable[[str], None]) -> Account:
    """Run it; `say` gets the diary. Raises AssertionError if a part does not become whole."""
    began = time.monotonic()

    def diary(text: str) -> None:
        say(f"{time.monotonic() - began:7.1f} s  {text}")

    # Three in four messages come from bins. The last faults may begin late and take their time.
    count = config.rate_per_s * (1.3 * config.seconds + 30)
    plan = Plan(config.seed, max(20, round(count * 0.75 / MOST_ROUNDS)), int(time.time()))
    with World(folder, binaries, plan, config.rate_per_s, diary, config.shared) as world:
        diary(
            f"seed {config.seed}: {plan.bins} bins, {config.rate_per_s:.0f} messages a second, "
            f"{'a shared subscription' if config.shared else 'one worker'}"
        )
        world.publisher.resume()
        time.sleep(1)
        _break_things(config, world, diary)
        world.publisher.pause()
        all_whole(world)
        diary(f"all faults are over; {len(world.publisher.acknowledged):,} messages are acknowledged")
        for worker in world.workers.values():
            worker.wait_well(60)
        world.settle(240)
        world.wait_judged(240)
        diary("everything has come in")
        for process in [*world.workers.values(), *world.rules.values()]:
            assert process.stop(60) == 0, process.log.read_text()[-3000:]
        account = _settle(world, began)
        for log in folder.glob("*.log"):
            if "Traceback" in log.read_text():
                account.wrong.append(f"{log.name} has a traceback: {log.read_text().partition('Traceback')[2][:2000]}")
        diary(str(account))
        return account


def _break_things(config: RunConfig, world: World, diary: Callable[[str], None]) -> None:
    waiting = schedule(config)
    once = len(config.names)
    claimed: set[str] = set()
    changed = threading.Condition()
    until = time.monotonic() + config.seconds
    begun = 0

    def lane() -> None:
        nonlocal begun
        while True:
            with changed:
                while True:
                    if not waiting or (begun >= once and time.monotonic() > until) or world.ending.is_set():
                        return
                    # The order is the seed's: who cannot begin yet holds up those behind him.
                    if not waiting[0][0].claims & claimed:
                        break
                    changed.wait(0.2)
                fault, seed = waiting.pop(0)
                begun += 1
                claimed.update(fault.claims)
            chance = random.Random(seed)
            diary(f"{fault.name}")
            try:
                fault.run(world, chance)
            except BaseException as error:
                world.ending.set()
                raise AssertionError(f"{fault.name}: {error}") from error
            finally:
                with changed:
                    claimed.difference_update(fault.claims)
                    changed.notify_all()
            world.ending.wait(chance.uniform(0.1, 1.5))

    assert set().union(*(FAULTS[name].claims for name in config.names)) <= set(PARTS)
    with ThreadPoolExecutor(_LANES) as lanes:
        for future in [lanes.submit(lane) for _ in range(_LANES)]:
            future.result()


def _settle(world: World, began: float) -> Account:
    published = Published(began, world.publisher.acknowledged, world.publisher.sendings, world.forgettable)
    with ExitStack() as stack:
        database = stack.enter_context(world.database())
        database.execute("CREATE DATABASE reference")
        url = world.postgres.url_of("reference")
        migrate(url)
        reference = stack.enter_context(psycopg.connect(url, autocommit=True, options="-c TimeZone=UTC"))
        return settle_account(world.plan, published, database, reference)
