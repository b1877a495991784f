"""Real servers for the tests: PostgreSQL with TimescaleDB, Mosquitto and Chromium.

They come from MISTO_TEST_DATABASE_URL and MISTO_TEST_MQTT_URL if those are set, else from the embedded runtime.
Tests that cannot have theirs are skipped with a reason; with CI=true that is a failure.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from misto.runtime import Binaries, MosquittoServer, PostgresServer, RuntimeUnavailable, ensure_binaries
from misto.runtime.binaries import runtime_dir
from store.connection import connect
from store.migrate import migrate
from tests.cities import fill_demo_city

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]


def _given(name: str) -> str | None:
    """A setting for the tests, out of the environment that the services under test see.

    Under another name it stays for the processes among which pytest-xdist shares the tests out.
    """
    value = os.environ.pop(name, None)
    if value is not None:
        os.environ[f"PYTEST_{name}"] = value
    return os.environ.get(f"PYTEST_{name}")


_TEST_DATABASE_URL = _given("MISTO_TEST_DATABASE_URL")
_TEST_MQTT_URL = _given("MISTO_TEST_MQTT_URL")
_COMMUNITY_URL = _given("MISTO_TEST_COMMUNITY_URL")
_RUNTIME_DIR = Path(_given("MISTO_RUNTIME_DIR") or ROOT / ".runtime")
# MISTO_SHARED_DATA, MISTO_SHARED_SAMPLES: recorded data and messages, which are no part of the project.
for _name in [name for name in os.environ if name.startswith("MISTO_") and not name.startswith("MISTO_SHARED_")]:
    del os.environ[_name]

# Nothing is in the queue of a test's server but what the test puts there; a slow disk must not slow every commit.
_FAST = {
    "shared_buffers": "128MB",
    "max_connections": "60",
    "timescaledb.max_background_workers": "0",
    "max_worker_processes": "8",
}


def missing(reason: str) -> None:
    """Skip the test, or fail it where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    try:
        return ensure_binaries(runtime_dir(_RUNTIME_DIR, print), print)
    except RuntimeUnavailable as error:
        missing(str(error))
        raise AssertionError from error


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that a server running as another user can reach (pytest's own are closed)."""
    folder = Path(tempfile.mkdtemp(prefix="misto-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def admin_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a database server on which the tests make databases of their own."""
    if _TEST_DATABASE_URL:
        yield _TEST_DATABASE_URL
        return
    server = PostgresServer(
        request.getfixturevalue("binaries"), request.getfixturevalue("server_folder") / "postgres", settings=_FAST
    )
    server.start()
    yield server.url_of("postgres")
    server.stop()


def at_database(url: str, name: str) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def template_database(admin_url: str) -> Iterator[str]:
    """A migrated database that others are copied from."""
    name = f"misto_template_{uuid.uuid4().hex[:8]}"
    _execute(admin_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(at_database(admin_url, name))
    yield name
    _execute(admin_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _database(admin_url: str, template: str | None) -> Iterator[str]:
    name = f"misto_test_{uuid.uuid4().hex[:12]}"
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template:
        statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    _execute(admin_url, statement)
    yield at_database(admin_url, name)
    _execute(admin_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def demo_city_url(admin_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo city with nine simulated days, derived and judged. Only to be read."""
    for url in _database(admin_url, template_database):
        fill_demo_city(url, days=9, log=tmp_path_factory.mktemp("demo-city") / "rules.log")
        yield url


@pytest.fixture
def empty_database_url(admin_url: str) -> Iterator[str]:
    """A database without any schema."""
    yield from _database(admin_url, None)


@pytest.fixture
def database_url(admin_url: str, template_database: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    yield from _database(admin_url, template_database)


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection (autocommit, UTC) to `database_url`."""
    with psycopg.connect(database_url, autocommit=True, options="-c TimeZone=UTC") as connection:
        yield connection


@pytest.fixture
def new_connection(database_url: str) -> Iterator[Callable[[], psycopg.Connection[Any]]]:
    """Makes connections as the services do (transactions, UTC); closed at the end."""
    made: list[psycopg.Connection[Any]] = []

    def make() -> psycopg.Connection[Any]:
        made.append(connect(database_url, service="test"))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


@pytest.fixture
def own_postgres(binaries: Binaries, server_folder: Path) -> Iterator[PostgresServer]:
    """A database server of the test's own, to be stopped and killed."""
    server = PostgresServer(binaries, server_folder / f"postgres-{uuid.uuid4().hex[:8]}", settings=_FAST)
    server.start()
    migrate(server.url)
    yield server
    server.stop()


@pytest.fixture
def own_mosquitto(binaries: Binaries, server_folder: Path) -> Iterator[MosquittoServer]:
    """A broker of the test's own, to be stopped and killed."""
    server = MosquittoServer(binaries, server_folder / f"mosquitto-{uuid.uuid4().hex[:8]}")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mqtt_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a broker; tests use topics and client ids of their own."""
    if _TEST_MQTT_URL:
        yield _TEST_MQTT_URL
        return
    server = MosquittoServer(request.getfixturevalue("binaries"), request.getfixturevalue("server_folder") / "broker")
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def community_url() -> str:
    """A server with the Community edition of TimescaleDB."""
    if not _COMMUNITY_URL:
        pytest.skip("MISTO_TEST_COMMUNITY_URL names no server with TimescaleDB's Community edition")
    return _COMMUNITY_URL


@pytest.fixture
def community_database_url(community_url: str) -> Iterator[str]:
    """A migrated database on the Community edition."""
    for url in _database(community_url, None):
        migrate(url)
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's Chromium, headless."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        missing("there is no Chromium on this machine; on Debian: apt install chromium")
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=arguments)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new page in a context of its own."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that are run side by side: a file's stay together, so that what it sets up is set up once."""
    for item in items:
        uses = getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("demo-city" if "demo_city_url" in uses else item.path.stem))


def pytest_report_header() -> list[str]:
    origin = _TEST_DATABASE_URL and "MISTO_TEST_DATABASE_URL"
    return [
        f"database: {origin or 'embedded runtime'}; broker: {'MISTO_TEST_MQTT_URL' if _TEST_MQTT_URL else 'embedded'}; "
        f"Community edition: {'given' if _COMMUNITY_URL else 'none'}"
    ]
