"""Migrations on a real server: fresh, again, changed, newer."""

from __future__ import annotations

import re
from importlib.resources import files

import psycopg
import pytest

from store.connection import connect
from store.errors import DatabaseUnreachable, MigrationError
from store.migrate import check_schema, edition_of, migrate, migrations


def test_file_names_are_numbered_without_gap_for_both_editions() -> None:
    names = [entry.name for entry in files("store").joinpath("migrations").iterdir() if entry.name.endswith(".sql")]
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+(\.(apache|community))?\.sql", name) for name in names)
    for edition in ("apache", "community"):
        versions = [migration.version for migration in migrations(edition)]
        assert versions == list(range(1, len(versions) + 1))


def test_a_fresh_database_is_migrated_once(empty_database_url: str) -> None:
    first = migrate(empty_database_url)
    assert [migration.version for migration in first] == list(range(1, len(first) + 1))
    assert migrate(empty_database_url) == []
    with connect(empty_database_url, service="test") as connection:
        check_schema(connection)
        assert edition_of(connection) in ("apache", "community")


def test_pending_migrations_are_told(empty_database_url: str) -> None:
    migrate(empty_database_url)
    with connect(empty_database_url, service="test", autocommit=True) as connection:
        connection.execute("DELETE FROM schema_migration WHERE version >= 3")
        with pytest.raises(MigrationError, match=r"pending, from 0003_alerts; run `misto migrate`"):
            check_schema(connection)


def test_a_changed_migration_is_refused(empty_database_url: str) -> None:
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("UPDATE schema_migration SET digest = 'other' WHERE version = 2")
    with pytest.raises(MigrationError, match="0002_readings was applied with another text"):
        migrate(empty_database_url)


def test_a_newer_database_is_refused(empty_database_url: str) -> None:
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_migration (version, name, digest) VALUES (9999, 'future', 'x')")
    with pytest.raises(MigrationError, match="migration 9999, which this version of Misto does not know"):
        migrate(empty_database_url)


def test_an_unreachable_server_is_a_sentence_without_the_password() -> None:
    with pytest.raises(DatabaseUnreachable, match=r"127\.0\.0\.1:1/misto cannot be reached") as caught:
        connect("postgresql://me:secret@127.0.0.1:1/misto", service="test", timeout_s=2)
    assert "secret" not in str(caught.value)
