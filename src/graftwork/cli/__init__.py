"""The ``graft`` command: parse, call the verb, show the record."""

from graftwork.cli.main import main

__all__ = ["main"]
