"""The page in a real browser: every chart is drawn, and the console stays quiet."""

import re
import shutil
import subprocess

import pytest
from example_run import HOSTILE, example_run, write_thumbnails

from graftwork.reporting.page import images_to_show, render
from graftwork.reporting.tables import best_of_each_kind

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--window-size=1200,900", "--virtual-time-budget=10000",
    "--enable-logging=stderr", "--dump-dom",
)  # fmt: skip
COMPLAINT = re.compile(r"Uncaught|error|refused|violat|could not", re.IGNORECASE)


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Return a function that opens a page and gives its elements after its scripts ran, and what the console said."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")

    def open_page(html, *flags):
        folder = tmp_path_factory.mktemp("page")
        (folder / "page.html").write_text(html, encoding="utf-8")
        done = subprocess.run(
            [browser, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", (folder / "page.html").as_uri()],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=True,
        )
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return done.stdout, [line for line in console if COMPLAINT.search(line)]

    return open_page


def assert_drawn(dom, charts):
    assert f'data-charts="{charts}"' in dom
    stills = re.findall(r'class="still" alt="" src="data:image/png;base64,([^"]+)"', dom)
    assert len(stills) == charts
    assert min(map(len, stills)) > 2000  # an empty canvas compresses to less
    assert "could not be drawn" not in dom.split("<script")[0]


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"classes": HOSTILE},
        {"classes": ("even", "odd"), "tested": False},
        {"n": 800, "classes": tuple(f"class {i:03d}" for i in range(200))},
        {"trials": 1, "metric": "log-loss"},
    ],
    ids=["ten classes", "hostile names", "two classes, nothing tested", "200 classes", "one trial, log loss"],
)
def test_every_chart_is_drawn_without_a_script_error(kind, browse, tmp_path):
    run = example_run(**kind)
    folder = write_thumbnails(images_to_show(run), run, tmp_path, kind.get("n", 120))
    dom, complaints = browse(render(run, folder))
    assert complaints == []
    assert_drawn(dom, 7)
    assert "<title>digits-001" in dom


def test_charts_are_repainted_in_the_dark(browse):
    dom, complaints = browse(render(example_run(n=240, tuned=True), None), "--force-dark-mode")
    assert complaints == []
    assert_drawn(dom, 9)


def test_fine_tunings_are_drawn_without_a_script_error(browse):
    dom, complaints = browse(render(example_run(n=240, tuned=True), None))
    assert complaints == []
    assert_drawn(dom, 9)


def test_a_foreign_script_is_refused_and_the_console_would_tell(browse):
    html = render(example_run(), None).replace("</body>", "<script>document.title = 'foreign'</script></body>")
    dom, complaints = browse(html)
    assert "<title>foreign" not in dom
    assert complaints


def test_a_chart_that_fails_says_so_in_its_place(browse):
    html = render(example_run(), None)
    broken = html.replace('"name": "Figure"', '"name": "Missing"', 1)
    assert broken != html
    dom, complaints = browse(broken)
    assert complaints
    assert "This chart could not be drawn" in dom


def test_the_table_of_candidates_shows_the_best_of_each_kind_and_every_one_when_asked(browse):
    run = example_run(n=240, tuned=True)
    best = best_of_each_kind(run.verdict, run.trials)
    count = (
        "<script>document.title = Array.from(document.querySelectorAll('.candidates tbody tr')).filter("
        "(row) => row.getClientRects().length).length + ' rows'</script></body>"
    )
    html = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", render(run, None))
    folded, _ = browse(html.replace("</body>", count))
    every, _ = browse(html.replace("</body>", count).replace('id="every-candidate"', 'id="every-candidate" checked'))
    assert len(best) < len(run.trials)
    assert f"<title>{len(best) + len(run.baselines)} rows" in folded
    assert f"<title>{len(run.trials) + len(run.baselines)} rows" in every
