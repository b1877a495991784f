"""The simulated city without broker and database: how fast it is worked out, how fast its rules are judged."""

from __future__ import annotations

import itertools
import resource
import time
from pathlib import Path

from bench.results import of_three, show
from misto.score.offline import judge_city
from misto.service import tune_collector
from rules.loader import shipped_rules
from simulators.calendar import DAY_US
from simulators.city import City
from simulators.generate import CitySize, generate_inventory
from simulators.history import stored
from simulators.run import parcels
from simulators.scenario import read_scenario

SCENARIO = Path(__file__).parent / "city-year" / "scenario.yaml"
DEVICES = 100_000


def run(quick: bool) -> None:
    """Print the time of a year of the benchmark city, and messages a second of a hundred thousand devices."""
    _year(quick)
    _score(quick)
    _devices(quick)


def _year(quick: bool) -> None:
    scenario, inventory = read_scenario(SCENARIO)
    assert inventory is not None
    assert scenario.begin is not None
    from_us = round(scenario.begin.timestamp() * 1e6)
    to_us = from_us + (30 if quick else 365) * DAY_US

    def measure() -> float:
        began = time.perf_counter()
        city = City(inventory, scenario, until_us=to_us)
        readings = 0
        for meter in city.meters:
            sent, columns = stored(meter, from_us, to_us)
            readings += len(sent) * len(columns)
        nonlocal seconds
        seconds = time.perf_counter() - began
        return readings / seconds

    seconds = 0.0
    show("city: readings of the benchmark city, one core", of_three(measure), "readings/s")
    show(f"city: {'a month' if quick else 'its year'}, faults and all", seconds, "s", 300)


def _score(quick: bool) -> None:
    scenario, inventory = read_scenario(SCENARIO)
    assert inventory is not None
    assert scenario.begin is not None
    from_us = round(scenario.begin.timestamp() * 1e6)
    began = time.perf_counter()
    judged = judge_city(inventory, scenario, 1, shipped_rules(), from_us, from_us + (3 if quick else 30) * DAY_US)
    seconds = time.perf_counter() - began
    show(
        f"city: {'3' if quick else '30'} days simulated and judged, all cores", judged.readings / seconds, "readings/s"
    )


def _devices(quick: bool) -> None:
    """One process, real time: every device once a minute is 1,667 messages/s."""
    share = 10 if quick else 1
    size = CitySize(buildings=20_000 // share, bins=41_000 // share, interval="1m")
    city = City(generate_inventory(size))
    tune_collector()
    steady = 2 * len(city.meters)
    messages = parcels(city, time.time_ns() // 1000 - 3 * DAY_US)
    # The first round of every device includes what is worked out only once.
    for _ in itertools.islice(messages, steady):
        pass
    began = time.process_time()
    for _ in itertools.islice(messages, steady):
        pass
    rate = steady / (time.process_time() - began)
    show(f"city: {len(city.meters):,} devices, messages made, one core", rate, "messages/s", len(city.meters) / 60)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    show("city: memory of the process then", memory, "MB")
