"""The page of commands is what the command line prints."""

from __future__ import annotations

from commands_page import PAGE, page

from graftwork.cli.main import VERBS


def test_the_page_of_commands_is_that_of_the_command_line() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_verb_has_its_part() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"## graft {verb}\n" in text
        assert f"Usage: graft {verb} " in text
