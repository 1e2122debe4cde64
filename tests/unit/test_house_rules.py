"""The rules of the house that no linter knows: modules explain themselves and stay small, rooms have a page."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
ROOMS = ("appliance", "protocols/nfs", "protocols/s3", "namespace", "metastore", "storage_engine")
PACKAGES = ("appliance", "protocols", "namespace", "metastore", "storage_engine", "foundation")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_README_LINES = 120
MODULES = sorted(path for package in PACKAGES for path in (HOUSE / package).rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_module_explains_itself_and_stays_small(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    assert len(text.splitlines()) <= MAX_MODULE_LINES
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= MAX_FUNCTION_LINES, f"{node.name} is too long"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_a_page_of_two_pages_at_most(room: str) -> None:
    page = HOUSE / room / "README.md"
    assert page.exists()
    assert len(page.read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


def test_the_house_has_modules() -> None:
    assert len(MODULES) > len(PACKAGES), "the list is empty: the folders moved"


def test_decision_records_have_numbers_of_their_own() -> None:
    numbers = [path.name[:4] for path in (HOUSE / "docs" / "adr").glob("*.md")]
    assert sorted(set(numbers)) == sorted(numbers)


def test_modules_of_tests_have_names_of_their_own() -> None:
    """pytest puts every folder of tests on one path: the first of two helpers of one name would serve both."""
    names = [path.name for path in (HOUSE / "tests").rglob("*.py") if path.name not in ("conftest.py", "__init__.py")]
    assert sorted(set(names)) == sorted(names)
