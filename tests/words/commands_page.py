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
        own = click.Context(command, info_name=verb, parent=context, max_content_width=WIDTH, terminal_width=WIDTH)
        lines += [
            f"## graft {verb}",
            "",
            "```",
            *(line.rstrip() for line in command.get_help(own).splitlines()),
            "```",
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
