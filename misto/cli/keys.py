"""Pausing by a key or by a signal."""

from __future__ import annotations

import contextlib
import select
import signal
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def pausable(paused: threading.Event) -> Iterator[None]:
    """While it lasts, the space bar (where a person sits at a terminal) and SIGUSR1 pause and resume."""

    def toggle(*unused: object) -> None:
        if paused.is_set():
            paused.clear()
        else:
            paused.set()

    before = signal.signal(signal.SIGUSR1, toggle)
    done = threading.Event()
    thread = threading.Thread(target=_listen, args=(toggle, done), daemon=True)
    with _keys_at_once() as at_terminal:
        if at_terminal:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if at_terminal:
                thread.join()
            signal.signal(signal.SIGUSR1, before)


def _listen(toggle: object, done: threading.Event) -> None:
    assert callable(toggle)
    while not done.is_set():
        ready, _, _ = select.select([sys.stdin], [], [], 0.2)
        if ready and sys.stdin.read(1) in (" ", "p"):
            toggle()


@contextlib.contextmanager
def _keys_at_once() -> Iterator[bool]:
    """True while keys are read without Enter; False where standard input is no terminal in the foreground."""
    try:
        import termios
        import tty

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (ImportError, OSError, ValueError, termios.error):
        yield False
        return
    tty.setcbreak(descriptor)
    try:
        yield True
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
