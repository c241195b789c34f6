"""``probe``: the score of every layer, and what that means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork.core.findings import Finding
from graftwork.verbs.probe import Probe


def of(probe: Probe, code: str) -> Finding | None:
    return next((finding for finding in probe.findings if finding.code == code), None)


@pytest.fixture(scope="module")
def probe(tiny: Path, random_network: dict[str, object], shared_cache: Path) -> Probe:
    return graftwork.probe(tiny, backbone=random_network["backbone"])


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    """Stripes in one grey, as fine as pixels: 16 x 16 pixels show nothing of their direction."""
    for label, name in enumerate(("ant", "bee", "cat")):
        (tmp_path / "turned" / name).mkdir(parents=True)
        for i in range(20):
            y, x = np.mgrid[:32, :32]
            wave = ((x + i) % 2, (y + i) % 2, (x + y + i) % 2)[label] * 120 + 60
            noise = np.random.default_rng([label, i]).normal(0, 25, (32, 32, 3))
            pixels = np.clip(wave[..., None] + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "turned" / name / f"{i}.png")
    return tmp_path / "turned"


def test_every_layer_and_all_of_them_together_are_scored_on_the_develop_part(probe: Probe) -> None:
    layers = [tap.name for tap in probe.card.taps]
    assert [trial.candidate.taps for trial in probe.trials] == [*((name,) for name in layers), tuple(layers)]
    assert (probe.on, probe.images) == ("develop", 48)


def test_a_baseline_within_three_points_of_the_winner_is_a_shortcut(probe: Probe) -> None:
    nearest = max(probe.verdict.baselines, key=lambda row: row.score)
    winner = probe.verdict.rows[probe.verdict.chosen]
    assert winner.score - nearest.score < 0.03
    shortcut = of(probe, "G301")
    assert shortcut is not None
    assert shortcut.severity == "warning"
    assert shortcut.because.startswith(f"{nearest.label} alone scores {100 * nearest.score:.1f} %")


def test_where_only_the_network_classifies_the_images_no_shortcut_is_reported(
    turned: Path, random_network: dict[str, object]
) -> None:
    probe = graftwork.probe(turned, backbone=random_network["backbone"])
    winner = probe.verdict.rows[probe.verdict.chosen]
    assert winner.score - max(row.score for row in probe.verdict.baselines) > 0.03
    assert of(probe, "G301") is None


def test_an_earlier_layer_that_scores_higher_than_the_last_is_reported(probe: Probe) -> None:
    rows = {trial.candidate.taps: row.score for trial, row in zip(probe.trials, probe.verdict.rows, strict=True)}
    single = {taps: score for taps, score in rows.items() if len(taps) == 1}
    gain = max(single.values()) - single[("pooled",)]
    assert gain > 0.1
    earlier = of(probe, "G303")
    assert earlier is not None
    assert f"is {100 * gain:.1f} points above the last layer" in earlier.because


def test_a_run_says_the_same_of_its_layers(tiny: Path, tmp_path: Path, random_network: dict[str, object]) -> None:
    run = graftwork.train(tiny, output=tmp_path / "run", **random_network)
    codes = {finding.code for finding in run.findings}
    assert {"G301", "G303"} <= codes


def test_the_command_prints_what_it_found_above_the_table_and_all_of_it_to_programs(
    probe: Probe, tiny: Path, random_network: dict[str, object], tmp_path: Path, graft: Callable[..., object]
) -> None:
    arguments = (tiny, "--backbone", random_network["backbone"], "--quiet")
    answer = graft("probe", *arguments, "--plot", tmp_path / "layers.html")
    assert answer.code == 0
    assert answer.out.index("warning G301 a shortcut may carry the result") < answer.out.index("out of fold")
    assert "note G303 " in answer.out
    assert "blocks.3, softmax" in answer.out
    assert "<html" in (tmp_path / "layers.html").read_text(encoding="utf-8").lower()
    plain = json.loads(graft("probe", *arguments, "--json").out)
    assert (plain["on"], plain["images"]) == ("develop", 48)
    assert [row["score"] for row in plain["verdict"]["rows"]] == [row.score for row in probe.verdict.rows]
    assert {"G301", "G303"} <= {finding["code"] for finding in plain["findings"]}
