"""What an argument may be is read from its type; Python and the command line refuse the same values."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Annotated, Any, Literal, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.core.arguments import Arguments, Range, argument, domain_of, hints_of
from graftwork.core.options import (
    ExtractionOptions,
    FineTuneOptions,
    JudgingOptions,
    Options,
    SplitOptions,
    names_of,
    settings_of,
)
from graftwork.errors import UsageError

RECORDS = get_args(Options)
FIELDS = [(record, name) for record in RECORDS for name in hints_of(record)]


@pytest.mark.parametrize(
    ("record", "wrong", "message"),
    [
        (
            JudgingOptions,
            {"metric": "f1"},
            "metric must be accuracy, balanced-accuracy, macro-f1 or log-loss, got 'f1'",
        ),
        (JudgingOptions, {"loss": "hinge"}, "loss must be softmax, svm or auto, got 'hinge'"),
        (JudgingOptions, {"normalise": "L2"}, r"normalise must be standard or l2, got 'L2'"),
        (
            JudgingOptions,
            {"class_weight": "balance"},
            r"class_weight must be auto, none or balanced, got 'balance' \(did you mean balanced\?\)",
        ),
        (JudgingOptions, {"tolerance": -1}, "tolerance must be a number from 0 on, got -1"),
        (JudgingOptions, {"tolerance": math.nan}, "tolerance must be a number from 0 on, got nan"),
        (JudgingOptions, {"tolerance": math.inf}, "tolerance must be a number from 0 on, got inf"),
        (JudgingOptions, {"layer": ["blocks.3"]}, r"layer must be auto, all, last or names in one text, such as "),
        (ExtractionOptions, {"aspect": "letterbox"}, "aspect must be crop, pad, stretch or None, got 'letterbox'"),
        (ExtractionOptions, {"intensity": "percentile"}, "intensity must be dataset, dtype or image, got"),
        (ExtractionOptions, {"pool": "avg"}, "pool must be average or max, got 'avg'"),
        (ExtractionOptions, {"pool": None}, "pool must be average or max, got None"),
        (ExtractionOptions, {"relu": True}, "relu must be auto, before or after, got True"),
        (ExtractionOptions, {"input_px": "96"}, "input_px must be a whole number from 16 on or None, got '96'"),
        (ExtractionOptions, {"input_px": 96.0}, "input_px must be a whole number from 16 on or None, got 96.0"),
        (ExtractionOptions, {"input_px": 15}, "input_px must be a whole number from 16 on or None, got 15"),
        (ExtractionOptions, {"views": 0}, "views must be a whole number from 1 on, got 0"),
        (ExtractionOptions, {"views": True}, "views must be a whole number from 1 on, got True"),
        (ExtractionOptions, {"backbone": ()}, r"backbone must be one name or several, got \(\)"),
        (SplitOptions, {"folds": 1}, "folds must be a whole number from 2 on, got 1"),
        (SplitOptions, {"seed": -1}, "seed must be a whole number from 0 on, got -1"),
        (SplitOptions, {"seed": None}, "seed must be a whole number from 0 on, got None"),
        (SplitOptions, {"test": True}, "test must be text or a number, got True"),
        (FineTuneOptions, {"strategy": "linaer"}, r"strategy must be auto or linear, got .* \(did you mean linear\?\)"),
        (FineTuneOptions, {"augment": "flip"}, "augment must be none, crop or None, got 'flip'"),
        (FineTuneOptions, {"scratch": "yes"}, "scratch must be True or False, got 'yes'"),
        (FineTuneOptions, {"lr": 0}, "lr must be a number above 0 or None, got 0"),
        (FineTuneOptions, {"layer_decay": 1.5}, "layer_decay must be a number above 0, at most 1 or None, got 1.5"),
        (FineTuneOptions, {"batch_size": 1}, "batch_size must be a whole number from 2 on or None, got 1"),
        (
            FineTuneOptions,
            {"freeze_to": 3},
            "freeze_to must be a layer, a number or a share of layers as text, such as",
        ),
    ],
)
def test_a_value_that_is_none_of_those_allowed_is_refused_with_them(
    record: type[Arguments], wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=f"^{message}") as caught:
        record(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("record", "name"), FIELDS)
def test_every_default_is_allowed_and_a_thing_of_no_kind_is_not(record: type[Arguments], name: str) -> None:
    assert getattr(record(), name) == next(f.default for f in dataclasses.fields(record) if f.name == name)
    with pytest.raises(UsageError, match=f"^{name} must be "):
        record(**{name: object()})


@pytest.mark.parametrize(("record", "name"), FIELDS)
def test_the_command_line_has_the_choices_and_the_range_of_the_field(record: type[Arguments], name: str) -> None:
    from click import Choice, FloatRange, IntRange

    from graftwork.cli.options import type_of

    domain, kind = domain_of(hints_of(record)[name]), type_of(hints_of(record)[name])
    if domain.choices:
        assert isinstance(kind, Choice)
        assert tuple(kind.choices) == domain.choices
    elif domain.range is not None:
        assert isinstance(kind, IntRange if int in domain.kinds else FloatRange)
        assert (kind.min, kind.min_open) == (domain.range.low, domain.range.above)
        assert kind.max == (None if math.isinf(domain.range.high) else domain.range.high)
    else:
        assert kind is None


def test_numbers_of_numpy_are_numbers_and_whole_ones_become_pythons_own() -> None:
    options = ExtractionOptions(input_px=np.int64(96), views=np.uint8(2))
    assert (type(options.input_px), type(options.views)) == (int, int)
    assert json.dumps(settings_of("photos", JudgingOptions(tolerance=np.float32(0.5)))).count("0.5") == 1
    assert repr(JudgingOptions(tolerance=1).tolerance) == repr(JudgingOptions(tolerance=1.0).tolerance) == "1.0"
    assert settings_of("photos", SplitOptions(seed=np.int32(3)))["seed"] == 3


@given(st.integers(-5, 5), st.integers(0, 5), st.booleans(), st.integers(-12, 12))
def test_a_range_holds_its_ends_unless_its_lower_one_is_too_low(low: int, width: int, above: bool, value: int) -> None:
    hint = Annotated[int, Range(low, low + width, above)]
    inside = low < value <= low + width or (value == low and not above)
    if inside:
        assert argument("n", value, hint) == value
    else:
        with pytest.raises(UsageError, match=r"^n must be a whole number "):
            argument("n", value, hint)


@given(st.text())
def test_a_text_is_a_choice_only_if_it_is_one(word: str) -> None:
    hint = Literal["crop", "pad"] | None
    if word in ("crop", "pad"):
        assert argument("aspect", word, hint) == word
    else:
        with pytest.raises(UsageError, match=r"^aspect must be crop, pad or None, got "):
            argument("aspect", word, hint)


def test_one_network_is_a_name_a_path_or_a_list_of_them(tmp_path) -> None:
    path = tmp_path / "net.safetensors"
    assert names_of("auto") == ("auto",)
    assert names_of(path) == (str(path),)
    assert names_of(["resnet50", path]) == ("resnet50", str(path))
