import dataclasses

import numpy as np
from example_run import example_run

from graftwork.core.findings import PAIR, Finding
from graftwork.core.metrics import doubtful_labels
from graftwork.core.splits import make_split
from graftwork.reporting import evidence
from graftwork.reporting.colours import TOKENS
from graftwork.reporting.layers import layer_axis, linear_series, score_range
from graftwork.reporting.page import images_to_show


def test_mistakes_are_wrong_test_images_the_most_confident_first():
    run = example_run(n=800, classes=tuple(f"class {i:03d}" for i in range(200)))
    picks = evidence.mistakes(run)
    assert len(picks) == evidence.MISTAKES
    part = np.array(run.images.parts)
    assert all(part[p.row] == "test" and p.label != p.other for p in picks)
    assert all(run.images.labels[p.row] == run.classes[p.label] for p in picks)
    confidence = [p.other_probability for p in picks]
    assert confidence == sorted(confidence, reverse=True)
    wrong = run.test.probabilities.argmax(axis=1) != run.test.y
    assert confidence[0] == run.test.probabilities[wrong].max()


def test_hits_are_right_and_the_least_confident_first():
    run = example_run(n=240)
    picks = evidence.least_confident_hits(run)
    hit = run.test.probabilities.argmax(axis=1) == run.test.y
    assert [p.label_probability for p in picks] == sorted(run.test.probabilities.max(axis=1)[hit])[: len(picks)]
    assert all(p.other_probability <= p.label_probability for p in picks)


def test_possible_label_errors_come_from_the_develop_part_out_of_fold():
    run = example_run(n=240, flip=20)
    picks, in_all = evidence.possible_label_errors(run, limit=5)
    rows = run.trials[run.verdict.chosen].probabilities
    doubtful = doubtful_labels(run.y, rows)
    assert in_all == len(doubtful.rows) > len(picks) == 5
    assert [p.row for p in picks] == run.develop[doubtful.rows[:5]].tolist()
    assert [p.other for p in picks] == doubtful.suggested[:5].tolist()


def test_every_image_that_a_section_shows_is_asked_for_once():
    run = example_run(n=240, flip=20)
    to_show = images_to_show(run).tolist()
    assert len(to_show) == len(set(to_show))
    shown = [*evidence.mistakes(run), *evidence.least_confident_hits(run), *evidence.possible_label_errors(run)[0]]
    assert {p.row for p in shown} <= set(to_show)
    named = [rows for f in run.findings for _, rows in evidence.example_rows(run, f)]
    assert {row for rows in named for row in rows} <= set(to_show)
    assert () in named  # a file that could not be read has no row
    assert set(evidence.on_projection(run).tolist()) <= set(to_show)
    assert len(evidence.on_projection(run)) == evidence.ON_PROJECTION
    assert to_show == images_to_show(run).tolist()


def test_both_images_of_a_pair_are_shown():
    run = example_run()
    one, other = run.images.names[:2]
    alike = Finding(
        "G106", "warning", "near-duplicates with different labels", "", examples=(one, f"{one}{PAIR}{other}")
    )
    assert [rows for _, rows in evidence.example_rows(run, alike)] == [(0,), (0, 1)]


def test_no_map_asks_for_no_thumbnails_of_it():
    run = dataclasses.replace(example_run(), projection=None)
    assert evidence.on_projection(run).size == 0


def test_an_image_is_never_read_by_a_model_fitted_on_it():
    run = example_run(n=240)
    predicted, confidence = evidence.predictions(run)
    rows = run.trials[run.verdict.chosen].probabilities
    assert (predicted[run.develop] == rows.argmax(axis=1)).all()
    assert (predicted[run.test.rows] == run.test.probabilities.argmax(axis=1)).all()
    assert (confidence[run.develop] == rows.max(axis=1)).all()


def test_the_split_has_the_name_it_had_in_the_run():
    run = example_run()
    y = np.array([run.classes.index(label) for label in run.images.labels])
    split = make_split(y, np.arange(len(y)), seed=0, test_fraction=0.25)
    assert evidence.split_digest(run) == split.digest
    moved = dataclasses.replace(run, develop=run.develop[::-1])
    assert evidence.split_digest(moved) != split.digest


def test_layers_stand_by_depth_and_several_together_last():
    run = example_run()
    assert list(layer_axis(run.trials)) == ["blocks.0", "blocks.1", "blocks.2", "pooled", "all 4 layers"]
    assert list(layer_axis(run.trials[-1:]).values()) == [0.0]
    assert list(linear_series(run.trials)) == ["softmax", "SVM"]


def test_every_candidate_s_interval_is_within_the_chart():
    for metric in ("accuracy", "log-loss"):
        verdict = example_run(metric=metric).verdict
        low, high = score_range(verdict, range(len(verdict.rows)))
        assert all(low <= row.low <= row.high <= high for row in verdict.rows)


def test_text_colours_can_be_read_on_every_ground_in_both_schemes():
    def luminance(colour):
        channel = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    texts = ("ink", "muted", "accent", "second", "good", "caution", "bad")
    pairs = [(g, t) for g in ("page", "panel", "field") for t in texts] + [("hit", "on_cell"), ("miss", "on_cell")]
    for scheme in (0, 1):
        for ground, text in pairs:
            pair = sorted(luminance(TOKENS[name][scheme]) for name in (ground, text))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (scheme, ground, text)


def test_no_two_tokens_share_a_colour_so_that_charts_can_be_repainted_and_back():
    for scheme in (0, 1):
        colours = [pair[scheme] for pair in TOKENS.values()]
        assert len(set(colours)) == len(colours)
    assert not {a for a, _ in TOKENS.values()} & {b for _, b in TOKENS.values()}
