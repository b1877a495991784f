"""A child process that does not outlive us, with its log in a file."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from misto.runtime.errors import ServerFailed

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def die_with_parent(number: int) -> Callable[[], None]:
    """For `preexec_fn`: on Linux the child gets this signal when the thread that started it ends."""
    parent = os.getpid()

    def prepare() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, number)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def spawn(
    command: Sequence[str | Path],
    log: Path | None,
    *,
    user: str | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own (so that Ctrl-C reaches only us), logging to `log` or, without, as we do.

    On Linux it gets `death_signal` when we die, however we die.
    """
    with ExitStack() as stack:
        output = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(log.open("ab"))
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if log is not None else None,
            env=env,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=die_with_parent(death_signal),  # after setuid, which would clear it
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
        )


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM, wait_s: float = 20) -> int:
    """Signal and wait; kill what does not go. Returns the exit status."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """True if a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], name: str, log: Path, wait_s: float
) -> None:
    """Wait for `ready`; raises `ServerFailed` with the log's last lines if the process dies or takes too long."""
    deadline = time.monotonic() + wait_s
    while not ready():
        if process.poll() is not None:
            raise ServerFailed(f"{name} ended with status {process.returncode}; {log} says:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"{name} did not answer within {wait_s:.0f} s; {log} says:\n{tail(log)}")
        time.sleep(0.02)


def answers(port: int) -> bool:
    """True if something accepts connections on this port of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log file."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
