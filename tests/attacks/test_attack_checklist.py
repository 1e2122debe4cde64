"""The rules that make attacks fail by construction, and the list: every line of it has a test, or a reason."""

from __future__ import annotations

import ast
import re
from functools import _lru_cache_wrapper
from importlib import import_module
from inspect import getmembers
from pathlib import Path
from pkgutil import walk_packages

import protocols.s3
from protocols.s3.auth import authenticate as one_authenticate
from protocols.s3.auth.authenticate import ALLOWED
from protocols.s3.auth.credential import AuthType

REPOSITORY = Path(__file__).parents[2]
PRODUCT = ("appliance", "foundation", "metastore", "namespace", "protocols", "storage_engine")
#: The lines of the security checklist that speak of what a client sends, by table.
LINES = {"A": 25, "C": 9, "P": 8, "X": 4, "H": 13, "S": 14, "N": 14}
#: Lines about what the house does not have, and lines that a test of another name is about.
REASONS = {
    "A25": "there are no service accounts, no policies of users, and nothing is imported",
    "C09": "nothing is notified or replicated to an address that a client names",
    "S09": "there are no quotas; a house without room refuses and loses nothing: tests/faults/test_storage_faults.py",
    "S12": "no lock manager is served (README: mount with nolock), so nobody is called back",
    "S13": "nothing is unpacked and nothing is queried",
}
_NAME = re.compile(r"(?<![A-Za-z0-9])([A-Za-z])(\d\d)(?![0-9])")
#: Calls that turn bytes into code.
_FORBIDDEN = {"eval", "exec", "compile", "__import__"}
_FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "jsonpickle"}


def trees():
    for package in PRODUCT:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            yield path.relative_to(REPOSITORY), ast.parse(path.read_text(encoding="utf-8"))


def test_every_line_of_the_checklist_has_a_test_or_a_reason():
    tested = set()
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            tested |= {f"{letter.upper()}{number}" for letter, number in _NAME.findall(name.replace("_", " "))}
    lines = {f"{letter}{number:02}" for letter, count in LINES.items() for number in range(1, count + 1)}
    assert lines - tested - REASONS.keys() == set()
    assert REASONS.keys() <= lines - tested, "a line that has a test needs no reason"


def test_rule_1_there_is_one_place_that_says_who_asks_and_its_table_is_closed():
    callers = [
        str(path)
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "authenticate"
    ]
    assert callers == ["protocols/s3/door.py"]
    assert ALLOWED.keys() == set(AuthType)
    assert one_authenticate._VERIFY.keys() == ALLOWED.keys()


def test_rule_2_one_parse_of_a_target_is_made_and_never_changed():
    made = [
        str(path)
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "parse_target"
    ]
    assert made == ["protocols/s3/door.py"]
    assert protocols.s3.door.Received.__struct_config__.frozen
    assert import_module("protocols.s3.codec.uri").Target.__struct_config__.frozen


def test_rule_6_operations_read_no_header_but_s3s_and_https_own():
    """Nothing that a client can put into a header stands for who it is."""
    named = re.compile(r"\"(x-[a-z0-9-]+)\"")
    found = {
        name
        for path in (REPOSITORY / "protocols/s3").rglob("*.py")
        for name in named.findall(path.read_text(encoding="utf-8"))
    }
    assert {name for name in found if not name.startswith(("x-amz-", "x-id", "x-content-type-options"))} <= {
        "x-ignore-",
        "x-forwarded-",
    }


def test_o03_no_bytes_become_code():
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not _FORBIDDEN_MODULES & {alias.name.partition(".")[0] for alias in node.names}, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in _FORBIDDEN_MODULES, path
            elif isinstance(node, ast.Call):
                _check_call(path, node)


def _check_call(path, node):
    if isinstance(node.func, ast.Name):
        assert node.func.id not in _FORBIDDEN, (path, node.lineno)
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        assert (node.func.value.id, node.func.attr) not in {("yaml", "load"), ("os", "system")}, (path, node.lineno)
    assert not any(
        each.arg == "shell" and not (isinstance(each.value, ast.Constant) and each.value.value is False)
        for each in node.keywords
    ), (path, node.lineno)


def test_s10_s14_no_table_that_strangers_fill_grows_without_end():
    found = {}
    for module in walk_packages(protocols.s3.__path__, "protocols.s3."):
        for name, member in getmembers(import_module(module.name)):
            if isinstance(member, _lru_cache_wrapper):
                found[f"{module.name}.{name}"] = member.cache_parameters()["maxsize"]
    assert len(found) > 4
    assert all(0 < size <= 4096 for size in found.values()), found
