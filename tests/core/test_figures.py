import pytest

from graftwork.core import figures


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.967, "96.7"),
        (0.12345, "12.3"),
        (1.0, "100.0"),
        (0.9996, "99.96"),
        (0.99996, "99.996"),
        (0.0, "0.0"),
        (0.0004, "0.04"),
    ],
)
def test_only_all_is_100_and_only_nothing_is_0(share, text):
    assert figures.percent(share) == text
    assert figures.figure("accuracy", share) == f"{text} %"


@pytest.mark.parametrize(("p", "text"), [(0.5, "50.0 %"), (1.0, ">99.9 %"), (1e-9, "<0.1 %"), (0.999, "99.9 %")])
def test_no_prediction_is_certain(p, text):
    assert figures.probability(p) == text


def test_log_loss_is_in_nats():
    assert figures.figure("log-loss", 0.31) == "0.310 nats"
    assert figures.interval("log-loss", 0.2, 0.4) == "0.200 to 0.400"
    assert figures.points("log-loss", 0.0123) == "0.012 nats"


def test_a_difference_is_in_points_with_a_minus_sign_and_no_minus_zero():
    assert figures.difference("accuracy", -0.021) == "−2.1"
    assert figures.difference("accuracy", -0.0001) == "0.0"
    assert figures.difference("log-loss", 0.0123) == "0.012"
    assert figures.points("macro-f1", 0.021) == "2.1 points"


@pytest.mark.parametrize(("duration", "text"), [(0.04, "under 0.1 s"), (84.04, "84.0 s"), (12345.6, "12,346 s")])
def test_long_durations_have_no_decimals(duration, text):
    assert figures.seconds(duration) == text


def test_one_is_singular_and_every_other_number_plural():
    assert figures.counted(1, "image", "is") == "1 image is"
    assert figures.counted(0, "image", "has") == "0 images have"
    assert figures.counted(2_000, "class") == "2,000 classes"
    assert figures.counted(1, "image", "seems", of=40) == "1 of 40 images seems"
    assert figures.counted(3, "image", "holds", of=40) == "3 of 40 images hold"
    assert figures.counted(1, "image", "is", of=1) == "1 of 1 image is"
