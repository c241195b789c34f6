"""The zoo: list, show, fetch, check, import, publish and profile pretrained networks; ``graft zoo`` in the shell.

Read ``listing`` (what there is), then ``importing`` and ``pulling`` (how a network comes into the user's zoo, by
``entries``), then ``publishing`` with ``published`` (what a published network looks like). Where the user's zoo is, and
how a name of it becomes a card, is in ``backbones/zoo_folder.py``. What must hold: a network is in the zoo whole, its
checksums right and nothing of it run, or it is not there.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "import_": ("importing", "import_"),
    "list": ("listing", "list_networks"),
    "profile": ("profiles", "profile"),
    "publish": ("publishing", "publish"),
    "pull": ("pulling", "pull"),
    "show": ("listing", "show"),
    "verify": ("pulling", "verify"),
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'graftwork.zoo' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(f"graftwork.zoo.{module}"), attribute)


def __dir__() -> list[str]:  # the builtin, not the verb
    return [*__all__]
