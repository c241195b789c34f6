"""Options that several verbs share, each defined once; their values and defaults come from ``core.options``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from graftwork.core.arguments import domain_of, hints_of
from graftwork.core.options import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    DataOptions,
    ExtractionOptions,
    FineTuneOptions,
    JudgingOptions,
    Options,
    SplitOptions,
)

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


def together(*options: Decorator) -> Decorator:
    """Join options into one decorator, in the order in which help lists them."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def of(record: type[Options], name: str, help: str, **settings: Any) -> Decorator:
    """Return the option of one field of a record: its choices, its range and its default are those of the field.

    Parameters
    ----------
    settings
        Of ``click.option``, such as ``metavar`` and ``type``; they have precedence.
    """
    field = next(field for field in dataclasses.fields(record) if field.name == name)
    shown = {"default": field.default, "show_default": field.default is not None}
    return of_type(hints_of(record)[name], f"--{name.replace('_', '-')}", help=help, **{**shown, **settings})


def of_type(hint: Any, *flags: str, **settings: Any) -> Decorator:
    """Return the option of a type that no record has, such as ``Count``; a whole number is an ``N`` in help."""
    if hint is bool:
        return click.option(*flags, is_flag=True, **settings)
    kind = type_of(hint)
    metavar = {"metavar": "N"} if isinstance(kind, click.IntRange) else {}
    return click.option(*flags, **{"type": kind, **metavar, **settings})


def type_of(hint: Any) -> click.ParamType[Any] | None:
    """Return what takes the choices or the range that a type states; None where it states neither."""
    domain = domain_of(hint)
    if domain.choices:
        return click.Choice(domain.choices)
    if domain.range is None:
        return None
    low, high = domain.range.low, None if math.isinf(domain.range.high) else domain.range.high
    if int in domain.kinds:
        return click.IntRange(int(low), None if high is None else int(high))
    return click.FloatRange(low, high, min_open=domain.range.above)


data_argument = click.argument("data", type=click.Path(path_type=Path))
run_argument = click.argument("run", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of a table.")


def _listener(context: click.Context, parameter: click.Parameter, quiet: bool) -> Any:
    """Return what hears the verb: the terminal, or what shows nothing."""
    from graftwork.listener import SILENT
    from graftwork.progress import Terminal

    return SILENT if quiet else Terminal()


quiet_option = click.option("--quiet", "listener", is_flag=True, callback=_listener, help="Print the result alone.")
all_rows_option = click.option(
    "--all", "all_rows", is_flag=True, help="Print a row for every candidate, and not only for the best of each kind."
)

image_column_option = of(
    DataOptions,
    "image_column",
    f"Column of a table with the images; recognised without it: {', '.join(IMAGE_COLUMNS)}.",
    metavar="COLUMN",
)
label_options = together(
    image_column_option,
    of(
        DataOptions,
        "label_column",
        f"Column of a table with the labels; recognised without it: {', '.join(LABEL_COLUMNS)}.",
        metavar="COLUMN",
    ),
    of(
        DataOptions,
        "label_level",
        "Which folder on the way to an image is its class, counted from 1.",
    ),
)
group_option = of(
    DataOptions,
    "group_by",
    "What keeps images together: a pattern (its first capture in their names), a table's column, or likely series.",
    metavar="REGEX|COLUMN|series",
)
data_options = together(label_options, group_option)
strategy_option = of(FineTuneOptions, "strategy", "Linear classifiers and fine-tunings, or linear classifiers alone.")
time_limit_option = of(
    FineTuneOptions, "time_limit", "Such as 90s, 10m, 2h; refit and test included.", metavar="TIME|none"
)

_BACKBONE = "A timm name, torchvision:NAME, a name of your zoo, a .safetensors file, or auto"
backbone_option = of(ExtractionOptions, "backbone", f"{_BACKBONE}.", metavar="NAME|FILE", default="auto")
backbones_option = of(
    ExtractionOptions, "backbone", f"{_BACKBONE}; several networks compete.", metavar="NAME|FILE", multiple=True
)

extraction_options = together(
    of(ExtractionOptions, "aspect", "How an oblong image becomes square."),
    of(ExtractionOptions, "input_px", "Side of the network's input, in pixels."),
    of(ExtractionOptions, "intensity", "Which range of a 16-bit image becomes black to white."),
    of(ExtractionOptions, "pool", "How a layer with a spatial extent becomes one vector."),
    of(ExtractionOptions, "relu", "Take codes of layers that end in a ReLU before or after it."),
    of(ExtractionOptions, "views", "Number of views over which codes are averaged."),
)

engine_option = of(
    ExtractionOptions,
    "engine",
    "What computes codes: the fastest whose codes agree with float32, or a network in 8 bits, which is faster and "
    "changes decisions; how many is measured.",
)

fine_tune_options = together(
    of(
        FineTuneOptions,
        "freeze_to",
        "Fine-tune the layers above this one, in place of the default cuts.",
        metavar="LAYER|N|P%",
    ),
    of(FineTuneOptions, "scratch", "Also try random weights."),
    of(FineTuneOptions, "exhaustive", "Run every fine-tuning on all folds."),
    of(FineTuneOptions, "repeats", "Number of seeds of each fine-tuning."),
    of(FineTuneOptions, "epochs", "Number of epochs, in place of the recipe's."),
    of(
        FineTuneOptions,
        "batch_size",
        "Images per step; below 32 the learning rate falls with it.",
    ),
    of(
        FineTuneOptions,
        "lr",
        "Learning rate of the head and the top of the body.",
        metavar="RATE",
    ),
    of(
        FineTuneOptions,
        "layer_decay",
        "Factor of the learning rate from one stage to the stage below it.",
        metavar="FACTOR",
    ),
    of(
        FineTuneOptions,
        "patience",
        "Stop a training early, after N epochs without a lower log loss on validation images.",
    ),
    of(FineTuneOptions, "augment", "Augmentation: random crops and flips, or none."),
)

loss_option = of(JudgingOptions, "loss", "Logistic regression (softmax), a linear SVM, or both (auto).")
tolerance_option = of(
    JudgingOptions,
    "tolerance",
    "By how many points a cheaper candidate may be worse than the best.",
    metavar="POINTS",
)
layer_option = of(
    JudgingOptions,
    "layer",
    "Layers under the classifier; auto tries each of them and all together.",
    metavar="auto|all|last|NAME,NAME",
)

judging_options = together(
    of(JudgingOptions, "metric", "By what candidates are compared; it leads the report."),
    of(JudgingOptions, "normalise", "Codes with mean 0 and variance 1 in every dimension, or of length 1."),
    of(
        JudgingOptions,
        "class_weight",
        "Whether classes weigh the same in fitting; auto: only for balanced accuracy.",
    ),
    of(SplitOptions, "folds", "Folds of the cross-validation."),
    of(SplitOptions, "seed", "Seed of all random numbers."),
)

split_options = together(
    of(
        SplitOptions,
        "test",
        "What tests the model: a share of the images, other images, or nested cross-validation.",
        default=str(SplitOptions.test),
        metavar="FRACTION|FOLDER|cv",
    ),
    of(
        SplitOptions,
        "split_from",
        "Keep every image on the side of the split that it had in an earlier run.",
        type=click.Path(path_type=Path),
        metavar="RUN",
    ),
)
