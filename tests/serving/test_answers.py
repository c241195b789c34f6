"""What a running service answers: the model's own predictions, whoever waits beside whom, and what it is."""

from __future__ import annotations

import base64
import io
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from service_client import ask, send

import graftwork
from graftwork.errors import ModelError
from graftwork.files import sha256_of, write_json
from graftwork.model.predict import Model
from graftwork.runfolder import read_run
from graftwork.serving.batching import Batcher
from graftwork.serving.service import Service

pytestmark = pytest.mark.xdist_group("serving")


def images(photos: Path) -> list[Path]:
    return sorted(photos.rglob("*.png"))[::4]


def test_several_files_get_the_predictions_that_the_model_gives(url: str, folder: Path, photos: Path) -> None:
    expected = graftwork.load(folder).predict(images(photos), top=2, novelty_rate=0.05)
    said = send(url, *images(photos), query="?top=2")
    assert said.status == 200
    assert len(said.json["images"]) == len(expected)
    for answer, prediction in zip(said.json["images"], expected, strict=True):
        assert answer["name"] == Path(prediction.name).name
        assert (answer["label"], answer["novel"]) == (prediction.label, prediction.novel)
        assert answer["p_value"] == pytest.approx(prediction.p_value, abs=0.03)
        assert [one["label"] for one in answer["top"]] == [label for label, _ in prediction.top]
        assert [one["probability"] for one in answer["top"]] == pytest.approx([p for _, p in prediction.top], abs=2e-3)


def test_one_image_is_the_body_whatever_it_calls_itself(url: str, photos: Path) -> None:
    data = images(photos)[0].read_bytes()
    (expected,) = send(url, data).json["images"]
    for kind in ("image/png", "image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded"):
        (answer,) = ask(url, "/predict", "POST", data, {"Content-Type": kind}).json["images"]
        assert answer == {**expected, "name": "image"}


def test_an_image_that_is_refused_leaves_the_others_their_predictions(url: str, photos: Path) -> None:
    good = images(photos)[0]
    said = send(url, b"no image", good, good.read_bytes()[:500])
    assert said.status == 200
    first, second, third = said.json["images"]
    assert (first["status"], third["status"]) == (415, 422)
    assert "label" in second
    alone = send(url, good.read_bytes()[:500], b"no image")
    assert alone.status == 422  # that of the first, where none was classified


