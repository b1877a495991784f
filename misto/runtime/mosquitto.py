"""A private Mosquitto on the loopback interface."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from pathlib import Path

from misto.runtime.binaries import Binaries, server_user
from misto.runtime.process import answers, free_port, spawn, stop, wait_until

# Mosquitto's defaults drop what an absent subscriber has not fetched: its queue is 1,000 messages and 20 in flight.
# The numbers are those of deploy/mosquitto/mosquitto.conf, which says why; a test holds them together.
_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {data}/
autosave_interval 15
max_queued_messages 4000000
max_queued_bytes 1073741824
max_inflight_messages 20000
max_inflight_bytes 67108864
max_packet_size 1048576
upgrade_outgoing_qos true
persistent_client_expiration 30d
log_dest stderr
log_type error
log_type warning
log_type notice
{extra}
"""


class MosquittoServer:
    """A broker whose sessions and queues persist under `folder`."""

    def __init__(
        self, binaries: Binaries, folder: Path, *, port: int = 0, log: Path | None = None, extra: str = ""
    ) -> None:
        self._binary = binaries.mosquitto
        self._folder = folder
        self._log = log or folder / "mosquitto.log"
        self._extra = extra
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start and wait until it accepts connections. Raises `ServerFailed`."""
        user = server_user()
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text(
            _CONFIGURATION.format(port=self.port, data=self._folder, extra=self._extra), encoding="utf-8"
        )
        if user is not None:
            for path in (self._folder, *self._folder.glob("*")):
                os.chown(path, pwd.getpwnam(user).pw_uid, -1)
        self._process = spawn([self._binary, "-c", configuration], self._log, user=user)
        process = self._process
        wait_until(lambda: answers(self.port) and _stays(process), process, "Mosquitto", self._log, wait_s=15)

    def ended(self) -> int | None:
        """Exit status if it was started and has ended by itself."""
        return self._process.poll() if self._process is not None else None

    def stop(self) -> None:
        """Orderly end: the queues are written to disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same port with the persisted queues."""
        self.stop()
        self.start()

    def _end(self, number: int) -> None:
        if self._process is not None:
            stop(self._process, number)
            self._process = None


def _stays(process: subprocess.Popen[bytes]) -> bool:
    """False if it has ended a moment later: then it was another broker on this port that answered."""
    try:
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        return True
    return False
