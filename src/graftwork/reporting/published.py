"""The README of a published network: Hugging Face's form of a model card, its facts from the card and the run."""

from __future__ import annotations

import json
import re
from typing import Any

from graftwork.core.facts import BackboneCard
from graftwork.core.record import Run
from graftwork.reporting.card import escaped, model_card

_IDENTIFIERS = {"bsd-3": "bsd-3-clause", "bsd": "bsd-3-clause", "cc-by-nc": "cc-by-nc-4.0"}
"""What a hub calls some licences that are often written without their version."""
_HUB_LICENCES = re.compile(r"(apache-2\.0|mit|bsd-[23]-clause|cc-by(-nc)?(-sa|-nd)?-\d\.\d|cc0-1\.0|openrail(\+\+)?)$")
_METRICS = {"accuracy": "accuracy", "macro-f1": "f1", "balanced-accuracy": "balanced_accuracy", "log-loss": "log_loss"}


def published_card(name: str, card: BackboneCard, run: Run | None, *, commercial: bool) -> str:
    """Return Markdown with the front matter of a hub.

    Parameters
    ----------
    run
        Where the network comes from; None where it is published as it is.
    commercial
        Whether licence and terms of the data leave commercial use open.
    """
    body = _own_body(name, card) if run is None else model_card(run).split("## How to use it")[0].rstrip()
    terms = "" if commercial else "\n\n**For non-commercial use only**, by its licence or the terms of its data."
    parts = "\n\n".join([body + terms, _use(name, card, _views(run)), _origin(card)])
    return f"---\n{_front_matter(name, card, run)}---\n\n{parts}\n"


def _front_matter(name: str, card: BackboneCard, run: Run | None) -> str:
    licence = card.licence.lower().replace(" ", "-")
    licence = _IDENTIFIERS.get(licence, licence)
    known = _HUB_LICENCES.match(licence) is not None
    facts: dict[str, Any] = {"license": licence if known else "other"}
    if not known:
        facts["license_name"] = card.licence
    facts |= {
        "library_name": "timm" if card.library == "timm" else "graftwork",
        "pipeline_tag": "image-classification" if run is not None else "image-feature-extraction",
        "tags": ["graftwork", "transfer-learning", "image-classification"],
    }
    if run is not None and run.test is not None:
        score = run.test.score
        limits = "" if score.low is None else f", 95 % interval {score.low:.4f} to {score.high:.4f}"
        metric = {
            "type": _METRICS[score.metric], "value": round(score.value, 4),
            "name": f"{score.metric} ({run.test.how}, {len(run.test.y)} images{limits})",
        }  # fmt: skip
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": run.name, "type": "imagefolder", "split": "test"},
            "metrics": [metric],
        }
        facts["model-index"] = [{"name": name, "results": [result]}]
    # JSON is YAML, and leaves no name of the user's a meaning
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in facts.items())


def _own_body(name: str, card: BackboneCard) -> str:
    return f"# {escaped(name)}\n\nA pretrained network, {escaped(card.architecture)}, to build on."


def _views(run: Run | None) -> int:
    """Over how many views of an image the tested classifier averages; 1 where nothing was tested."""
    return 1 if run is None else run.trials[run.verdict.chosen].candidate.views


def _use(name: str, card: BackboneCard, views: int) -> str:
    parts = [
        "## How to use it",
        "With graftwork, in place of any other network, from the folder that holds this file:",
        f"```sh\ngraft train IMAGES --backbone {name}\n```",
    ]
    if card.library == "timm":
        network = f'timm.create_model("local-dir:{name}", pretrained=True)'
        parts += ["Without graftwork:", f"```python\nimport timm\n\nnetwork = {network}\n```"]
    if views > 1:
        parts.append(
            f"Its score is that of {views} views of each image, averaged, which the network alone does not do."
        )
    return "\n\n".join(parts)


def _origin(card: BackboneCard) -> str:
    rows = {
        "architecture": card.architecture,
        "trained on": card.trained_on,
        "licence of its weights": card.licence,
        "terms of its data": card.data_terms,
        "sha256 of its weights": card.weights_sha256 or "not recorded",
        "input": f"{card.preprocess.input_px} px, {card.preprocess.aspect}, {card.preprocess.channels}",
    }
    table = "\n".join(f"| {key} | {escaped(value)} |" for key, value in rows.items())
    return f"## Its network\n\n| | |\n|---|---|\n{table}"
