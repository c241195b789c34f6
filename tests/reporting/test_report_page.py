import base64
import dataclasses
import functools
import hashlib
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from example_run import HOSTILE, example_run, write_thumbnails
from parsed import Page
from PIL import Image
from sklearn.metrics import precision_score, recall_score

from graftwork.core.intervals import clopper_pearson
from graftwork.core.metrics import calibration, mean_loss
from graftwork.core.plans import cost_to_use
from graftwork.errors import StorageError
from graftwork.reporting import evidence
from graftwork.reporting.page import images_to_show, render, write_layer_plot, write_report
from graftwork.runfolder import write_run

CLASSES_200 = tuple(f"class {i:03d}" for i in range(200))
KINDS = {
    "ten classes": {},
    "two classes": {"classes": ("even", "odd")},
    "200 classes": {"n": 800, "classes": CLASSES_200},
    "one trial": {"trials": 1},
    "of an earlier version, without advice": {"advised": False},
    "nothing tested": {"tested": False},
    "log loss": {"metric": "log-loss"},
    "macro F1, nothing tested": {"metric": "macro-f1", "tested": False},
    "hostile names": {"classes": HOSTILE},
    "fine-tunings": {"n": 240, "tuned": True},
    "fine-tunings, log loss": {"n": 240, "tuned": True, "metric": "log-loss"},
}


@pytest.fixture(params=KINDS)
def run(request):
    return example_run(**KINDS[request.param])


@functools.cache  # a run compares by identity
def bare(run):
    """The report without thumbnails."""
    return render(run, None)


def section(html, name):
    """The text of a section."""
    part = html.split(f'<section id="{name}"')[1].split("</section>")[0]
    return re.sub(r"<[^>]*>", "", part)


def data_values(html, section):
    """Numbers that the tables of a section sort by, a list a row."""
    part = html.split(f'<section id="{section}"')[1].split("</section>")[0]
    return [[float(v) for v in re.findall(r'data-value="([^"]+)"', row)] for row in part.split("<tr")]


def test_every_kind_of_run_has_every_section_once(run):
    page = Page(bare(run))
    assert page.ids().count("when") == (run.advice is not None)
    for name in ("trust", "data", "layers", "classes", "images", "projection", "calibration", "again"):
        assert page.ids().count(name) == 1
    assert len(page.ids()) == len(set(page.ids()))
    linked = {href[1:] for href in page.values("href")}
    assert linked <= set(page.ids())


def test_the_rule_and_what_was_measured_stand_first_in_their_section():
    run = example_run(n=240, tuned=True)
    text = " ".join(section(bare(run), "when").split())
    assert run.advice.rule_says in text
    assert run.advice.measured_says in text
    assert ("disagree" in text) != run.advice.agree
    for said in (
        "+1.2",
        "−0.4",
        "not tried",
        "farther from the source than handwritten digits",
        "independent ones a class",
    ):
        assert said in text
    first = text.index(run.advice.rule_says) < text.index(run.advice.measured_says)
    assert first == run.advice.agree


def test_too_few_images_for_a_curve_are_said_to_be():
    assert "too few images to say what more would bring" in bare(example_run(n=800, classes=CLASSES_200))


def test_nothing_in_the_page_asks_the_network(run):
    html = bare(run)
    page = Page(html)
    for attribute in ("src", "href", "action", "srcset", "poster", "data", "background"):
        assert all(value.startswith(("#", "data:image/")) for value in page.values(attribute)), attribute
    style = html.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert not {tag for tag, _ in page.elements} & {"link", "iframe", "object", "embed", "base", "form"}


def test_the_page_allows_its_own_scripts_by_hash_and_nothing_else():
    page = Page(bare(example_run()))
    policy = next(a["content"] for t, a in page.elements if t == "meta" and a.get("http-equiv"))
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    code = [text for attrs, text in page.scripts if "type" not in attrs]
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in code}
    assert set(rules["script-src"].split()) == hashes
    assert len(code) == 2


