"""Where the packages of the embedded runtime come from, and what is said where they cannot be had."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from misto.runtime import RuntimeUnavailable
from misto.runtime.packages import sources_entry

DEB822 = """\
# comment: of the machine
Types: deb
# another comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


def _apt(folder: Path, **files: str) -> Path:
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        path = folder / ("sources.list" if name == "list" else f"sources.list.d/{name.replace('_', '.')}")
        path.write_text(text, encoding="utf-8")
    return folder


def _fields(entry: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in entry.splitlines())


def test_the_machines_own_mirror_and_keys_are_used(tmp_path: Path) -> None:
    fields = _fields(sources_entry(_apt(tmp_path, debian_sources=DEB822), tmp_path / "none"))
    assert fields == {
        "Types": "deb",
        "URIs": "http://mirror.example/debian",
        "Suites": "trixie",
        "Components": "main",
        "Signed-By": "/usr/share/keyrings/debian-archive-keyring.gpg",
    }


def test_the_old_format_is_read_too(tmp_path: Path) -> None:
    lines = (
        "# deb http://commented.example/debian bookworm main\n"
        "deb-src http://source.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/etc/apt/keys.gpg] https://mirror.example/debian/ bookworm main non-free # ours\n"
    )
    fields = _fields(sources_entry(_apt(tmp_path, list=lines), tmp_path / "none"))
    assert fields["URIs"] == "https://mirror.example/debian/"
    assert fields["Signed-By"] == "/etc/apt/keys.gpg"


def test_packages_that_others_make_for_debian_are_not_taken(tmp_path: Path) -> None:
    others = (
        "Types: deb\nURIs: https://download.engine.example/linux/debian\nSuites: bookworm\nComponents: stable\n\n"
        "Types: deb\nURIs: https://apt.tools.example\nSuites: bookworm\nComponents: main\n\n"
        "Types: deb\nEnabled: no\nURIs: https://off.example/debian\nSuites: bookworm\nComponents: main\n"
    )
    apt = _apt(tmp_path, a_sources=others, list="deb http://deb.example/debian bookworm main\n")
    assert _fields(sources_entry(apt, tmp_path / "none"))["URIs"] == "http://deb.example/debian"


def test_ubuntu_is_told_how_to_take_debians_packages(tmp_path: Path) -> None:
    ubuntu = "Types: deb\nURIs: http://ubuntu.example/ubuntu\nSuites: noble\nComponents: main universe\n"
    with pytest.raises(RuntimeUnavailable, match="add Debian's archive"):
        sources_entry(_apt(tmp_path, ubuntu_sources=ubuntu), tmp_path / "none")


def test_without_an_archive_or_keys_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable) as error:
        sources_entry(_apt(tmp_path), tmp_path / "none")
    for word in ("debian-archive-keyring", "docker compose up", "MISTO_DATABASE_URL", "MISTO_MQTT_URL"):
        assert word in str(error.value), word


def test_a_machine_without_apt_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from misto.runtime.packages import Archive

    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(RuntimeUnavailable, match=r"there is no apt-get.*docker compose up"):
        Archive(tmp_path / "apt", print, lambda: False).fetch(tmp_path / "root")
    assert not (tmp_path / "root").exists()
