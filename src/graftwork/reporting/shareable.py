"""A run's record as it may be sent to others: no folder of the user's machine is named in a report or a model card."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from graftwork.core.facts import BackboneCard
from graftwork.core.record import Run


def shareable(run: Run) -> Run:
    """Return the record with the last part of every absolute path in its place."""
    paths = sorted({path for path in _paths(run) if Path(path).name}, key=len, reverse=True)

    def short(text: str) -> str:
        for path in paths:  # whole paths: /data is no part of /home/data
            name = Path(path).name.replace("\\", r"\\")
            text = re.sub(rf"(?<![\w./\\-]){re.escape(path)}(?![\w-])", name, text)
        return text

    return dataclasses.replace(
        run,
        command=shlex.join(map(short, shlex.split(run.command))),  # quotes may stand inside a path
        settings={name: _shortened(value, short) for name, value in run.settings.items()},
        cards=tuple(_without_folder(card) for card in run.cards),
        findings=tuple(
            dataclasses.replace(
                one, because=short(one.because), do=short(one.do), examples=tuple(map(short, one.examples))
            )
            for one in run.findings
        ),
        shift=run.shift and dataclasses.replace(run.shift, folder=short(run.shift.folder)),
    )


def _paths(run: Run) -> Iterator[str]:
    """Every absolute path that the record knows."""
    for value in run.settings.values():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(one, str) and Path(one).is_absolute():
                yield one
    for place in (run.folder, *(card.weights for card in run.cards if card.source == "file")):
        if Path(place).is_absolute():
            yield place


def _shortened(value: Any, short: Callable[[str], str]) -> Any:
    if isinstance(value, (list, tuple)):
        return [_shortened(one, short) for one in value]
    return short(value) if isinstance(value, str) else value


def _without_folder(card: BackboneCard) -> BackboneCard:
    return dataclasses.replace(card, weights=Path(card.weights).name) if card.source == "file" else card
