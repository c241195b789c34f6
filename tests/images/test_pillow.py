from __future__ import annotations

import os
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from pictures import paint
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.images.pillow import _hook, caught_warnings
from graftwork.images.pixels import pixels


def warn(text: str) -> None:
    """Warn as Pillow does, from a file of Pillow's."""
    warnings.warn_explicit(text, UserWarning, Image.__file__, 1, module="PIL.Image")


def test_each_thread_collects_its_own_warnings() -> None:
    together = threading.Barrier(8)

    def collected(number: int) -> list[str]:
        with caught_warnings() as messages:
            together.wait()
            for _ in range(20):
                warn(str(number))
        return messages

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(collected, range(8))) == [[str(number)] * 20 for number in range(8)]


def test_what_others_warn_of_is_shown_as_before() -> None:
    with caught_warnings() as messages, pytest.warns(UserWarning, match="ours"):
        warnings.warn("ours", UserWarning, stacklevel=1)
    assert messages == []
    with caught_warnings() as messages:
        warn("inside")
    with pytest.warns(UserWarning, match="outside"):
        warn("outside")
    assert messages == ["inside"]


def test_nothing_is_left_behind() -> None:
    before = list(warnings.filters), warnings.showwarning
    with caught_warnings() as outer:
        with caught_warnings() as inner:
            warn("inner")
        warn("outer")
    assert (outer, inner) == (["outer"], ["inner"])
    assert (list(warnings.filters), warnings.showwarning) == before


def test_filters_restored_by_other_code_meanwhile_do_not_matter() -> None:
    before = list(warnings.filters), warnings.showwarning
    with warnings.catch_warnings():
        entered = caught_warnings()
        messages = entered.__enter__()
    with caught_warnings() as second:  # the hook is gone: it is put in place again
        warn("heard")
    entered.__exit__(None, None, None)
    assert (messages, second) == ([], ["heard"])
    assert (list(warnings.filters), warnings.showwarning) == before


def test_a_hook_that_is_put_around_ours_meanwhile_is_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    with caught_warnings():
        ours = warnings.showwarning
        monkeypatch.setattr(warnings, "showwarning", lambda *what, **more: ours(*what, **more))
    with caught_warnings() as messages, pytest.warns(UserWarning, match="another's"):
        warnings.warn("another's", UserWarning, stacklevel=1)
    with caught_warnings() as messages:
        warn("heard")
    assert messages == ["heard"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of forking with threads, which is the matter
def test_a_process_forked_in_the_middle_of_a_decoding_decodes() -> None:
    with _hook._lock:  # as if another thread were entering
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # rather than wait for ever
            os._exit(0 if pixels(paint(1), Preprocess()).shape == (224, 224, 3) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_image_of_very_many_pixels_is_decoded_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with ThreadPoolExecutor(2) as pool:
        for shape in pool.map(lambda seed: pixels(paint(seed), Preprocess()).shape, range(4)):
            assert shape == (224, 224, 3)
    assert capfd.readouterr() == ("", "")
