"""``docs/architecture.md`` names modules, functions and files that exist."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "src" / "graftwork"

PLANNED = {"advice/", "zoo/", "ship/", "serve/"}
OUTSIDE = {"lint-imports", ".npz", "(n_images, n_classes)", "__init__", "work/", "max-T"}


@functools.cache
def defined() -> set[str]:
    """Every module, function, class, constant, parameter and field of the package."""
    names: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        names |= {path.stem, path.parent.name}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
    return names


def named(page: str) -> list[str]:
    return sorted(set(re.findall(r"`([^`\n]+)`", page)) - PLANNED - OUTSIDE)


def exists(name: str, names: set[str]) -> bool:
    if "/" in name or name.endswith((".py", ".md")):
        return (PACKAGE / name).exists() or (ROOT / name).exists()
    if name.startswith("--"):
        return name[2:].replace("-", "_") in names
    return all(part in names for part in name.split("."))


@pytest.mark.parametrize("name", named(PAGE))
def test_what_the_page_names_exists(name: str) -> None:
    assert exists(name, defined())


def test_every_package_is_on_the_page_and_says_what_it_is_in_five_lines() -> None:
    for package in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        assert f"`{package.name}`" in PAGE
        said = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert 4 <= len(said.splitlines()) <= 8, f"{package.name}: {said!r}"
