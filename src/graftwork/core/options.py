"""What a user can decide, a record for each kind: the settings of a run are these, and the command line takes from them
which values there are and which one is the default. A record refuses a value that its field's type does not allow.

``None`` leaves a decision to graftwork, which prints and records what it decided.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from graftwork.core.arguments import Arguments, Range
from graftwork.core.facts import Aspect, Intensity, Metric, Pool, Relu
from graftwork.core.plans import Augment, Loss, Normalise
from graftwork.errors import UsageError

AUTO = "auto"
SERIES = "series"
"""Value of ``group_by`` for likely series, where images seem to come in series, but no name says so."""
IMAGE_COLUMNS = (
    "image", "path", "file", "filename", "file_name", "image_path", "filepath", "file_path", "img", "image_file",
    "image_name",
)  # fmt: skip
"""Names by which the column with the images is recognised, in any case; the first that is there."""
LABEL_COLUMNS = ("label", "class", "target", "category", "label_name", "class_name", "labels")
"""Names by which the column with the labels is recognised."""
_DECIMAL_COMMA = re.compile(r"\d*,\d+")
"""A share as it is written in much of Europe; a folder of such a name can be given as ``./0,2``."""
T = TypeVar("T")

Count = Annotated[int, Range(1)]
CountFromZero = Annotated[int, Range(0)]
Share = Annotated[float, Range(0, 1)]
PositiveShare = Annotated[float, Range(0, 1, above=True)]
InputPx = Annotated[int, Range(16)]
Layers = Annotated[str, 'auto, all, last or names in one text, such as "blocks.3,blocks.4"']
Part = Literal["develop", "all"]
"""Which images: those of the develop part, or all."""
ExportFormat = Literal["onnx", "openvino", "web"]
ExportInput = Literal["image", "fixed"]
"""What an exported file takes: one decoded image of any size, or any number of images at the network's input size."""
Runtime = Literal["onnxruntime", "openvino", "onnxruntime-web"]
"""What runs an exported file."""
EngineOption = Literal["auto", "int8"]
"""What computes codes."""
SortBy = Literal["name", "size", "operations", "speed", "input", "licence", "family", "accuracy"]
"""What comes first in a list of networks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions(Arguments):
    """Where the labels and the groups of the images are; ``None`` where the names of columns and folders tell."""

    image_column: str | None = None
    """The column of a table with the images; one of ``IMAGE_COLUMNS`` needs no option."""
    label_column: str | None = None
    """The column of a table with the labels; one of ``LABEL_COLUMNS`` needs no option."""
    label_level: Count | None = None
    """Which folder on the way from the root to an image is its class, counted from 1."""
    group_by: str | None = None
    """A column of the table, a regular expression whose first capture in the name is the group, or ``series``."""


DATA_DEFAULTS = DataOptions()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitOptions(Arguments):
    """Which images test, and how those to develop on are divided into folds."""

    test: str | float = 0.2
    """A share of the images, a folder or table of its own, or ``cv`` for nested cross-validation."""
    folds: Annotated[int, Range(2)] = 5
    seed: Annotated[int, Range(0)] = 0
    """Where every draw begins."""
    split_from: str | None = None
    """Folder of an earlier run: every image that it had keeps its side of the split."""

    @property
    def test_part(self) -> tuple[float, str | None]:
        """The share to test on, and the folder or table that tests instead.

        Raises
        ------
        UsageError
            When ``test`` is a number, but no share.
        """
        if self.test == "cv":
            return 0.0, None
        try:
            fraction = float(str(self.test))
        except ValueError:
            if _DECIMAL_COMMA.fullmatch(str(self.test)) is None:
                return 0.0, str(self.test)
            fraction = math.nan
        if not 0 <= fraction < 1:
            raise UsageError(
                f"--test must be a share from 0 to below 1, a folder or cv, got {self.test}; 0.2 is a fifth"
            )
        return fraction, None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtractionOptions(Arguments):
    """Which networks give codes, and how an image becomes their input."""

    backbone: tuple[str, ...] = (AUTO,)
    """Names or files; several compete."""
    aspect: Aspect | None = None
    input_px: InputPx | None = None
    intensity: Intensity = "dataset"
    pool: Pool = "average"
    relu: Relu = "auto"
    views: Count = 1
    engine: EngineOption = "auto"
    """``auto`` is the fastest one whose codes agree with float32; ``int8`` is faster, and changes decisions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgingOptions(Arguments):
    """What is fitted on codes, and by what candidates are judged."""

    layer: Layers = AUTO
    """``auto`` tries every layer and all of them together."""
    loss: Loss | Literal["auto"] = "auto"
    normalise: Normalise = "standard"
    metric: Metric = "accuracy"
    class_weight: Literal["auto", "none", "balanced"] = "auto"
    """``auto`` is ``balanced`` for balanced accuracy."""
    tolerance: Annotated[float, Range(0)] = 1.0
    """Points (hundredths of a nat for log loss) by which a cheaper candidate may be worse."""

    @property
    def losses(self) -> tuple[Loss, ...]:
        """The losses to try."""
        return ("softmax", "svm") if self.loss == "auto" else (self.loss,)

    @property
    def balanced(self) -> bool:
        """Whether classes weigh the same in fitting, however many images they have."""
        return self.class_weight == "balanced" or (self.class_weight == "auto" and self.metric == "balanced-accuracy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTuneOptions(Arguments):
    """What is tried in addition to linear classifiers, and what replaces the recipe's own values."""

    strategy: Literal["auto", "linear"] = "auto"
    time_limit: str | float | None = "10m"
    freeze_to: Annotated[str, 'a layer, a number or a share of layers as text, such as "50%"'] | None = None
    scratch: bool = False
    exhaustive: bool = False
    repeats: Count = 1
    epochs: Count | None = None
    batch_size: Annotated[int, Range(2)] | None = None
    lr: Annotated[float, Range(0, above=True)] | None = None
    layer_decay: PositiveShare | None = None
    patience: Count | None = None
    augment: Augment | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        of_tuning = [field for field in dataclasses.fields(self) if field.name not in ("strategy", "time_limit")]
        given = [field.name for field in of_tuning if getattr(self, field.name) != field.default]
        if self.strategy == "linear" and given:
            raise UsageError(f"{', '.join(given)} must be left out with strategy linear, which fine-tunes nothing")

    @property
    def recipe_values(self) -> dict[str, int | float | str]:
        """Fields of a recipe that the user has decided; the batch size is not one, for the learning rate follows it."""
        values = {name: getattr(self, name) for name in ("epochs", "lr", "layer_decay", "patience", "augment")}
        return {name: value for name, value in values.items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeOptions(Arguments):
    """Where a model is served, to whom, and how much may be sent to it."""

    port: Annotated[int, Range(0, 65535)] = 8000
    """0 takes any that is free."""
    host: str = "127.0.0.1"
    """The address to listen on; only this machine reaches the default one."""
    token: str | None = None
    """What a request must send as its bearer token."""
    show_training_images: bool = False
    """Whether thumbnails of the nearest training images may be seen by who sends an image."""
    explain: bool = False
    """Whether a picture of the evidence may be asked for, which needs the network in torch."""
    novelty_rate: Share = 0.01
    max_upload_mb: Annotated[float, Range(0, above=True)] = 32.0
    """Megabytes (10^6 bytes) of one request."""
    max_megapixels: Annotated[float, Range(0, above=True)] = 50.0
    """Of one image, as its header says, before anything is decoded."""
    max_waiting: Count = 64
    """Number of images that wait or are computed; then more are sent away."""
    upload_seconds: Annotated[float, Range(0, above=True)] = 60.0
    """How long a request may take to arrive."""


Options = DataOptions | SplitOptions | ExtractionOptions | JudgingOptions | FineTuneOptions | ServeOptions


def settings_of(data: str | Path, *options: Options, **further: Any) -> dict[str, Any]:
    """Return everything that a user decided, by the names of the verb's arguments, as JSON holds it."""
    settings: dict[str, Any] = {"data": str(data)}
    for record in options:
        settings |= dataclasses.asdict(record)
    return settings | further


def as_text(value: T | Path) -> T | str:
    """Return a path as text, and anything else as it is."""
    return str(value) if isinstance(value, Path) else value


def names_of(backbone: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """Return the networks that a user names, one or several."""
    several = [backbone] if isinstance(backbone, (str, Path)) else backbone
    return tuple(as_text(name) for name in several)
