"""Fine-tunings as the report draws them: how they learned, and what is read where the network is cut."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from graftwork.core.choose import Verdict
from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Candidate, Linear, Recipe, frozen_depth, labels_of
from graftwork.core.trials import Trial

Cuts = Mapping[str, Sequence[tuple[float, int]]]
"""Lines of the cut curve by name: by rising depth, how much is frozen and which trial stands there."""


def trainings(trials: Sequence[Trial]) -> dict[str, Trial]:
    """Every training that left a learning curve, by its label; the shares of the way come from one and the same."""
    found: dict[Candidate, Trial] = {}
    for trial in trials:
        plan = trial.candidate.plan
        if isinstance(plan, Recipe) and trial.curve:
            found.setdefault(dataclasses.replace(trial.candidate, plan=dataclasses.replace(plan, alpha=1.0)), trial)
    if not found:
        return {}
    labels = labels_of(list(found))
    again = [labels[: i + 1].count(label) for i, label in enumerate(labels)]  # recipes may differ in their rates alone
    names = [label if n == 1 else f"{label} ({n})" for label, n in zip(labels, again, strict=True)]
    return dict(zip(names, found.values(), strict=True))


def cut_lines(verdict: Verdict, trials: Sequence[Trial], cards: Sequence[BackboneCard]) -> Cuts:
    """The lines of the cut curve, with the best candidate of each kind at each depth; none where nothing was tuned."""
    tuned = {t.candidate.backbone for t in trials if isinstance(t.candidate.plan, Recipe)}
    views = min(t.candidate.views for t in trials)
    lines: dict[str, dict[float, int]] = {}
    for i, trial in enumerate(trials):
        candidate = trial.candidate
        depth = frozen_depth(candidate, cards)
        if candidate.backbone not in tuned or candidate.views > views or math.isnan(depth):
            continue
        name = _line(candidate) + (f", {candidate.backbone}" if len(tuned) > 1 else "")
        here = lines.setdefault(name, {})
        here[depth] = min(here.get(depth, i), i, key=lambda j: (on_fewer(verdict, trials, j), verdict.rows[j].deficit))
    return {name: sorted(points.items()) for name, points in lines.items()}


def on_fewer(verdict: Verdict, trials: Sequence[Trial], position: int) -> bool:
    """Whether a candidate was judged on fewer images than the chosen one."""
    run = trials[verdict.chosen].run
    return bool((trials[position].run & run).sum() < run.sum())


def _line(candidate: Candidate) -> str:
    if isinstance(candidate.plan, Linear):
        return "frozen: linear on that layer"
    return "from scratch" if candidate.plan.start == "random" else "tuned above it"
