"""Where the programs are: the machine's own if it has them all, else the fetched ones."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from misto.runtime.errors import Interrupted, RuntimeUnavailable
from misto.runtime.packages import SUITE, Archive, Say, Stopped


@dataclass(frozen=True)
class Binaries:
    """`postgres`: folder of PostgreSQL 17's programs; `mosquitto`: the broker; `origin`: a word for people."""

    postgres: Path
    mosquitto: Path
    origin: str


def runtime_dir(wanted: Path, say: Say) -> Path:
    """The runtime's folder, absolute. As root it must be open to the user that PostgreSQL runs as."""
    folder = wanted.absolute()
    if os.geteuid() != 0 or _reachable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:10]
    other = Path("/var/tmp") / f"misto-runtime-{digest}"
    if not other.exists():
        say(f"{folder} is closed to other users, and PostgreSQL does not run as root: using {other}")
    other.mkdir(mode=0o755, parents=True, exist_ok=True)
    if other.is_symlink() or other.stat().st_uid != 0:
        # Programs from here run as us: nobody else may have made the folder.
        raise RuntimeUnavailable(f"{other} belongs to another user; set MISTO_RUNTIME_DIR to a folder of your own.")
    folder.mkdir(parents=True, exist_ok=True)
    # `make clean` finds it by this name.
    link = folder / "elsewhere"
    if not link.is_symlink():
        link.symlink_to(other)
    return other


def ensure_binaries(folder: Path, say: Say, stopped: Stopped = lambda: False) -> Binaries:
    """Find the programs, or fetch them into `folder`.

    Raises `RuntimeUnavailable` with a remedy, and `Interrupted` soon after `stopped()` has become true.
    """
    found = _installed()
    if found is not None:
        return found
    if not sys.platform.startswith("linux"):
        raise RuntimeUnavailable(f"The embedded runtime is for Debian and Ubuntu; this is {sys.platform}.")
    root = root_in(folder)
    if not root.exists():
        with _alone(folder, stopped):
            if not root.exists():
                Archive(folder / "apt", say, stopped).fetch(root)
    return Binaries(root / "usr/lib/postgresql/17/bin", root / "usr/sbin/mosquitto", "Debian's packages, private")


@contextmanager
def _alone(folder: Path, stopped: Stopped) -> Iterator[None]:
    """While others of us fetch into this folder, wait."""
    with (folder / "fetch.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stopped():
                    raise Interrupted from None
                time.sleep(0.2)
        yield


def root_in(folder: Path) -> Path:
    """Where fetched programs are. They know the folder by its absolute name: another place means another root."""
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    return folder / f"root-{SUITE}-{digest}"


def server_user() -> str | None:
    """The user that servers run as when we are root; None when we are not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeUnavailable("PostgreSQL does not run as root, and there is neither a user postgres nor nobody.")


def _installed() -> Binaries | None:
    postgres = Path("/usr/lib/postgresql/17/bin")
    control = Path("/usr/share/postgresql/17/extension/timescaledb.control")
    mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if (postgres / "postgres").exists() and control.exists() and mosquitto is not None:
        return Binaries(postgres, Path(mosquitto), "installed on this machine")
    return None


def _reachable(folder: Path) -> bool:
    """True if every existing folder on the way down lets others pass."""
    return all(parent.stat().st_mode & 0o001 for parent in [folder, *folder.parents] if parent.exists())
