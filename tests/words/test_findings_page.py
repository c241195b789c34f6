"""Every code of a finding is in one table, has one meaning, is explained on a page, and is used."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from graftwork.core.findings import KINDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src" / "graftwork"
TABLE = SOURCE / "core" / "findings.py"
CODE = re.compile(r"G\d{3}")


def constants(node: ast.AST) -> set[str]:
    """Every code that is a string of its own below a node of the syntax tree."""
    texts = (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant))
    return {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}


def codes_given_to_finding(tree: ast.AST) -> set[str]:
    """Codes in the first argument of a call of ``finding``; a variable there stands for any code of its file."""
    calls = [
        call
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) == "finding"
    ]
    variable = any(not constants(call.args[0]) for call in calls)
    return constants(tree) if variable else {code for call in calls for code in constants(call.args[0])}


@functools.cache
def codes_in_use() -> set[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py") if path != TABLE)
    return {code for tree in trees for code in codes_given_to_finding(tree)}


def test_codes_are_unique_and_in_order():
    codes = [kind.code for kind in KINDS]
    assert codes == sorted(set(codes))
    assert all(CODE.fullmatch(code) for code in codes)


def test_the_page_lists_exactly_the_codes_of_the_table_with_their_severity_and_title():
    rows = re.findall(r"^\| (G\d{3}) \| (\w+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, flags=re.M)
    assert [row[:3] for row in rows] == [(kind.code, kind.severity, kind.title) for kind in KINDS]
    assert all(meaning.endswith(".") and step.endswith(".") for *_, meaning, step in rows)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_every_code_is_given_by_some_call_of_finding(kind):
    assert kind.code in codes_in_use()


def test_no_other_code_is_in_the_source():
    texts = {path: path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    codes = {code for text in texts.values() for code in re.findall(r"\bG\d{3}\b", text)}
    assert codes == {kind.code for kind in KINDS}


def test_calls_of_finding_are_recognised():
    tree = ast.parse("finding('G101', 'x')\nother('G102')\nfindings.finding('G103' if a else 'G104', 'y')")
    assert codes_given_to_finding(tree) == {"G101", "G103", "G104"}
    assert codes_given_to_finding(ast.parse("for code in ('G108', 'G109'):\n    finding(code, 'x')")) == {
        "G108",
        "G109",
    }
