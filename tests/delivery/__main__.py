"""`make chaos`: the delivery proof, for minutes. Its seed makes the same messages and the same schedule again."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from misto.runtime import Binaries, ensure_binaries
from misto.runtime.binaries import runtime_dir
from misto.settings import Settings
from tests.delivery.faults import FAULTS, names
from tests.delivery.run import RunConfig, run


def main() -> None:
    """Run, print the diary, and end with status 1 if anything was lost, doubled, or judged otherwise."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of an earlier run, to repeat it")
    parser.add_argument("--minutes", type=float, default=5, help="how long faults are begun; each comes at least once")
    parser.add_argument("--rate", type=float, default=1500, help="messages a second")
    parser.add_argument("--fault", action="append", choices=sorted(FAULTS), help="only these, each once")
    parser.add_argument("--quick", action="store_true", help="leave out faults that take more than half a minute")
    parser.add_argument("--shared", action="store_true", help="with --fault: workers in a shared subscription")
    arguments = parser.parse_args()
    binaries = ensure_binaries(runtime_dir(Settings().runtime_dir, print), print)
    longest_s = 30 if arguments.quick else float("inf")
    wrong = []
    for shared, share_of_time in ((False, 0.7), (True, 0.3)):
        if arguments.fault and shared is not arguments.shared:
            continue
        chosen = arguments.fault or names(shared=shared, longest_s=longest_s)
        seconds = 60 * arguments.minutes * share_of_time
        config = RunConfig(arguments.seed, seconds, arguments.rate, chosen, shared, repeat=not arguments.fault)
        wrong += one_run(config, binaries)
    if wrong:
        sys.exit(1)
    print("nothing lost, nothing doubled, each alert once")


def one_run(config: RunConfig, binaries: Binaries) -> list[str]:
    """Run; print the diary and what is wrong. The folder with the logs stays where something is."""
    folder = Path(tempfile.mkdtemp(prefix="misto-chaos-"))
    folder.chmod(0o755)
    try:
        wrong = run(config, folder, binaries, lambda text: print(text, flush=True)).wrong
    except AssertionError as error:
        wrong = [str(error)]
    for sentence in wrong:
        print(sentence)
    if wrong:
        print(f"seed {config.seed}; the logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return wrong


if __name__ == "__main__":
    main()
