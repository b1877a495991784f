"""`misto migrate` and `misto inventory`: the database and the city in it."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from catalogue.errors import CatalogueError
from catalogue.inventory import Inventory, read_inventory
from catalogue.inventory_csv import read_inventory_files
from misto.settings import Settings
from store.connection import connect
from store.errors import StoreError
from store.inventory_diff import Difference, file_of
from store.migrate import check_schema, migrate, set_role_password
from store.registry import read_city, sync_inventory

File = Annotated[Path, typer.Argument(help="inventory file: YAML, or CSV with one row a point")]
Points = Annotated[Path | None, typer.Option(help="CSV with one row a point, beside a YAML file with the rest")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("migrate")(migrate_command)
    inventory = typer.Typer(help="The city's sites, points and devices.", no_args_is_help=True)
    inventory.command("load")(load)
    inventory.command("check")(check)
    inventory.command("export")(export)
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


def load(
    file: File,
    points: Points = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list what would change")] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="end what was claimed or swapped by hand and is not in the file")
    ] = False,
    other_city: Annotated[
        bool, typer.Option("--other-city", help="put this city in the place of one of another name")
    ] = False,
) -> None:
    """Take an inventory over into the database, and list what it changes."""
    given = _read(file, points)
    with connect(Settings().database_url, service="inventory") as connection:
        check_schema(connection)
        inventory = given or read_inventory_files(None, file, _stored(connection))
        change = sync_inventory(connection, inventory, exact=exact, dry_run=dry_run, other_city=other_city)
    for difference in change.differences:
        print(difference)
    _say_by_hand(change.differences, file)
    told = Counter(difference.kind for difference in change.differences if difference.kind != "by hand")
    print(
        f"{inventory.city.name.en}: {change.sites} sites, {change.points} points, {change.devices} devices; "
        f"{change.retired_points} points retired"
    )
    counts = ", ".join(f"{count} {kind}" for kind, count in told.items()) or "nothing differs"
    print(f"nothing was changed; a load would bring: {counts}" if dry_run else f"changes: {counts}")


def _say_by_hand(found: list[Difference], file: Path) -> None:
    count = sum(difference.kind == "by hand" for difference in found)
    if count:
        print(
            f"{count} made by hand and not in {file} are kept; `misto inventory export` writes them down, "
            "--exact would end them"
        )


def check(file: File, points: Points = None) -> None:
    """Check an inventory without touching the database."""
    inventory = _read(file, points) or read_inventory_files(None, file)
    count = sum(len(site.points) for site in inventory.sites)
    alone = "; its zones and contractors were not looked up" if points is None and _is_table(file) else ""
    print(f"{file}: right; {len(inventory.sites)} sites, {count} points{alone}")


def export(file: Annotated[Path | None, typer.Argument(help="where to; without it to the screen")] = None) -> None:
    """Write the city as an inventory file (YAML), with everything that was claimed or swapped by hand."""
    with connect(Settings().database_url, service="inventory") as connection:
        check_schema(connection)
        rows = read_city(connection)
    if rows.city is None:
        raise StoreError("the database has no city yet; `misto inventory load` brings one")
    tree = file_of(rows)
    if file is None:
        _write(tree, sys.stdout)
        return
    try:
        with file.open("w", encoding="utf-8") as out:
            _write(tree, out)
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror}") from None
    print(f"{file}: {len(rows.sites)} sites", file=sys.stderr)


def _read(file: Path, points: Path | None) -> Inventory | None:
    """The inventory of the files; None for a table alone, which needs the city that is stored."""
    if points is not None:
        if _is_table(file):
            raise CatalogueError(f"{file} is a table itself; with --points it is a YAML file")
        return read_inventory_files(file, points)
    return None if _is_table(file) else read_inventory(file)


def _is_table(file: Path) -> bool:
    return file.suffix.lower() in (".csv", ".tsv", ".txt")


def _stored(connection: Any) -> Inventory:
    """City, zones, contractors and tariffs as they stand in the database."""
    rows = read_city(connection)
    if rows.city is None:
        raise StoreError("the database has no city yet: load a YAML file with city and zones first, or both together")
    return Inventory.model_validate(file_of(rows) | {"sites": []})


def _write(tree: dict[str, Any], out: TextIO) -> None:
    writer = YAML()
    writer.width = 110
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.dump(_styled(tree), out)


def _styled(node: Any) -> Any:
    """Small mappings on one line, as people write them."""
    if isinstance(node, list):
        return [_styled(each) for each in node]
    if not isinstance(node, dict):
        return node
    styled = CommentedMap({key: _styled(value) for key, value in node.items()})
    if not any(isinstance(value, list) for value in node.values()) and "version" not in node:
        styled.fa.set_flow_style()
    return styled