def test_names_that_are_markup_are_text():
    run = example_run(classes=HOSTILE)
    html = bare(run)
    page, plain = Page(html), Page(bare(example_run()))
    assert [t for t, _ in page.elements if t in ("script", "style")] == [
        t for t, _ in plain.elements if t in ("script", "style")
    ]
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert "<b>bold</b>" not in html.split('<script type="application/json"')[0]
    assert HOSTILE[0] in page.text
    assert "quo\"te' & <b>bold</b>" in page.text
    assert "new␣line␣and tab" in page.text
    assert "Ünï-ćødé 猫 🐈" in page.text
    assert "{{ 7*7 }}" in page.text


def test_a_name_that_is_no_text_is_shown_with_a_mark():
    run = example_run()
    names = ("0/cut\udcff.png", *run.images.names[1:])
    run = dataclasses.replace(run, images=dataclasses.replace(run.images, names=names))
    html = bare(run)
    assert html.encode("utf-8")
    assert "\udcff" not in html


def test_a_digest_that_is_a_path_opens_no_file(tmp_path):
    run = example_run()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "thumbnails").mkdir()
    digests = ("../secret",) * len(run.images.names)
    run = dataclasses.replace(run, images=dataclasses.replace(run.images, digests=digests))
    assert base64.b64encode(b"secret").decode() not in render(run, tmp_path / "thumbnails")


def test_the_headline_is_the_test_score_in_words():
    run = example_run(n=240, seed=1)
    text = Page(bare(run)).text
    hits, n = int((run.test.probabilities.argmax(axis=1) == run.test.y).sum()), len(run.test.y)
    low, high = clopper_pearson(hits, n)
    assert (
        f"Of {n} images that were not used for any choice, {100 * hits / n:.1f}\u00a0% were classified correctly "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f})." in text
    )
    majority = np.bincount(run.y, minlength=10).argmax()
    share = 100 * (run.test.y == majority).mean()
    assert f"Always answering “{run.classes[majority]}” would score {share:.1f}\u00a0%." in text
    assert run.verdict.because in text


def test_without_a_test_the_headline_says_so():
    run = example_run(tested=False)
    text = Page(bare(run)).text
    assert "accuracy, validation, selected" in text
    assert "There was no test" in text
    assert "that nothing was chosen on" not in text
    assert "only the test score above" not in text


def test_a_second_look_is_stated():
    run = example_run()
    run = dataclasses.replace(run, test=dataclasses.replace(run.test, look=3))
    assert "look number 3 at these images" in Page(bare(run)).text
    run = dataclasses.replace(run, test=dataclasses.replace(run.test, seen=5))
    assert f"look number 3 at 5 of these {len(run.test.y)} images" in Page(bare(run)).text


def test_nested_cross_validation_says_how_each_image_was_predicted():
    run = example_run()
    run = dataclasses.replace(run, test=dataclasses.replace(run.test, how="nested cross-validation"))
    assert "images, each predicted by a model that was chosen and fitted without it, " in Page(bare(run)).text


def test_warnings_stand_above_what_came_in():
    html = bare(example_run())
    head = html[: html.index('id="data"')]
    assert head.index("1 file could not be read") < head.index("Raw pixels score almost as well")
    assert "Few images are left" not in head
    assert "Few images are left" in html
    assert "<code>graft check digits</code>" in head


def test_the_table_of_candidates_holds_the_figures_of_the_verdict(run):
    rows = [row for row in data_values(bare(run), "layers") if row]
    pairs = zip(run.verdict.rows, run.trials, strict=True)
    expected = sorted(pairs, key=lambda pair: (not pair[1].run.all(), pair[0].deficit))
    used = [cost_to_use(trial.candidate, run.cards) for _, trial in expected]
    chosen = cost_to_use(run.trials[run.verdict.chosen].candidate, run.cards)
    for shown, (row, trial), use in zip(rows, expected, used, strict=False):
        assert shown == [row.score, row.deficit, trial.details["C"], trial.fit_seconds, use / chosen]
    assert len(rows) == len(run.verdict.rows) + len(run.verdict.baselines)


