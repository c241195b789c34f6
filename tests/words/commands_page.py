"""The page of every verb's help, written from the command line: ``python tests/words/commands_page.py``."""

from __future__ import annotations

from pathlib import Path

import click

from graftwork.cli.main import VERBS, graft

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
WIDTH = 100


def page() -> str:
    """Return the page, as Markdown."""
    lines = [
        "# Commands",
        "",
        "What `graft VERB --help` prints for every verb; written by `make docs`, held to the command line by a test.",
        "In Python each verb is a function of the same name, and its options are arguments: `graftwork.train(...)`.",
        "",
    ]
    context = click.Context(graft, info_name="graft", **graft.context_settings)
    for verb in VERBS:
        command = graft.get_command(context, verb)
        assert command is not None
        lines += _part(command, verb, context, "##")
    return "\n".join(lines)


def _part(command: click.Command, name: str, above: click.Context, heading: str) -> list[str]:
    """The help of a verb, and that of each command in it."""
    own = click.Context(command, info_name=name, parent=above, max_content_width=WIDTH, terminal_width=WIDTH)
    lines = [
        f"{heading} {own.command_path}",
        "",
        "```",
        *(line.rstrip() for line in command.get_help(own).splitlines()),
        "```",
        "",
    ]
    inside = command.commands.items() if isinstance(command, click.Group) else ()
    return [*lines, *(line for part, each in inside for line in _part(each, part, own, f"{heading}#"))]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
