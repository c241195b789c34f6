"""Runs compared on the images that all of them were tested on."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import graftwork
from graftwork.core.record import Run
from graftwork.errors import ModelError, UsageError
from graftwork.runfolder import write_run


@pytest.fixture(scope="module")
def pair(
    tiny: Path, random_network: dict[str, object], shared_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Run]:
    """A bad layer and a good one; the second run finds the same images under other names, in another order."""
    folder = tmp_path_factory.mktemp("pair")
    first = graftwork.train(tiny, output=folder / "bad", test="0.5", layer="blocks.4", **random_network)
    renamed = folder / "renamed"
    for path in tiny.rglob("*.png"):
        number = 999 - int(path.stem[-3:])
        (renamed / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, renamed / path.parent.name / f"{number}.png")
    second = graftwork.train(
        renamed, output=folder / "good", split_from=first.folder, layer="blocks.3", **random_network
    )
    return first, second


def said_of(run: Run) -> dict[str, str]:
    """The class that a run predicts for each test image, by digest."""
    return {
        run.images.digests[row]: run.classes[c]
        for row, c in zip(run.test.rows, run.test.probabilities.argmax(axis=1), strict=True)
    }


def truth_of(run: Run) -> dict[str, str]:
    return {run.images.digests[row]: run.images.labels[row] for row in run.test.rows}


def test_each_run_has_the_score_of_its_own_test_and_the_better_one_leads(pair: tuple[Run, Run]) -> None:
    first, second = pair
    comparison = graftwork.compare([first.folder, second.folder])
    assert [row.label for row in comparison.rows] == [first.folder, second.folder]
    assert [row.score for row in comparison.rows] == pytest.approx([first.test.score.value, second.test.score.value])
    assert [(row.low, row.high) for row in comparison.rows] == [
        (t.score.low, t.score.high) for t in (first.test, second.test)
    ]
    assert second.test.score.value > first.test.score.value
    assert comparison.rows[1].deficit == 0
    assert comparison.rows[0].deficit == pytest.approx(second.test.score.value - first.test.score.value)
    assert comparison.rows[0].beaten


def test_the_interval_of_the_difference_is_that_of_the_paired_bootstrap_computed_exactly(
    pair: tuple[Run, Run],
) -> None:
    first, second = pair
    truth, one, two = truth_of(first), said_of(first), said_of(second)
    sums = []  # per class, the probability of each sum of differences over as many images drawn with replacement
    for name in first.classes:
        images = [digest for digest in truth if truth[digest] == name]
        gains = [(two[d] == name) - (one[d] == name) for d in images]
        share = np.array([gains.count(gain) for gain in (-1, 0, 1)]) / len(gains)
        sums.append(functools.reduce(np.convolve, [share] * len(images)))
    likely = functools.reduce(np.convolve, sums)
    gained = sum((two[d] == truth[d]) - (one[d] == truth[d]) for d in truth)
    distance = np.abs(np.arange(len(likely)) - len(truth) - gained)
    half = next(h for h in range(len(truth)) if likely[distance <= h].sum() >= 0.95)
    row = graftwork.compare([first.folder, second.folder]).rows[0]
    n = len(truth)
    assert (n * row.deficit_low, n * row.deficit_high) == pytest.approx((gained - half, gained + half))
    assert 0 < half < gained


def test_recall_of_each_class_is_counted_by_run(pair: tuple[Run, Run]) -> None:
    comparison = graftwork.compare([run.folder for run in pair])
    assert comparison.classes == pair[0].classes
    for run, shares in zip(pair, comparison.recall, strict=True):
        truth, said = truth_of(run), said_of(run)
        for name, share in zip(comparison.classes, shares, strict=True):
            images = [digest for digest in truth if truth[digest] == name]
            assert (share.hits, share.of) == (sum(said[d] == name for d in images), len(images))


def test_the_images_that_changed_are_named_gained_ones_first(pair: tuple[Run, Run]) -> None:
    first, second = pair
    comparison = graftwork.compare([first.folder, second.folder])
    digest = dict(zip(first.images.names, first.images.digests, strict=True))
    truth, one, two = truth_of(first), said_of(first), said_of(second)
    assert {digest[change.name] for change in comparison.changed} == {d for d in truth if one[d] != two[d]}
    for change in comparison.changed:
        d = digest[change.name]
        assert (change.label, change.first, change.second) == (truth[d], one[d], two[d])
    gained = [change.second == change.label for change in comparison.changed]
    assert gained == sorted(gained, reverse=True)
    assert any(gained)


def test_the_order_in_which_runs_are_named_changes_no_figure(pair: tuple[Run, Run]) -> None:
    folders = [run.folder for run in pair]
    there, back = graftwork.compare(folders), graftwork.compare(folders[::-1])
    figures = [[(row.label, row.score, row.deficit) for row in comparison.rows] for comparison in (there, back)]
    assert figures[0] == figures[1][::-1]
    assert there.recall == back.recall[::-1]
    assert len(there.changed) == len(back.changed)


def test_three_runs_are_in_one_table(pair: tuple[Run, Run], tmp_path: Path) -> None:
    shutil.copytree(pair[0].folder, tmp_path / "again")
    comparison = graftwork.compare([pair[0].folder, pair[1].folder, tmp_path / "again"])
    assert len(comparison.rows) == len(comparison.recall) == 3
    assert comparison.rows[2].score == comparison.rows[0].score
    assert comparison.rows[2].deficit == comparison.rows[0].deficit


def test_the_command_prints_the_table_and_the_images(pair: tuple[Run, Run], graft) -> None:
    first, second = pair
    comparison = graftwork.compare([first.folder, second.folder])
    answer = graft("compare", first.folder, second.folder)
    assert answer.code == 0
    for figure in (f"{100 * first.test.score.value:.1f} %", f"{100 * second.test.score.value:.1f} %"):
        assert figure in answer.out
    row = comparison.rows[0]
    assert f"{100 * row.deficit:.1f} (significant)" in answer.out
    assert f"{100 * row.deficit_low:.1f} to {100 * row.deficit_high:.1f}" in answer.out
    recall = next(line for line in answer.out.splitlines() if line.startswith("│ ant "))
    assert [cell.strip() for cell in recall.strip("│").split("│")] == [
        "ant", *(f"{100 * shares[0].hits / shares[0].of:.0f} %" for shares in comparison.recall)
    ]  # fmt: skip
    assert f"{len(comparison.changed)} images are predicted differently by the first two runs" in answer.out
    change = comparison.changed[0]
    assert f"  {change.name}: {change.first} -> {change.second} (true class: {change.label})" in answer.out


def test_the_command_gives_programs_the_same_figures(pair: tuple[Run, Run], graft) -> None:
    folders = [run.folder for run in pair]
    answer = graft("compare", *folders, "--json")
    comparison = graftwork.compare(folders)
    plain = json.loads(answer.out)
    assert plain["metric"] == "accuracy"
    assert [row["deficit_high"] for row in plain["rows"]] == [row.deficit_high for row in comparison.rows]
    assert [[share["hits"] for share in shares] for shares in plain["recall"]] == [
        [share.hits for share in shares] for shares in comparison.recall
    ]
    assert plain["changed"] == [dataclasses.asdict(change) for change in comparison.changed]


def test_one_run_cannot_be_compared(pair: tuple[Run, Run], graft) -> None:
    answer = graft("compare", pair[0].folder)
    assert answer.code == 2
    assert answer.err == "graft: compare needs at least two runs, got 1; name another run's folder\n"


def test_one_folder_is_no_list_of_folders(pair: tuple[Run, Run]) -> None:
    with pytest.raises(UsageError, match=r"runs must be a list of folders, but is '.*'; give at least two in a list"):
        graftwork.compare(str(pair[0].folder))


def test_a_file_is_no_run(pair: tuple[Run, Run]) -> None:
    with pytest.raises(ModelError, match=r"report\.html must be .*, but is a file"):
        graftwork.compare([pair[0].folder, Path(pair[0].folder) / "report.html"])


def test_runs_tested_on_different_images_are_refused_with_what_to_do(
    pair: tuple[Run, Run], tiny: Path, tmp_path: Path, random_network: dict[str, object]
) -> None:
    other = graftwork.train(tiny, output=tmp_path / "other", test="0.5", seed=1, **{**random_network, "layer": "last"})
    here = {other.images.digests[row] for row in other.test.rows}
    there = set(truth_of(pair[0]))
    with pytest.raises(
        UsageError, match=f"share {len(here & there)} of {len(here | there)}; train again with --split-from"
    ):
        graftwork.compare([pair[0].folder, other.folder])


def test_runs_of_different_classes_are_refused(pair: tuple[Run, Run], tmp_path: Path) -> None:
    first = pair[0]
    write_run(dataclasses.replace(first, classes=("ant", "bee", "Cats")), tmp_path / "cats")
    with pytest.raises(
        UsageError, match=rf"^runs must have the same classes, but {first.folder} has cat \(did you mean Cats\?\) and "
    ):
        graftwork.compare([first.folder, tmp_path / "cats"])
    write_run(dataclasses.replace(first, classes=("ant", "bee", "cat", "wasp")), tmp_path / "wasps")
    with pytest.raises(UsageError, match=rf"but {tmp_path / 'wasps'} has wasp and {first.folder} does not; "):
        graftwork.compare([first.folder, tmp_path / "wasps"])


def test_a_run_that_was_not_tested_is_refused(pair: tuple[Run, Run], tmp_path: Path) -> None:
    write_run(dataclasses.replace(pair[0], test=None), tmp_path / "untested")
    with pytest.raises(UsageError, match="untested has no test part; train with --test"):
        graftwork.compare([pair[0].folder, tmp_path / "untested"])
