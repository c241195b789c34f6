"""The ``graft`` command: parse the arguments, call the verb, show its record.

Read ``main`` first, then ``train`` as the example of a subcommand: one file each, with no logic of its own.
``options`` has what several share, with choices and defaults from ``core.options``; ``answer`` prints what a training
answers, ``advice`` what ``advise`` does, ``show`` other records, ``predictions`` tables of predictions, and ``lines``
keeps messages on one line. Heavy imports stay inside functions, so that ``graft --help`` is quick.
"""

from graftwork.cli.main import main

__all__ = ["main"]
