"""Finds retired words: the tables of ``docs/glossary.md``, and how each kind of file is searched for what they list.

An *identifier* is a whole name of Python, a template or a script, an option, or a key of JSON. One that the table
writes with a dot before it is retired as a member only: an attribute, a field, a parameter, an argument or a key. A
*phrase* is searched for in prose, whatever its case, line breaks and hyphens.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
TABLES = "## Retired words"
"""Here the glossary begins to list them; what follows is not searched."""

Match = tuple[int, str]
"""A line, and the retired word on it as its table writes it."""

_ROW = re.compile(r"^\| `([^`]+)` \| (.+) \|$")
_CODE = re.compile(r"``([^`\n]+)``|`([^`\n]+)`")
_DOTTED = re.compile(r"[\w.]+(?=\(|=|$)")
_PARAMETERS = re.compile(r"^( *)(\w+(?:, \w+)*)\n(?=\1 {4}\S)", re.M)
_FENCE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.S)
_ATTRIBUTE = re.compile(r"""\b(?:id|class|for|href|name|aria-labelledby)="#?([\w -]+)\"""")
_QUOTED = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`""")
_REMARK = re.compile(r"/\*.*?\*/|(?<![:\w])//[^\n]*", re.S)
_NAME = re.compile(r"(\.)?(?<![\w$-])([A-Za-z_$][\w$]*)(?![\w$-])(\s*=(?!=))?")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?')
_SCRIPT = re.compile(r"<(script|style)(?![^>]*application/json)[^>]*>.*?</\1>", re.S)


@dataclasses.dataclass(frozen=True)
class Retired:
    """What the glossary retires, and what to use instead."""

    identifiers: dict[str, str]
    """Names, members (with a dot before them) and options (with two hyphens)."""
    phrases: dict[str, str]

    def name(self, name: str, *, member: bool = False) -> str | None:
        """Return the table's row for a whole name; leading underscores count in members alone."""
        bare = name.lstrip("_")
        if bare in self.identifiers:
            return bare
        return f".{name}" if member and f".{name}" in self.identifiers else None

    @functools.cached_property
    def searched(self) -> re.Pattern[str]:
        """All phrases and options in one expression."""
        options = [re.escape(word) for word in self.identifiers if word.startswith("--")]
        phrases = [r"[\s-]+".join(map(re.escape, re.split(r"[\s-]+", phrase))) for phrase in self.phrases]
        return re.compile(rf"(?<![\w-])(?:({'|'.join(phrases)})|({'|'.join(options)}))(?![\w-])", re.I)

    @functools.cached_property
    def phrase_of(self) -> dict[str, str]:
        """The table's spelling of each phrase by its words."""
        return {" ".join(re.split(r"[\s-]+", phrase.lower())): phrase for phrase in self.phrases}

    def use(self, word: str) -> str:
        """Return what to use instead."""
        return self.identifiers.get(word) or self.phrases[word]


def read_tables(glossary: str) -> Retired:
    """Return the two tables of the glossary's text."""
    tables: list[dict[str, str]] = []
    for line in glossary.partition(TABLES)[2].splitlines():
        if line.startswith("|---"):
            tables.append({})
        elif tables and (row := _ROW.match(line)):
            tables[-1][row[1]] = row[2]
    identifiers, phrases = tables
    return Retired(identifiers, phrases)


RETIRED = read_tables(GLOSSARY.read_text(encoding="utf-8"))


def prose(text: str, line: int = 1) -> Iterator[Match]:
    """Phrases, options, and names that are marked as code."""
    for match in RETIRED.searched.finditer(text):
        word = RETIRED.phrase_of[" ".join(re.split(r"[\s-]+", match[1].lower()))] if match[1] else match[2]
        yield _at(text, match, line), word
    for match in _CODE.finditer(text):
        if dotted := _DOTTED.match(match[1] or match[2]):
            first, *members = dotted[0].split(".")
            argument = (match[1] or match[2])[dotted.end() :].startswith("=")
            yield from _named(first, _at(text, match, line), member=argument)
            for member in members:
                yield from _named(member, _at(text, match, line), member=True)


def python(text: str, line: int = 1) -> Iterator[Match]:
    """Names wherever Python has one, those in f-strings included; prose in strings and comments."""
    for node in ast.walk(ast.parse(text)):
        at = getattr(node, "lineno", 1) + line - 1
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield from _string(node.value, at)
        elif isinstance(node, ast.JoinedStr):
            yield from _string("".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values), at)
        else:
            yield from _names_of(node, at)
    yield from _comments(text, line)


def markdown(text: str, line: int = 1) -> Iterator[Match]:
    """Prose, and Python in fences."""
    yield from prose(text, line)
    for fence in _FENCE.finditer(text):
        yield from python(fence[1], _at(text, fence, line) + 1)


def glossary(text: str, line: int = 1) -> Iterator[Match]:
    """The glossary without its tables of retired words."""
    yield from markdown(text.partition(TABLES)[0], line)


def template(text: str, line: int = 1) -> Iterator[Match]:
    """Prose of a Jinja template, names of its expressions, and what its elements are called."""
    yield from prose(_EXPRESSION.sub(lambda match: "{}" + "\n" * match[0].count("\n"), text), line)
    yield from _called(text, line)
    for match in _EXPRESSION.finditer(text):
        yield from script(match[1] or match[2], _at(text, match, line))


def script(text: str, line: int = 1) -> Iterator[Match]:
    """Names in JavaScript, CSS or an expression; prose in strings and comments."""
    code = text
    for pattern in (_REMARK, _QUOTED):
        for match in pattern.finditer(code):
            yield from prose(match[0].strip("'\"`/* "), _at(text, match, line))
        code = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), code)
    for match in _NAME.finditer(code):
        yield from _named(match[2], _at(text, match, line), member=bool(match[1] or match[3]))


def stored(text: str, line: int = 1) -> Iterator[Match]:
    """Keys of JSON, as names and as prose; its other strings as prose."""
    for match in _STRING.finditer(text):
        at = _at(text, match, line)
        yield from prose(match[1], at)
        if match[2]:
            yield from _named(match[1], at, member=True)


def page(text: str, line: int = 1) -> Iterator[Match]:
    """Prose of an HTML page and of the JSON in it, and what its elements are called; scripts of others are left out."""
    shown = _SCRIPT.sub(lambda match: "\n" * match[0].count("\n"), text)
    yield from prose(shown, line)
    yield from _called(shown, line)


READERS: dict[str, Callable[[str], Iterator[Match]]] = {
    ".py": python,
    ".md": markdown,
    ".jinja": template,
    ".js": script,
    ".css": script,
    ".json": stored,
    ".jsonl": stored,
    ".toml": prose,
    ".svg": prose,
}


def search(path: Path, root: Path = ROOT) -> list[str]:
    """Search a file, and its own name; a line of text for each retired word in it."""
    text = path.read_text(encoding="utf-8")
    reader = glossary if path == GLOSSARY else READERS[path.suffix]
    return report(str(path.relative_to(root)), {*reader(text), *_identifier(path.name.partition(".")[0], 1)})


def report(where: str, matches: Iterator[Match] | set[Match]) -> list[str]:
    """Return a line of text for each match, in order."""
    return [f"{where}:{line}: {word!r} is retired; use {RETIRED.use(word)}" for line, word in sorted(set(matches))]


def files(*parts: str) -> list[Path]:
    """Return every file below some folders of the repository, or the files themselves, that there is a reader for."""
    paths = [
        path for part in parts for path in ([ROOT / part] if (ROOT / part).is_file() else (ROOT / part).rglob("*"))
    ]
    return sorted(path for path in paths if path.suffix in READERS and path.is_file())


def _at(text: str, match: re.Match[str], line: int) -> int:
    return line + text.count("\n", 0, match.start())


def _named(name: str, line: int, *, member: bool = False) -> Iterator[Match]:
    if word := RETIRED.name(name, member=member):
        yield line, word


def _identifier(name: str, line: int, *, member: bool = False) -> Iterator[Match]:
    """A name, and the phrases in it: names of tests are sentences."""
    yield from _named(name, line, member=member)
    if "_" in name:
        yield from prose(name.replace("_", " "), line)


def _names_of(node: ast.AST, line: int) -> Iterator[Match]:
    """Every name that a node holds: fields that are text, except the value of a constant."""
    member = isinstance(node, (ast.Attribute, ast.keyword, ast.arg, ast.MatchClass))
    for _, value in ast.iter_fields(node):
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                for name in text.split("."):
                    yield from _identifier(name, line, member=member)
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield from _named(node.target.id, line, member=True)
    keys = node.keys if isinstance(node, ast.Dict) else [node.slice] if isinstance(node, ast.Subscript) else []
    for key in keys:
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield from _named(key.value, line, member=True)


def _string(text: str, line: int) -> Iterator[Match]:
    """Prose, and the parameters that a docstring documents."""
    yield from prose(text, line)
    if "----" in text:
        for match in _PARAMETERS.finditer(text):
            for name in match[2].split(", "):
                yield from _named(name, _at(text, match, line), member=True)


def _comments(text: str, line: int) -> Iterator[Match]:
    """Prose of comments, those on lines of their own that follow each other taken together."""
    block, begin, last = "", 0, -1
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] == last + 1 and token.line.lstrip().startswith("#"):
            block += "\n" + token.string.lstrip("#")
        else:
            yield from prose(block, begin + line - 1)
            block, begin = token.string.lstrip("#"), token.start[0]
        last = token.start[0]
    yield from prose(block, begin + line - 1)


def _called(text: str, line: int) -> Iterator[Match]:
    for match in _ATTRIBUTE.finditer(text):
        for name in match[1].split():
            yield from _named(name, _at(text, match, line))
