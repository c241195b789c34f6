"""The page in a real browser: dropped images are classified, and what cannot be is said."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from service_client import ask

import graftwork
from browser import BROWSERS, Browser

pytestmark = pytest.mark.xdist_group("serving")

CARDS = "[...document.querySelectorAll('.answer')]"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


def choose(browser: Browser, files: list[Path]) -> None:
    browser.choose("#files", files)
    browser.wait_for(f"{CARDS}.filter((card) => card.ariaBusy === 'false').length === {len(files)}")


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (360, True)])
def test_chosen_images_are_classified(
    browser: Browser, url: str, photos: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    good = sorted(photos.rglob("*.png"))[::20]
    (tmp_path / "broken.png").write_bytes(good[0].read_bytes()[:500])
    (tmp_path / "<b>text.png").write_text("no image")
    browser.console.clear()
    browser.open(f"{url}/", width=width, dark=dark)
    choose(browser, [*good, tmp_path / "broken.png", tmp_path / "<b>text.png"])
    titles = browser.value(f"{CARDS}.map((card) => card.querySelector('h2').textContent)")
    said = [ask(url, "/predict", "POST", file.read_bytes()).json["images"][0] for file in good]
    assert [title.split()[0] for title in titles[: len(good)]] == [one["label"] for one in said]
    assert titles[len(good) :] == ["Not classified"] * 2
    assert browser.value("document.querySelectorAll('.bars li').length") == 3 * len(good)
    assert browser.value("document.querySelectorAll('.nearest img').length") == 6 * len(good)
    drawn = browser.value("[...document.querySelectorAll('.pictures img')].map((one) => one.src.slice(0, 15))")
    assert drawn.count("data:image/png;") == len(good)  # where the evidence is
    assert "broken.png must be a whole image" in browser.value(f"{CARDS}.at(-2).textContent")
    assert "<b>text.png must be an image" in browser.value(f"{CARDS}.at(-1).textContent")
    assert "accuracy" in browser.value("document.getElementById('about').textContent")
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")  # nothing is cut off
    background = browser.value("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(16, 19, 23)" if dark else "rgb(246, 247, 249)")
    errors = [line for line in browser.console if '"level": "error"' in line or "exceptionDetails" in line]
    assert all("422" in line or "415" in line for line in errors)  # a browser reports every such status


def test_where_a_token_is_needed_it_is_asked_for(browser: Browser, folder: Path, photos: Path) -> None:
    with graftwork.serve(folder, port=0, token="secret") as service:
        browser.open(f"{service.url}/")
        browser.wait_for("!document.getElementById('token-form').hidden")
        browser.value("document.getElementById('token').value = 'secret'")
        browser.value("document.querySelector('#token-form button').click()")
        browser.wait_for("!document.getElementById('about').hidden")
        assert browser.value("document.getElementById('token-form').hidden")
        choose(browser, [next(photos.rglob("*.png"))])
        assert browser.value("document.querySelectorAll('.bars li').length") == 3


def test_novelty_is_said_in_words(browser: Browser, url: str, tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "noise.png")
    browser.open(f"{url}/")
    choose(browser, [tmp_path / "noise.png"])
    assert "Unlike the training images." in browser.value(f"{CARDS}[0].querySelector('.warning').textContent")


def test_the_page_of_the_api_stands_alone(browser: Browser, url: str) -> None:
    browser.console.clear()
    browser.open(f"{url}/docs")
    assert browser.value("[...document.querySelectorAll('h2 code')].map((one) => one.textContent)") == [
        "POST /predict",
        "GET /model",
        "GET /metrics",
        "GET /health",
    ]
    assert browser.console == []
