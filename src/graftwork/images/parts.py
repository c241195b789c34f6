"""The parts in which data came split: how people call them, and which of them tests.

A name is that of a part by its words: one of them says which part it is, some say nothing (``set``, ``data``,
numbers), and what is left must be the same for all parts of a split (``seg_train`` and ``seg_test``, but not
``freight train`` and ``test tube``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

UNLABELLED_PART = "unlabelled"
"""Images that the data bring without labels: neither to train nor to test on."""
_WORDS = {
    "train": ("train", "training", "trn", "trainval", "develop", "development"),
    "val": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "tst", "eval", "evaluation", "holdout"),
    UNLABELLED_PART: ("unlabelled", "unlabeled", "pred", "predict", "prediction"),
}
_KIND_OF = {word: kind for kind, words in _WORDS.items() for word in words}
_ORDER = ("train", "val", "test")
_SAYS_NOTHING = frozenset(
    {
        *("for", "to", "set", "data", "dataset", "split", "part", "folder", "file", "files", "sample", "samples"),
        *("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pic", "pics"),
    }
)
_GLUED = re.compile(rf"(?<![^\W\d_])({'|'.join(_KIND_OF)})(set|data|images?|imgs?)(?![^\W\d_])")
"""``trainset`` and the like."""


def kind_of(name: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` where a folder, file or cell is named like a part alone; else None."""
    kind, others = _understood(name)
    return kind if kind in _ORDER and not others else None


def kind_of_file(stem: str) -> str | None:
    """Return the part that a file such as ``train-00000-of-00002`` or ``val_1`` names; else None."""
    kind = _understood(stem)[0]
    return kind if kind in _ORDER else None


def adds_nothing(name: str, part: str) -> bool:
    """Whether a folder's name says no more than that of the part it is in: ``images``, or that part's name again."""
    words = _words(name)
    return bool(words) and all(word in _KIND_OF or word in _SAYS_NOTHING for word in set(words) - set(_words(part)))


def parts_among(names: Iterable[str]) -> dict[str, str]:
    """Return the part of each name that is one, where names of at least two parts go together; else nothing.

    Parts are ``train``, ``val``, ``test`` and ``unlabelled``.
    """
    by_other_words: dict[frozenset[str], dict[str, str]] = {}
    for name in names:
        kind, others = _understood(name)
        if kind is not None:
            by_other_words.setdefault(others, {})[name] = kind
    splits = [parts for parts in by_other_words.values() if len(set(parts.values())) > 1]
    return splits[0] if len(splits) == 1 else {}  # trainA, testA, trainB, testB are two


def develop_or_test(kinds: list[str | None]) -> NDArray[np.str_] | None:
    """(n,) ``develop`` or ``test``: of two parts the second tests, of three the one called test; None where one is."""
    present = [kind for kind in _ORDER if kind in set(kinds)]
    if len(present) < 2:
        return None
    return np.array(["test" if kind == present[-1] else "develop" for kind in kinds], np.str_)


def _understood(name: str) -> tuple[str | None, frozenset[str]]:
    """Return which part a name says, if it says one, and its other words that say anything."""
    words = _words(name)
    kinds = {_KIND_OF[word] for word in words if word in _KIND_OF}
    others = frozenset(word for word in words if word not in _KIND_OF and word not in _SAYS_NOTHING)
    if UNLABELLED_PART in kinds:  # of train_unlabeled, too
        return UNLABELLED_PART, others
    return (kinds.pop() if len(kinds) == 1 else None), others


def _words(name: str) -> list[str]:
    """``TrainData_2`` as ``train`` and ``data``; numbers are no words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", _GLUED.sub(r"\1 \2", apart.lower()))
