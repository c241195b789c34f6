"""``graft advise``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graftwork.cli import options
from graftwork.core.options import JudgingOptions


@click.command("advise", short_help="When and how to transfer: the rule, and the evidence.")
@options.data_argument
@options.backbones_option
@options.extraction_options
@options.of(JudgingOptions, "loss", "Logistic regression (softmax), a linear SVM, or both (auto).", default="softmax")
@options.judging_options
@options.split_options
@options.data_options
@options.json_option
@options.quiet_option
def command(*, as_json: bool, data: Path, **arguments: Any) -> None:
    """Say whether to freeze or to fine-tune, and which layers: the rule of thumb, and what was measured."""
    from graftwork.cli.advice import show_advice
    from graftwork.verbs.advise import advise

    show_advice(advise(data, **arguments), as_json=as_json)