def test_the_chart_of_layers_holds_the_figures_of_the_verdict():
    run = example_run()
    chart = Page(bare(run)).held("charts")["layers"]
    scores, intervals = columns(chart, "score"), columns(chart, "low")
    assert sorted(scores) == sorted(100 * row.score for row in run.verdict.rows)
    assert sorted(intervals) == sorted(100 * row.low for row in run.verdict.rows)


def columns(chart, name):
    """Values of a column in every data source of a chart."""
    values = []

    def walk(value):
        if isinstance(value, list) and len(value) == 2 and value[0] == name and isinstance(value[1], list):
            values.extend(value[1])
        for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(child)

    walk(chart)
    return values


@pytest.mark.parametrize("kind", ["ten classes", "nothing tested", "200 classes"])
def test_recall_and_precision_are_those_of_scikit_learn(kind):
    run = example_run(**KINDS[kind])
    judged = evidence.scored(run)
    rows = [row for row in data_values(bare(run), "classes") if row]
    options = {"average": None, "labels": range(len(run.classes)), "zero_division": 2.0}
    # a share of nothing sorts as 2
    seen = np.isin(range(len(run.classes)), judged.y)
    said = np.isin(range(len(run.classes)), judged.predicted)
    options["zero_division"] = 0
    recall = np.where(seen, recall_score(judged.y, judged.predicted, **options), 2.0)
    precision = np.where(said, precision_score(judged.y, judged.predicted, **options), 2.0)
    assert [row[0] for row in rows] == pytest.approx(np.sort(recall))
    assert sorted(row[1] for row in rows) == pytest.approx(np.sort(precision))


def test_counts_of_each_class_by_part_are_those_of_the_image_table():
    run = example_run()
    rows = {row[0]: row for table in Page(bare(run)).tables for row in table if len(row) == 7}
    for c, name in enumerate(run.classes):
        assert rows[name][5] == str((run.y == c).sum())
        assert rows[name][6] == str((run.test.y == c).sum())


def test_calibration_is_that_of_core():
    run = example_run(n=240)
    text = Page(bare(run)).text
    after = calibration(run.test.y, run.test.probabilities).expected_error
    assert f"Expected calibration error {round(100 * after, 1)} points on {len(run.test.y)} test images" in text


def test_the_temperature_is_taken_out_again():
    run = example_run(n=240)
    svm = next(i for i, t in enumerate(run.trials) if t.candidate.plan.loss == "svm")
    trial = run.trials[svm]
    logits = np.log(trial.probabilities.astype(float)) * 1.7
    logits -= logits.max(axis=1, keepdims=True)
    untouched = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    trial = dataclasses.replace(trial, details={"C": 1.0, "temperature": 1.7})
    run = dataclasses.replace(
        run,
        test=None,
        trials=(*run.trials[:svm], trial, *run.trials[svm + 1 :]),
        verdict=dataclasses.replace(run.verdict, chosen=svm),
    )
    before = evidence.before_temperature(run)
    assert before.expected_error == pytest.approx(calibration(run.y, untouched).expected_error, rel=1e-4)


@pytest.mark.parametrize("names", [("one", "two"), ["one", "two"]])
def test_a_setting_of_several_names_is_a_list_in_words(names):
    run = example_run()
    page = render(dataclasses.replace(run, settings={**run.settings, "backbone": names, "seed": None}), None)
    assert re.search(r"<dt>backbone</dt><dd>one, two</dd>", page)
    assert re.search(r"<dt>seed</dt><dd>–</dd>", page)
    assert re.search(r"<dt>strategy</dt><dd>linear</dd>", page)


