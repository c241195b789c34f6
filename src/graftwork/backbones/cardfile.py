"""A card on disk: one spelling for ``cards.toml``, the JSON next to a file of weights, and a model folder.

::

    {"architecture": "resnet50", "model_args": {}, "sha256": "…", "licence": "Apache-2.0",
     "pretraining_data": "ImageNet-1k; non-commercial research and education", "batchnorm_statistics": "source",
     "input": {"size": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "crop_pct": 0.95,
               "interpolation": "bicubic", "channels": "RGB", "aspect": "crop", "intensity": "dataset"}}

Only the architecture is required. Fields of other programs are ignored, unless they look like a misspelled one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from graftwork.core.facts import BackboneCard, Preprocess
from graftwork.errors import BackboneError, did_you_mean

INPUT = "input"
"""The key of the preprocessing, which a model folder has in a file of its own."""

_DATA = "pretraining_data"
_CARD_NAMES = {"preprocess": INPUT, "weights_sha256": "sha256"}
_INPUT_NAMES = {"input_px": "size", "crop_fraction": "crop_pct"}
_UNKNOWN = "unknown"
_MISSPELLED = 0.8
"""Similarity from which a field that no card has is taken for a misspelled one (difflib's ratio)."""

_CONVERTER = cattrs.Converter()
# the input first: the card's hooks are built from what is registered by then
for _record, _names in ((Preprocess, _INPUT_NAMES), (BackboneCard, _CARD_NAMES)):
    _renamed: Any = {name: override(rename=spelling) for name, spelling in _names.items()}
    _CONVERTER.register_structure_hook(_record, make_dict_structure_fn(_record, _CONVERTER, **_renamed))
    _CONVERTER.register_unstructure_hook(_record, make_dict_unstructure_fn(_record, _CONVERTER, **_renamed))


def card_of(facts: Any, where: str, **known: str) -> BackboneCard:
    """Return the card that a mapping describes.

    Parameters
    ----------
    facts
        What was read from a file.
    where
        The file, for messages.
    known
        Fields that do not come from the file: ``name``, ``source``, ``weights``.

    Raises
    ------
    BackboneError
        When a field is missing, misspelled or of another type.
    """
    if not isinstance(facts, Mapping) or not isinstance(facts.get(INPUT, {}), Mapping):
        raise _broken(where, "it is no object with fields, or its `input` is none")
    _require_no_misspelling(facts, {*_spellings(BackboneCard, _CARD_NAMES), _DATA}, where)
    _require_no_misspelling(facts.get(INPUT, {}), _spellings(Preprocess, _INPUT_NAMES), where)
    if not isinstance(facts.get("architecture"), str):
        raise _broken(where, "it has no `architecture`, the name of a network of timm (`timm.list_models()`)")
    checksum = facts.get("sha256")
    if checksum is not None and not re.fullmatch(r"[0-9a-f]{64}", str(checksum)):
        raise _broken(where, f"its `sha256` is not 64 hexadecimal digits: {checksum}")
    std = facts.get(INPUT, {}).get("std")
    if isinstance(std, (list, tuple)) and not all(isinstance(value, (int, float)) and value > 0 for value in std):
        raise _broken(where, f"its `std` must be above 0 in each channel, but is {list(std)}")
    data, _, terms = str(facts.get(_DATA) or _UNKNOWN).partition(";")
    try:
        return _CONVERTER.structure(
            {
                INPUT: {},
                **{name: value for name, value in facts.items() if value is not None},
                "trained_on": data.strip(),
                "data_terms": terms.strip() or _UNKNOWN,
                **known,
            },
            BackboneCard,
        )
    except (cattrs.BaseValidationError, ValueError, TypeError) as error:
        places = cattrs.transform_error(error, path="card", format_exception=_reason)
        raise _broken(where, "; ".join(map(_respelled, places))) from error


def mapping_of(card: BackboneCard) -> dict[str, Any]:
    """Return a card as a mapping for JSON; ``card_of`` returns the same card from it."""
    facts = _CONVERTER.unstructure(card)
    terms = facts.pop("data_terms")
    facts[_DATA] = facts.pop("trained_on") + (f"; {terms}" if terms != _UNKNOWN else "")
    return {name: value for name, value in facts.items() if value is not None}


def _spellings(record: type, names: Mapping[str, str]) -> set[str]:
    return {names.get(name, name) for name in record.__dataclass_fields__} - {"trained_on", "data_terms"}  # type: ignore[attr-defined]


def _require_no_misspelling(facts: Mapping[str, Any], fields: set[str], where: str) -> None:
    for name in facts:
        if name not in fields and difflib.get_close_matches(name, fields - facts.keys(), 1, _MISSPELLED):
            raise _broken(where, f"there is no field `{name}`{did_you_mean(name, fields - facts.keys(), 1)}")


def _reason(error: BaseException, kind: Any) -> str:
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        return f"must be one of {', '.join(map(str, choices))}"
    return f"must be {kind.__name__}" if isinstance(kind, type) else f"must be valid ({error})"


def _respelled(place: str) -> str:
    """The place of an error, as the file spells its fields."""
    spelling = {**_CARD_NAMES, **_INPUT_NAMES}
    return re.sub(r"(?<=\.)\w+", lambda field: spelling.get(field[0], field[0]), place)


def _broken(where: str, why: str) -> BackboneError:
    return BackboneError(f"{where} must describe a network (at least its architecture), but: {why}; correct the file")
