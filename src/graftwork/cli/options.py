"""Options that several verbs share, each said once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Join options into one decorator, in the order in which help lists them."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


data_argument = click.argument("data", type=click.Path(path_type=Path))
run_argument = click.argument("run", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="JSON for programs instead of a table.")
quiet_option = click.option("--quiet", is_flag=True, help="Say only what the result is, and how fine-tunings go.")

group_option = click.option(
    "--group-by",
    metavar="REGEX|COLUMN|series",
    help="Images whose names share this pattern's first capture, a table's column, or likely series stay together.",
)

strategy_option = click.option(
    "--strategy",
    type=click.Choice(["auto", "linear"]),
    default="auto",
    show_default=True,
    help="Linear models and fine-tunings, or linear models alone.",
)
time_limit_option = click.option(
    "--time-limit", metavar="TIME|none", help="Such as 90s, 10m, 2h; refit included.", show_default=True, default="10m"
)

backbone_option = click.option(
    "--backbone",
    default="auto",
    show_default=True,
    metavar="NAME|FILE",
    help="A timm or torchvision name, a .safetensors file, or auto.",
)
backbones_option = click.option(
    "--backbone",
    multiple=True,
    default=("auto",),
    show_default=True,
    metavar="NAME|FILE",
    help="A timm or torchvision name, a .safetensors file, or auto; given several times, all compete.",
)

extraction_options = together(
    click.option("--aspect", type=click.Choice(["crop", "pad", "stretch"]), help="How an oblong image becomes square."),
    click.option(
        "--input-px", type=click.IntRange(min=16), metavar="N", help="Side of the network's input, in pixels."
    ),
    click.option(
        "--intensity",
        type=click.Choice(["dataset", "dtype", "image"]),
        default="dataset",
        show_default=True,
        help="Which range of a 16-bit image becomes black to white.",
    ),
    click.option("--pool", type=click.Choice(["average", "max"]), default="average", show_default=True),
    click.option(
        "--relu",
        type=click.Choice(["auto", "before", "after"]),
        default="auto",
        show_default=True,
        help="Read layers that end in a ReLU before or after it.",
    ),
    click.option(
        "--views", type=click.IntRange(min=1), default=1, show_default=True, help="Codes averaged over K views."
    ),
)

fine_tune_options = together(
    click.option(
        "--freeze-to", metavar="LAYER|N|P%", help="Tune what lies above this layer, in place of the usual cuts."
    ),
    click.option("--scratch", is_flag=True, help="Try random weights, too."),
    click.option("--exhaustive", is_flag=True, help="Run every fine-tuning on all folds."),
    click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True, help="Seeds of a fine-tuning."),
    click.option("--epochs", type=click.IntRange(min=1), metavar="N"),
    click.option(
        "--batch-size", type=click.IntRange(min=2), metavar="N", help="Images a step; below 32 the rate falls with it."
    ),
    click.option(
        "--lr", type=click.FloatRange(min=0, min_open=True), metavar="RATE", help="Of the head and the top of the body."
    ),
    click.option("--layer-decay", type=click.FloatRange(0, 1, min_open=True), metavar="FACTOR"),
    click.option(
        "--patience",
        type=click.IntRange(min=1),
        metavar="N",
        help="Stop a training early, after N epochs without a lower log loss on images left out.",
    ),
    click.option("--augment", type=click.Choice(["none", "crop"])),
)

judging_options = together(
    click.option(
        "--metric",
        type=click.Choice(["accuracy", "balanced-accuracy", "macro-f1", "log-loss"]),
        default="accuracy",
        show_default=True,
        help="Rules every choice and leads the report.",
    ),
    click.option("--normalise", type=click.Choice(["standard", "l2"]), default="standard", show_default=True),
    click.option("--class-weight", type=click.Choice(["auto", "none", "balanced"]), default="auto", show_default=True),
    click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
)

split_options = together(
    click.option(
        "--test",
        default="0.2",
        show_default=True,
        metavar="FRACTION|FOLDER|cv",
        help="What tests the model: a share, other images, or nested cross-validation.",
    ),
    click.option(
        "--like", type=click.Path(path_type=Path), metavar="RUN", help="Keep every image on the side it had in RUN."
    ),
)
