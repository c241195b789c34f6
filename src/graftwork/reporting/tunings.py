"""Fine-tunings as the report draws them: learning curves, and scores by the layer where the network is cut."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from graftwork.core.choose import Verdict
from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Candidate, frozen_depth, labels_of, training_of
from graftwork.core.trials import Trial

Cuts = Mapping[str, Sequence[tuple[float, int]]]
"""Lines of the cut curve by name: by rising depth, the share that is frozen and the position of its trial."""


def trainings(trials: Sequence[Trial]) -> dict[str, Trial]:
    """Every training that left a learning curve, by its label; one training serves every alpha."""
    trained: dict[Candidate, Trial] = {}
    for trial in trials:
        if trial.candidate.plan.kind != "linear" and trial.curve:
            trained.setdefault(training_of(trial.candidate), trial)
    if not trained:
        return {}
    labels = labels_of(list(trained))
    again = [labels[: i + 1].count(label) for i, label in enumerate(labels)]  # learning rates may differ
    names = [label if n == 1 else f"{label} ({n})" for label, n in zip(labels, again, strict=True)]
    return dict(zip(names, trained.values(), strict=True))


def cut_lines(verdict: Verdict, trials: Sequence[Trial], cards: Sequence[BackboneCard]) -> Cuts:
    """The lines of the cut curve, with the best candidate of each kind at each depth; none where nothing was tuned."""
    tuned = {t.candidate.backbone for t in trials if t.candidate.plan.kind != "linear"}
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
    names = {"linear": "linear classifier on this layer", "scratch": "from scratch"}
    return names.get(candidate.plan.kind, "fine-tuned above this layer")
