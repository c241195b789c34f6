"""Protobuf's text format, as people write networks of Caffe in it; every mistake is told with its line.

https://protobuf.dev/reference/protobuf/textformat-spec/ describes the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from graftwork.backbones.caffe.schema import IGNORED, MESSAGES, NUMBERS, OPEN, Field, Message
from graftwork.errors import BackboneError, did_you_mean

_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+|\#[^\n]*)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?)
      | (?P<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
      | (?P<symbol>[{}<>\[\]:;,-])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_BOOLEANS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
_INFINITE = {"inf", "infinity", "nan"}
_PAIRS = {"{": "}", "<": ">"}
_DEEPEST = 32
_LARGEST = 16 * 2**20
_MOST_DIGITS = 100


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def parsed(text: str, kind: str, where: str) -> Message:
    """Return the message that a text describes.

    Parameters
    ----------
    kind
        Its name in the schema, ``NetParameter`` for a network.
    where
        The file, for messages.

    Raises
    ------
    BackboneError
        When the text is none of this format; the message names the line.
    """
    if len(text) > _LARGEST:
        raise BackboneError(f"{where} must be the text of a network, but has {len(text):,} characters; check the file")
    return _Parser(text, where).message(kind, "", 0)


class _Parser:
    """Reads one text from its first to its last token."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._tokens = self._split(text)
        self._next = next(self._tokens)

    def message(self, kind: str, closing: str, depth: int) -> Message:
        """The fields up to a closing bracket, which is consumed; up to the end where ``closing`` is empty."""
        line = self._next.line
        if depth > _DEEPEST:
            raise self._broken(line, f"messages are nested more than {_DEEPEST} deep")
        values: dict[str, list[Any]] = {}
        while not self._take(closing):
            name = self._advance()
            if name.kind != "name":
                raise self._broken(name.line, f"{_quoted(name)} is no name of a field")
            field = self._field(kind, name)
            entries = self._values(name, field, depth)
            if field.kind != IGNORED:
                if not field.repeated and len(entries) + len(values.get(name.text, ())) > 1:
                    raise self._broken(name.line, f"`{name.text}` is given twice")
                values.setdefault(name.text, []).extend(entries)
            if not self._take(";"):
                self._take(",")
        return Message(kind, {name: tuple(entries) for name, entries in values.items()}, line)

    def _field(self, kind: str, name: _Token) -> Field:
        fields = MESSAGES.get(kind, {})
        if name.text in fields:
            return fields[name.text]
        if kind not in OPEN and kind != IGNORED:
            hint = did_you_mean(name.text, fields, 1)
            raise self._broken(name.line, f"`{name.text}` is no field of {kind} that graftwork knows{hint}")
        return Field(IGNORED)

    def _values(self, name: _Token, field: Field, depth: int) -> list[Any]:
        colon = self._take(":")
        if self._next.text in _PAIRS and self._next.kind == "symbol":
            return [self._submessage(name, field, depth)]
        if not colon:
            raise self._broken(name.line, f"`{name.text}` must be followed by a colon or a bracket")
        if not self._take("["):
            return [self._scalar(name, field)]
        entries: list[Any] = []
        while not self._take("]"):
            if entries and not self._take(","):
                raise self._broken(self._next.line, f"the list of `{name.text}` has {_quoted(self._next)} for a comma")
            inside = self._next.kind == "symbol" and self._next.text in _PAIRS
            entries.append(self._submessage(name, field, depth) if inside else self._scalar(name, field))
        return entries

    def _submessage(self, name: _Token, field: Field, depth: int) -> Message:
        if field.kind in NUMBERS or field.kind == "string":
            raise self._broken(name.line, f"`{name.text}` must be one value, not a message")
        return self.message(field.kind, _PAIRS[self._advance().text], depth + 1)

    def _scalar(self, name: _Token, field: Field) -> Any:
        token = self._advance()
        if token.kind == "string":
            text = _unescaped(token.text)
            while self._next.kind == "string":
                text += _unescaped(self._advance().text)
            if field.kind not in ("string", IGNORED):
                raise self._broken(token.line, f"`{name.text}` must be a {field.kind}, not a string")
            return text.decode("utf-8", "replace")
        minus = token.text == "-" and token.kind == "symbol"
        if minus:
            token = self._advance()
        if token.kind not in ("name", "number") or len(token.text) > _MOST_DIGITS:
            raise self._broken(token.line, f"`{name.text}` must have a value, but has {_quoted(token)}")
        value = _converted(token.text, minus, field)
        if value is None:
            choices = f", one of {', '.join(field.choices)}" if field.choices else ""
            value_text = "-" * minus + token.text
            raise self._broken(token.line, f"`{name.text}` must be a {field.kind}{choices}, but is {value_text}")
        return value

    def _take(self, symbol: str) -> bool:
        """Consume the next token if it is this symbol; an empty one stands for the end."""
        if self._next.text != symbol or self._next.kind not in ("symbol", "end"):
            return False
        if symbol:
            self._next = next(self._tokens)
        return True

    def _advance(self) -> _Token:
        token = self._next
        if token.kind == "end":
            raise self._broken(token.line, "the text ends within a message")
        self._next = next(self._tokens)
        return token

    def _split(self, text: str) -> Iterator[_Token]:
        at, line = 0, 1
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._broken(line, f"{text[at]!r} begins nothing that a prototxt can hold")
            if match.lastgroup != "space":
                yield _Token(match.lastgroup or "", match[0], line)
            line += match[0].count("\n")
            at = match.end()
        yield _Token("end", "", line)

    def _broken(self, line: int, why: str) -> BackboneError:
        return BackboneError(
            f"{self._where} must be a network of Caffe as text, but in line {line}: {why}; correct the line"
        )


def _converted(text: str, minus: bool, field: Field) -> Any:
    """The value of a token as a field needs it; None where it cannot be one."""
    if field.kind == IGNORED:
        return text
    if field.kind == "bool":
        return None if minus else _BOOLEANS.get(text)
    if field.kind == "enum":
        if text.isdigit() and field.choices:
            return field.choices[int(text)] if int(text) < len(field.choices) else None
        return text if not minus and (text in field.choices or not field.choices) else None
    sign = -1 if minus else 1
    try:
        if field.kind == "int":
            octal = len(text) > 1 and text.startswith("0") and text[1:].isdigit()
            number = sign * int(text, 8 if octal else 0)
            return number if abs(number) < 2**63 else None
        if field.kind == "float":
            word = text.lower()
            if word.startswith("0x"):
                return float(sign * int(word, 16))
            return sign * float(word if word in _INFINITE else word.removesuffix("f"))
    except (ValueError, OverflowError):
        pass
    return None


def _unescaped(quoted: str) -> bytes:
    return _ESCAPE.sub(_character, quoted[1:-1].encode())


def _character(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, short, long, letter = match.groups()
    if octal is not None:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if letter is not None:
        return _LETTERS.get(letter, letter)
    number = int(short or long, 16)
    return chr(number if number < 0x110000 else 0xFFFD).encode("utf-8", "replace")


def _quoted(token: _Token) -> str:
    if token.kind == "end":
        return "the end of the text"
    text = "".join(letter if letter.isprintable() else "?" for letter in token.text)
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"
