"""`misto migrate` and `misto inventory`: the database and the city in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from catalogue.inventory import read_inventory
from misto.settings import Settings
from store.connection import connect
from store.migrate import check_schema, migrate, set_role_password
from store.registry import sync_inventory


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("migrate")(migrate_command)
    inventory = typer.Typer(help="The city's sites, points and devices.", no_args_is_help=True)
    inventory.command("load")(load)
    inventory.command("check")(check)
    app.add_typer(inventory, name="inventory")


def migrate_command() -> None:
    """Bring the database's schema to this version of Misto, and set the passwords of its roles."""
    settings = Settings()
    done = migrate(settings.database_url)
    for migration in done:
        print(f"applied {migration.version:04d} {migration.name}")
    if not done:
        print("nothing to do: the schema is up to date")
    given = {
        "misto_ingest": settings.ingest_password,
        "misto_rules": settings.rules_password,
        "misto_board": settings.board_password,
        "misto_read": settings.read_password,
    }
    for role, password in given.items():
        if password is not None:
            set_role_password(settings.database_url, role, password.get_secret_value())
            print(f"set the password of {role}")


def load(file: Annotated[Path, typer.Argument(help="inventory file (YAML)")]) -> None:
    """Take an inventory file over into the database."""
    inventory = read_inventory(file)
    with connect(Settings().database_url, service="inventory") as connection:
        check_schema(connection)
        change = sync_inventory(connection, inventory)
    print(
        f"{inventory.city.name.en}: {change.sites} sites, {change.points} points, {change.devices} devices; "
        f"{change.retired_points} points retired"
    )


def check(file: Annotated[Path, typer.Argument(help="inventory file (YAML)")]) -> None:
    """Check an inventory file without touching the database."""
    inventory = read_inventory(file)
    points = sum(len(site.points) for site in inventory.sites)
    print(f"{file}: right; {len(inventory.sites)} sites, {points} points")
