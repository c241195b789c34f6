"""``python -m graftwork.cli``: the command where scripts are not on the path."""

from graftwork.cli.main import main

main()