def test_a_run_with_nothing_optional_renders():
    run = example_run()
    run = dataclasses.replace(
        run,
        baselines=(),
        findings=(),
        projection=None,
        advice=None,
        test=None,
        settings={"final": None},
        verdict=dataclasses.replace(run.verdict, baselines=(), images_to_settle=None),
        cards=(dataclasses.replace(run.card, weights_sha256=None, params_millions=None, taps=()),),
    )
    page = Page(render(run, None))
    assert "projection" not in page.ids()
    assert list(page.held("charts")) == ["layers", "confusion", "calibration", "seconds"]
    assert "No warning was raised" in page.text
    assert "No problem was found." in page.text
    assert "None" not in page.text
    assert "Always answering" not in page.text


def test_many_doubtful_labels_at_once_are_blamed_on_the_model():
    blame = "say more about the model"
    few, many = example_run(n=240), example_run(n=800, classes=CLASSES_200)
    assert evidence.possible_label_errors(few)[1] < 0.1 * len(few.y)
    assert blame not in Page(bare(few)).text
    assert evidence.possible_label_errors(many)[1] > 0.1 * len(many.y)
    assert blame in Page(bare(many)).text


def test_log_loss_is_shown_in_nats():
    run = example_run(metric="log-loss")
    text = Page(bare(run)).text
    loss = mean_loss("log-loss", run.test.y, run.test.probabilities)
    assert f"the log loss is {loss:.3f}\u00a0nats" in text
    assert "lower is better" in text
    assert "Behind the best, nats" in text


def test_thumbnails_are_embedded_where_they_exist_and_gone_ones_are_left_out(tmp_path):
    run = example_run()
    to_show = images_to_show(run)
    folder = write_thumbnails(to_show[::2], run, tmp_path / "thumbnails", 120)
    page = Page(render(run, folder))
    shown = {src for src in page.values("src") if src.startswith("data:image/jpeg")}
    on_disk = {"data:image/jpeg;base64," + base64.b64encode(p.read_bytes()).decode() for p in folder.iterdir()}
    assert shown
    assert shown <= on_disk
    assert "no thumbnail" in page.text
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert "data:image/jpeg" not in render(run, folder)


def test_the_report_of_a_thousand_images_is_under_four_megabytes(tmp_path):
    run = example_run(n=1000, flip=60)
    rng = np.random.default_rng(0)
    to_show = images_to_show(run)
    for row in to_show:  # noise is what compresses worst, and PNG does not try as hard as JPEG
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(file, "PNG")
        (tmp_path / f"{run.images.digests[row]}.png").write_bytes(file.getvalue())
    html = render(run, tmp_path)
    assert html.count("data:image/png") >= 50
    assert len(html.encode()) < 4e6


def test_the_report_is_written_whole_and_again(tmp_path):
    run = example_run()
    path = write_report(run, tmp_path)
    assert path == tmp_path / "report.html"
    first = path.read_text(encoding="utf-8")
    assert first.startswith("<!DOCTYPE html>")
    assert first.rstrip().endswith("</html>")
    write_report(run, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError, match="must be writable"):
        write_report(example_run(), tmp_path / "run")


def test_a_saved_run_renders_without_torch_and_what_drags_it_in(tmp_path):
    write_run(example_run(), tmp_path)
    code = (
        "import sys\n"
        "banned = ('torch', 'torchvision', 'timm', 'openvino', 'sklearn', 'PIL')\n"
        "for name in banned: sys.modules[name] = None\n"  # importing one of them fails
        "from pathlib import Path\n"
        "from graftwork.reporting.page import write_report\n"
        "from graftwork.runfolder import read_run\n"
        "write_report(read_run(Path(sys.argv[1])), Path(sys.argv[1]))\n"
        "assert all(sys.modules[name] is None for name in banned)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert "test accuracy" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_importing_the_report_loads_no_charts():
    code = "import sys, graftwork.reporting.page; print([m for m in ('bokeh', 'jinja2', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_plot_of_the_layers_is_a_page_of_its_own(tmp_path):
    run = example_run()
    path = write_layer_plot(run.verdict, run.trials, run.card, tmp_path / "plot.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert list(page.held("charts")) == ["layers"]
    for row in (*run.verdict.rows, *run.verdict.baselines):
        assert row.label in page.text
    assert "validation, selected" in page.text
