"""`python -m bench [--quick] [NAME …]`; without a name all but growth, backpressure and backtest."""

from __future__ import annotations

import sys

from bench import (
    backfill,
    backpressure,
    backtest,
    broker,
    city,
    decode,
    growth,
    ingest,
    latency,
    memory,
    rules,
    simulate,
    store,
    workers,
)
from bench.results import machine

ALL = {
    "decode": decode.run,
    "store": store.run,
    "import": backfill.run,
    "rules": rules.run,
    "backtest": backtest.run,
    "workers": workers.run,
    "growth": growth.run,
    "ingest": ingest.run,
    "latency": latency.run,
    "backpressure": backpressure.run,
    "memory": memory.run,
    "broker": broker.run,
    "simulate": simulate.run,
    "city": city.run,
}


def main() -> None:
    """Run the named benchmarks, or all."""
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    # These take ten minutes and more, and are asked for by name.
    names = names or [name for name in ALL if name not in ("growth", "backpressure", "backtest")]
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.exit(f"bench: there is no {unknown[0]}; there are {', '.join(ALL)}")
    print(machine())
    print("medians of 3; publisher, broker, database and worker share the machine\n")
    for name in names:
        ALL[name]("--quick" in sys.argv)


if __name__ == "__main__":
    main()