def test_an_image_unlike_the_training_images_is_flagged(url: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (answer,) = send(url, tmp_path / "noise.png").json["images"]
    assert answer["novel"] is True
    assert answer["p_value"] <= 0.05


def test_the_nearest_training_images_are_shown_where_that_was_asked_for(url: str, folder: Path, photos: Path) -> None:
    trained = next(path for path in sorted(photos.rglob("*.png")) if _develop(path, folder))
    (answer,) = send(url, trained, query="?nearest=3").json["images"]
    assert len(answer["nearest"]) == 3
    assert answer["nearest"][0]["similarity"] == pytest.approx(1, abs=0.01)  # itself
    assert answer["nearest"][0]["label"] == trained.parent.name
    assert answer["nearest"][0]["thumbnail"].startswith("data:image/jpeg;base64,")
    similarities = [one["similarity"] for one in answer["nearest"]]
    assert similarities == sorted(similarities, reverse=True)
    assert send(url, trained).json["images"][0]["nearest"] == []


def _develop(path: Path, folder: Path) -> bool:
    table = read_run(folder).images
    return table.parts[table.digests.index(sha256_of(path))] == "develop"


def test_a_picture_of_the_evidence_is_drawn_where_that_was_asked_for(url: str, photos: Path) -> None:
    (answer,) = send(url, images(photos)[0], query="?explain=true").json["images"]
    kind, _, data = answer["evidence"].partition(",")
    assert kind == "data:image/png;base64"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert picture.shape == (480, 480, 3)  # 48 pixels, enlarged
    assert picture.std() > 10
    assert send(url, images(photos)[0]).json["images"][0]["evidence"] is None
    mixed = send(url, b"no image", images(photos)[0], query="?explain=true").json["images"]
    assert [("evidence" in one) for one in mixed] == [False, True]


def test_what_a_service_was_not_told_to_show_it_does_not(folder: Path, photos: Path) -> None:
    with graftwork.serve(folder, port=0) as service:
        for query, option in (("?nearest=3", "--show-training-images"), ("?explain=true", "--explain")):
            said = send(service.url, images(photos)[0], query=query)
            assert said.status == 403
            assert option in said.json["error"]
        about = ask(service.url, "/model").json
        assert (about["shows_training_images"], about["explains"]) == (False, False)


def test_training_images_that_are_not_known_cannot_be_shown(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"^--show-training-images needs the images .* is a model without its run"):
        graftwork.serve(folder / "model", port=0, show_training_images=True)


def test_it_says_what_it_serves(url: str, folder: Path) -> None:
    about = ask(url, "/model").json
    run = read_run(folder)
    assert about["name"] == "insects"
    assert about["classes"] == ["ant", "bee", "cat"]
    assert about["test"]["value"] == run.test.score.value
    assert about["test"]["images"] == len(run.test.y)
    assert about["licence"] == "CC0-1.0"
    assert (about["version"], about["trained_with"]) == (graftwork.__version__, graftwork.__version__)


def test_its_description_is_complete_and_its_page_needs_nobody_else(url: str) -> None:
    described = ask(url, "/openapi.json").json
    assert set(described["paths"]) == {"/predict", "/model", "/metrics", "/health"}
    assert set(described["paths"]["/predict"]["post"]["requestBody"]["content"]) == {"image/*", "multipart/form-data"}
    for path in ("/", "/docs"):
        page = ask(url, path)
        text = page.body.decode()
        assert "http://" not in text.replace("http://HOST:PORT", "")
        assert "https://" not in text
        assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "Number of classes to name" in text


def test_prometheus_reads_what_happened(folder: Path, photos: Path) -> None:
    with graftwork.serve(folder, port=0) as service:
        send(service.url, *images(photos)[:3])
        send(service.url, b"no image")
        ask(service.url, "/nowhere/at/all")
        text = ask(service.url, "/metrics").body.decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['graftwork_requests_total{path="/predict",status="200"}'] == "1.0"
    assert lines['graftwork_requests_total{path="/predict",status="415"}'] == "1.0"
    assert lines['graftwork_requests_total{path="other",status="404"}'] == "1.0"
    assert lines['graftwork_images_total{status="200"}'] == "3.0"
    assert lines["graftwork_predict_seconds_count"] == "2.0"
    assert lines["graftwork_waiting_images"] == "0.0"


def test_a_folder_that_changes_under_it_is_reported_and_the_loaded_model_answers(
    folder: Path, photos: Path, tmp_path: Path
) -> None:
    run = tmp_path / "mine"
    shutil.copytree(folder, run)
    with graftwork.serve(run, port=0) as service:
        before = send(service.url, images(photos)[0]).json
        assert ask(service.url, "/health").json == {"status": "ok", "folder": "unchanged", "advice": ""}
        assert [ask(service.url, path, "HEAD").status for path in ("/", "/health")] == [200, 200]
        write_json(run / "model" / "manifest.json", {"schema_version": 99})
        health = ask(service.url, "/health")
        assert health.status == 200
        assert health.json["folder"] == "changed"
        assert "restart to load it" in health.json["advice"]
        shutil.rmtree(run)
        assert ask(service.url, "/health").json["folder"] == "gone"
        assert send(service.url, images(photos)[0]).json == before
        assert ask(service.url, "/model").json["classes"] == ["ant", "bee", "cat"]


class Held:
    """Lets the network begin, and ends its first call only when told."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.batches: list[int] = []
        run = Model.run

        def held(model: Model, inputs: list[object]) -> object:
            self.batches.append(len(inputs))
            self.begun.set()
            assert self.go_on.wait(60)
            return run(model, inputs)  # type: ignore[arg-type]

        patch.setattr(Model, "run", held)


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    with graftwork.serve(folder, port=0, max_waiting=6) as running:
        yield running


def test_images_that_wait_together_are_one_batch(folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graftwork.serving.batching.usable_cores", lambda: 1)  # so that one thread classifies
    decoded, decode = threading.Semaphore(0), Batcher._decode_one

    def counted(*given: object) -> None:
        decode(*given)  # type: ignore[arg-type]
        decoded.release()

    monkeypatch.setattr(Batcher, "_decode_one", counted)
    with graftwork.serve(folder, port=0) as service, ThreadPoolExecutor(4) as pool:
        held = Held(monkeypatch)
        first = pool.submit(send, service.url, images(photos)[0])
        assert held.begun.wait(60)
        others = [pool.submit(send, service.url, path) for path in images(photos)[1:4]]
        assert all(decoded.acquire(timeout=60) for _ in range(4))
        held.go_on.set()
        answers = [one.result() for one in (first, *others)]
        assert held.batches == [1, 3]
        alone = [send(service.url, path).json for path in images(photos)[:4]]
    for answer, expected in zip(answers, alone, strict=True):
        probabilities = [[c["probability"] for c in said["images"][0]["top"]] for said in (answer.json, expected)]
        assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-4)


def test_when_too_much_waits_more_is_sent_away_until_there_is_room(
    service: Service,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = Held(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, service.url, *images(photos)[:6])
        assert held.begun.wait(60)
        refused = send(service.url, images(photos)[0])
        assert ask(service.url, "/health").status == 200
        held.go_on.set()
        assert first.result().status == 200
    assert refused.status == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json["error"].startswith("6 images wait already")
    assert send(service.url, images(photos)[0]).status == 200


def test_a_defect_is_a_500_for_those_in_its_batch_and_for_nobody_after(
    service: Service,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Model, "classify", lambda *given, **named: 1 / 0)
        assert send(service.url, images(photos)[0]).status == 500
    assert send(service.url, images(photos)[0]).status == 200
    assert _waiting(service) == 0
    assert "ZeroDivisionError" in caplog.text


def _waiting(service: Service) -> int:
    lines = ask(service.url, "/metrics").body.decode().splitlines()
    return int(float(next(line for line in lines if line.startswith("graftwork_waiting_images")).split()[1]))
