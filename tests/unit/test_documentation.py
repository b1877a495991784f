"""What the documentation says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from catalogue.inventory import read_inventory
from catalogue.metrics import metrics
from catalogue.yamlfile import Document, parse_yaml
from ingest.errors import REASONS, Reason
from ingest.profile import load_profiles
from misto.settings import Settings
from rules.calendars import local_of
from rules.conditions.tree import Node
from rules.loader import load_documents, shipped_rules
from rules.selftest import failures

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def settings_table() -> str:
    """The table of docs/configuration.md."""
    lines = ["| variable | default | what it is |", "|---|---|---|"]
    for name, setting in Settings.model_fields.items():
        default = "" if setting.default in (None, "", PydanticUndefined) else f"`{setting.default}`"
        lines.append(f"| `MISTO_{name.upper()}` | {default} | {setting.description} |")
    return "\n".join(lines) + "\n"


def test_every_setting_is_described() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- settings:.*?-->\n(.*?)<!-- /settings -->", page, re.DOTALL)
    assert table is not None
    assert table[1] == settings_table(), "docs/configuration.md is not what misto/settings.py says"


def test_every_kind_of_condition_is_described() -> None:
    page = (DOCS / "rules.md").read_text(encoding="utf-8")
    for name, part in Node.model_fields.items():
        assert f"`{part.alias or name}`" in page


def test_every_shipped_rule_is_listed() -> None:
    page = (DOCS / "rules.md").read_text(encoding="utf-8")
    for rule in shipped_rules():
        assert f"`{rule.id}`" in page


RULE_BLOCKS = re.findall(r"```yaml\n(.*?)```", (DOCS / "rules.md").read_text(encoding="utf-8"), re.DOTALL)
_RULE: dict[str, Any] = {
    "id": "one",
    "title": {"en": "T", "uk": "Т"},
    "sentence": {"en": "S", "uk": "Р"},
    "advice": {"en": "A", "uk": "П"},
    "source": "here",
}


@pytest.mark.parametrize("text", RULE_BLOCKS, ids=range(len(RULE_BLOCKS)))
def test_the_rules_of_the_documentation_are_right(text: str) -> None:
    """Whole files, calendars, and some keys of a rule."""
    document = parse_yaml(text, "docs/rules.md")
    if "school_holidays" in document.data:
        assert len(local_of("Europe/Kyiv", document).extra_holidays) == 1
        return
    if "rules" not in document.data:
        more = {} if "when" in document.data or "levels" in document.data else {"when": {"absent": {"misses": 3}}}
        document = Document("docs/rules.md", {"version": 1, "rules": [{**_RULE, **more, **document.data}]})
    for rule in load_documents([document]):
        assert failures(rule) == []


def test_every_profile_is_listed() -> None:
    page = (DOCS / "profiles.md").read_text(encoding="utf-8")
    for profile in load_profiles().values():
        assert f"`{profile.id}`" in page


def test_every_metric_is_listed() -> None:
    page = (DOCS / "mqtt-json.md").read_text(encoding="utf-8")
    for name in metrics():
        assert f"`{name}`" in page


def test_every_reason_for_quarantine_is_listed() -> None:
    page = (DOCS / "mqtt-json.md").read_text(encoding="utf-8")
    assert set(REASONS) == set(Reason)
    for reason, sentence in REASONS.items():
        assert f"| `{reason}` | {sentence} |" in page


def test_the_inventory_of_the_documentation_is_right(tmp_path: Path) -> None:
    page = (DOCS / "inventory.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(version: 1\n.*?)```", page, re.DOTALL)
    file = tmp_path / "inventory.yaml"
    file.write_text(example, encoding="utf-8")
    assert len(read_inventory(file).sites) == 2


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))], ids=lambda p: p.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
