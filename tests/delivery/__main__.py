"""`make chaos`: the delivery proof, for minutes. Its seed makes the same messages and the same schedule again."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from misto.runtime import ensure_binaries
from misto.runtime.binaries import runtime_dir
from misto.settings import Settings
from tests.delivery.faults import FAULTS
from tests.delivery.run import RunConfig, run


def main() -> None:
    """Run, print the diary, and end with status 1 if anything was lost, doubled, or judged otherwise."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of an earlier run, to repeat it")
    parser.add_argument("--minutes", type=float, default=5, help="how long faults are begun (every fault comes once)")
    parser.add_argument("--rate", type=float, default=1500, help="messages a second")
    parser.add_argument("--fault", action="append", choices=sorted(FAULTS), help="only these")
    parser.add_argument("--short", action="store_true", help="leave out faults that take more than half a minute")
    parser.add_argument("--once", action="store_true", help="each fault once, however long that takes")
    arguments = parser.parse_args()
    names = arguments.fault or [name for name in FAULTS if not arguments.short or FAULTS[name].long_s <= 30]
    binaries = ensure_binaries(runtime_dir(Settings().runtime_dir, print), print)
    folder = Path(tempfile.mkdtemp(prefix="misto-chaos-"))
    folder.chmod(0o755)
    config = RunConfig(arguments.seed, 60 * arguments.minutes, arguments.rate, names, repeat=not arguments.once)
    try:
        account = run(config, folder, binaries, lambda text: print(text, flush=True))
        wrong = account.wrong
    except AssertionError as error:
        wrong = [str(error)]
    for sentence in wrong:
        print(sentence)
    if wrong:
        print(f"seed {arguments.seed}; the logs are in {folder}")
        sys.exit(1)


if __name__ == "__main__":
    main()
