from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork import train
from graftwork.errors import BackboneError, DataError, Interrupted, ModelError, StorageError, UsageError
from graftwork.images.filekinds import is_ours
from graftwork.runfolder import read_run
from graftwork.steps.output import claimed, run_name
from graftwork.testing import tiny_image, write_tiny_images


def test_a_folder_becomes_a_tested_model_with_its_evidence(run):
    assert run.test is not None
    assert run.test.score.value > 0.6
    assert run.test.score.low < run.test.score.value <= run.test.score.high
    assert len(run.images.names) == 60
    assert len(run.test.rows) == 12
    folder = Path(run.folder)
    for name in ("run.json", "splits.csv", "arrays.npz", "report.html", "settings.json", "model/manifest.json"):
        assert (folder / name).is_file(), name
    assert not list(folder.rglob("*.pkl"))
    again = read_run(folder)
    assert again.verdict == run.verdict
    assert np.array_equal(again.trials[0].probabilities, run.trials[0].probabilities)


def test_the_same_settings_go_on_and_others_are_refused(run, tiny, small):
    again = train(tiny, output=run.folder, **small)
    assert again.verdict == run.verdict
    assert again.test.score.value == run.test.score.value
    with pytest.raises(UsageError, match="holds a run with other settings"):
        train(tiny, output=run.folder, **small, seed=1)


def test_a_whole_run_is_left_alone_and_a_killed_one_goes_on(tiny, tmp_path, small, monkeypatch):
    from graftwork.verbs import train as story

    monkeypatch.chdir(tmp_path)
    first = train(tiny, **small)
    assert Path(first.folder).name == "insects-001"
    assert not (Path(first.folder) / "clock.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(story, "save", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(tiny, **small)
    assert (tmp_path / "runs" / "insects-002" / "settings.json").is_file()
    assert Path(train(tiny, **small).folder).name == "insects-002"
    assert Path(train(tiny, **small).folder).name == "insects-003"


def test_two_runs_never_write_into_one_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with claimed(None, "pets", {"seed": 0}) as one:
        with claimed(None, "pets", {"seed": 0}) as two:
            assert (one.name, two.name) == ("pets-001", "pets-002")
        with pytest.raises(UsageError, match="is being written by another run"), claimed(one, "pets", {"seed": 0}):
            pass
        (one / "clock.json").write_text('{"active_seconds": 500}')
    with claimed(one, "pets", {"seed": 1}):  # it had nothing to show
        assert not (one / "clock.json").exists()


@pytest.mark.parametrize("typed", [".", "./", "../photos.v2", "sub/..", "../link", "../link/", "../photos.v2/sub/.."])
def test_a_run_is_named_after_the_real_folder_however_it_was_typed(tmp_path, monkeypatch, typed):
    (tmp_path / "photos.v2" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("photos.v2", target_is_directory=True)
    monkeypatch.chdir(tmp_path / "photos.v2")
    assert run_name(typed) == "photos.v2"


def test_a_run_on_a_table_is_named_after_the_table(tmp_path):
    (tmp_path / "birds.csv").write_text("image,label")
    (tmp_path / "link.csv").symlink_to("birds.csv")
    assert [run_name(tmp_path / name) for name in ("birds.csv", "link.csv")] == ["birds", "link"]
    assert run_name("/") == "images"


def test_what_a_run_writes_is_recognised_inside_data_even_in_part(run, tmp_path):
    for lost in ("run.json", "model", ".lock"):
        copy = tmp_path / lost
        shutil.copytree(run.folder, copy)
        shutil.rmtree(copy / lost) if lost == "model" else (copy / lost).unlink()
        assert is_ours(copy, os.listdir(copy))
    with claimed(tmp_path / "begun", "begun", {}) as begun:
        assert is_ours(begun, os.listdir(begun))
    assert is_ours(Path(run.folder) / "model", os.listdir(Path(run.folder) / "model"))


def test_a_given_test_part_and_the_rest_share_no_group(tmp_path, small):
    for part, seed in (("rest", 0), ("there", 50)):
        write_tiny_images(tmp_path / part, per_class=12, seed=seed)
        for number, path in enumerate(sorted((tmp_path / part).rglob("*.png"))):
            patient = number % 6 + (0 if part == "rest" else 3)
            path.rename(path.with_name(f"p{patient}_{path.name}"))
    run = train(tmp_path / "rest", test=tmp_path / "there", group_by=r"^(p\d)_", output=tmp_path / "run", **small)
    patients = {part: set() for part in ("develop", "test", "left out")}
    for name, part in zip(run.images.names, run.images.parts, strict=True):
        patients[part].add(Path(name).name[:2])
    assert not patients["develop"] & patients["test"]
    assert patients["left out"] == {"p3", "p4", "p5"}


def test_series_that_are_all_one_leave_the_run_alone():
    from types import SimpleNamespace

    from graftwork.core.trials import Task
    from graftwork.steps.score import score_with_series_grouped

    task = Task(np.repeat([0, 1], 10), np.arange(20), np.arange(20) % 5, ("a", "b"))
    split_images = SimpleNamespace(series=np.zeros(20, int), split=SimpleNamespace(develop=np.arange(20)))
    assert score_with_series_grouped(None, None, split_images, task) == ()


def test_a_seed_below_nothing_is_refused(tiny, tmp_path, small):
    with pytest.raises(UsageError, match="seed must be a whole number from 0 on, got -1"):
        train(tiny, output=tmp_path / "run", seed=-1, **small)


def test_a_lifted_limit_is_typed(run):
    from graftwork.steps.output import command

    assert "--time-limit none" in command("train", {**run.settings, "time_limit": None})
    assert "--time-limit" not in command("train", run.settings)


def test_law_4_the_test_images_influence_nothing(run, tiny, tmp_path, small):
    """Replaced by noise, every choice and every weight is the same to the bit."""
    noisy = tmp_path / "insects"
    shutil.copytree(tiny, noisy)
    rng = np.random.default_rng(0)
    table = tmp_path / "table.csv"
    lines = ["image,label,split"]
    for name, label, part in zip(run.images.names, run.images.labels, run.images.parts, strict=True):
        lines.append(f"insects/{name},{label},{'test' if part == 'test' else 'train'}")
        if part == "test":
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(noisy / name)
    table.write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "clean").mkdir()
    shutil.copytree(tiny, tmp_path / "clean" / "insects")
    clean = tmp_path / "clean" / "table.csv"
    clean.write_text(table.read_text(encoding="utf-8"), encoding="utf-8")
    one = train(clean, output=tmp_path / "one", **small)
    two = train(table, output=tmp_path / "two", **small)
    assert one.test.score.value > two.test.score.value
    assert one.verdict == two.verdict
    for a, b in zip(one.trials, two.trials, strict=True):
        assert np.array_equal(a.probabilities, b.probabilities)
    heads = [graftwork.load(r.folder).fitted.head for r in (one, two)]
    assert np.array_equal(heads[0].weight, heads[1].weight)
    assert heads[0].temperature == heads[1].temperature


def test_law_7_a_moved_model_predicts_the_same_without_network_torch_or_cache(run, tiny, tmp_path):
    images = sorted(tiny.rglob("*.png"))[::7]
    here = graftwork.load(run.folder).probabilities(images)
    shutil.copytree(Path(run.folder) / "model", tmp_path / "moved")
    code = f"""
import sys, numpy as np, socket
def refuse(*a, **k): raise OSError("no network here")
socket.socket.connect = refuse
import graftwork
rows = graftwork.load({str(tmp_path / "moved")!r}).probabilities({[str(i) for i in images]!r})
np.save({str(tmp_path / "rows.npy")!r}, rows)
assert "torch" not in sys.modules and "timm" not in sys.modules
"""
    environment = {"GRAFTWORK_CACHE": str(tmp_path / "empty"), "HF_HUB_OFFLINE": "1", "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert np.array_equal(np.load(tmp_path / "rows.npy"), here)


def test_the_model_gives_the_test_rows_of_the_record(run, tiny):
    model = graftwork.load(run.folder)
    rows = model.probabilities([tiny / run.images.names[i] for i in run.test.rows])
    assert np.abs(rows - run.test.probabilities).max() < 2e-3


def test_nested_cross_validation_tests_every_image_once(tiny, tmp_path, small):
    run = train(tiny, output=tmp_path / "cv", test="cv", folds=3, **small)
    assert run.test.how == "nested cross-validation"
    assert sorted(run.test.rows) == list(range(60))
    assert not any(finding.code == "G304" for finding in run.findings)


def test_nested_cross_validation_is_refused_where_a_test_part_came_with_the_data(tmp_path, small, listener):
    for part, seed in (("train", 1), ("test", 2)):
        write_tiny_images(tmp_path / "data" / part, per_class=8, seed=seed)
    for verb, options in ((train, {**small, "output": tmp_path / "cv"}), (graftwork.probe, {})):
        with pytest.raises(
            UsageError, match=r"data comes with a test part of its own: leave out --test, or give the tr"
        ):
            verb(tmp_path / "data", test="cv", **options)
    given = train(tmp_path / "data", output=tmp_path / "given", test=0.5, listener=listener, **small)
    assert given.test.how == "given test part"
    assert any(
        "comes with a test part: its 24 images are the test part, and no share of" in line for line in listener.said
    )
    alone = train(tmp_path / "data" / "train", output=tmp_path / "alone", test="cv", folds=3, **small)
    assert len(alone.test.rows) == 24


def test_final_all_says_that_the_score_belongs_to_the_model_before(tiny, tmp_path, small):
    run = train(tiny, output=tmp_path / "all", final="all", **small)
    manifest = json.loads((Path(run.folder) / "model" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["trained_on"] == "all"
    assert "before" in manifest["test"]["belongs_to"]


def test_like_keeps_every_image_on_its_side(run, tiny, tmp_path, small):
    more = tmp_path / "more"
    shutil.copytree(tiny, more)
    for i in range(30):
        Image.fromarray(tiny_image(i % 3, 900 + i)).save(more / ["ant", "bee", "cat"][i % 3] / f"new-{i}.png")
    second = train(more, output=tmp_path / "second", split_from=run.folder, **small)
    side = dict(zip(second.images.digests, second.images.parts, strict=True))
    for digest, part in zip(run.images.digests, run.images.parts, strict=True):
        assert side[digest] == part
    assert sum(part == "test" for part in second.images.parts) > 12


def test_groups_that_were_not_known_to_the_run_whose_split_it_is_leave_images_out(tmp_path, small):
    data = write_tiny_images(tmp_path / "frames", per_class=12)
    for path in data.rglob("*.png"):
        number = int(path.stem.split("-")[1])
        path.rename(path.with_name(f"{path.parent.name}{number // 3}_{number}.png"))  # three of each film
    first = train(data, output=tmp_path / "first", **small)
    second = train(data, output=tmp_path / "second", split_from=first.folder, group_by=r"^(\w+)_", **small)
    films = {
        part: {
            name.split("/")[-1].split("_")[0]
            for name, of in zip(second.images.names, second.images.parts, strict=True)
            if of == part
        }
        for part in ("develop", "test", "left out")
    }
    assert films["test"]
    assert not films["develop"] & films["test"]
    assert films["left out"] <= films["test"]
    (said,) = [finding for finding in second.findings if finding.code == "G109"]
    assert said.because.startswith(f"{sum(part == 'left out' for part in second.images.parts)} of ")
    assert [second.images.digests[i] for i, of in enumerate(second.images.parts) if of == "test"] == [
        first.images.digests[i] for i, of in enumerate(first.images.parts) if of == "test"
    ]


def test_ten_per_cent_broken_files_still_train_and_the_report_lists_them(tiny, tmp_path, small):
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    mended = sorted(broken.rglob("*.png"))[::7]
    for path in mended:
        path.write_bytes(path.read_bytes()[:150])
    run = train(broken, output=tmp_path / "run", **small)
    assert len(run.images.names) == 60 - len(mended) == 51
    page = (Path(run.folder) / "report.html").read_text(encoding="utf-8")
    assert all(path.name in page for path in mended)


def test_tiny_images_are_tiny_against_the_input_that_was_asked_for(run):
    assert not [finding for finding in run.findings if finding.code in ("G111", "G112")]  # 32 px into 32


@pytest.mark.parametrize("classes", [("ant",), ()])
def test_fewer_than_two_classes_is_one_line(tmp_path, classes, small):
    (tmp_path / "data").mkdir()
    if classes:
        write_tiny_images(tmp_path / "data", classes=classes)
    with pytest.raises(DataError):
        train(tmp_path / "data", output=tmp_path / "run", **small)


def test_a_class_with_one_image_trains(tmp_path, small):
    data = write_tiny_images(tmp_path / "data", per_class=8)
    for path in sorted((data / "cat").iterdir())[1:]:
        path.unlink()
    run = train(data, output=tmp_path / "run", **small)
    assert run.classes == ("ant", "bee", "cat")


def test_an_unknown_layer_lists_the_near_ones(tiny, tmp_path, small):
    with pytest.raises(BackboneError, match=r"blocks\.5"):
        train(tiny, output=tmp_path / "run", **{**small, "layer": "block.5"})


def test_unwritable_output_is_one_line_and_leaves_nothing(tiny, tmp_path, small):
    place = tmp_path / "file"
    place.write_text("not a folder")
    with pytest.raises((StorageError, UsageError)):
        train(tiny, output=place / "run", **small)
    assert place.read_text() == "not a folder"


def test_a_run_refused_for_its_data_leaves_nothing(tmp_path, small):
    (tmp_path / "mine").mkdir()
    (tmp_path / "empty").mkdir()
    for data in (tmp_path / "nothing", tmp_path / "empty"):
        with pytest.raises(DataError):
            train(data, output=tmp_path / "run", **small)
        with pytest.raises(DataError):
            train(data, output=tmp_path / "mine", **small)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "mine"]  # what was there stays


def test_another_schema_is_refused_with_what_to_do(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "newer")
    for path in (tmp_path / "newer" / "run.json", tmp_path / "newer" / "model" / "manifest.json"):
        plain = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**plain, "schema_version": 99}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"has 99.*train again"):
        read_run(tmp_path / "newer")
    with pytest.raises(ModelError, match=r"has 99.*train again"):
        graftwork.load(tmp_path / "newer")


def test_a_damaged_model_is_refused(run, tmp_path):
    shutil.copytree(Path(run.folder) / "model", tmp_path / "model")
    head = tmp_path / "model" / "head.safetensors"
    data = bytearray(head.read_bytes())
    data[-1] ^= 1
    head.write_bytes(data)
    with pytest.raises(ModelError, match=r"head\.safetensors is not the file that was written"):
        graftwork.load(tmp_path / "model")


def test_a_second_run_on_the_same_test_images_is_counted(run, tiny, tmp_path, small):
    second = train(tiny, output=tmp_path / "second", **{**small, "loss": "svm"})
    assert second.test.look >= 2
    assert any(finding.code == "G305" for finding in second.findings)


def test_killed_in_extraction_and_started_again_gives_the_same(run, tiny, tmp_path, monkeypatch, small):
    from graftwork.codes import compute, extract

    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(extract, "SHARD_IMAGES", 8)
    real, count = compute.seen, [0]

    def killed(*arguments):
        count[0] += 1
        if count[0] > 52:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(compute, "seen", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, output=tmp_path / "killed", **small)
    count[0] = -1000
    again = train(tiny, output=tmp_path / "killed", **small)
    decoded = count[0] + 1000
    assert decoded < 60  # what was computed before is cached
    for a, b in zip(again.trials, run.trials, strict=True):
        assert np.array_equal(a.probabilities, b.probabilities)


def test_ctrl_c_among_the_candidates_tests_nothing_and_the_same_call_goes_on(run, tiny, tmp_path, monkeypatch, small):
    from graftwork import linear_trials
    from graftwork.files import home_folder
    from graftwork.steps.ledger import LEDGER

    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path / "home"))
    real, calls = linear_trials.cross_validate, []

    def stopped(*arguments, **named):
        calls.append(named)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(linear_trials, "cross_validate", stopped)
    with pytest.raises(Interrupted, match="unfinished and untested; the same command goes on"):
        train(tiny, output=tmp_path / "run", **small)
    assert not (tmp_path / "run" / "run.json").exists()
    assert not (tmp_path / "run" / "model").exists()
    assert not (home_folder() / LEDGER).exists()  # nobody looked at the test images
    calls[:] = [{}] * 3
    again = train(tiny, output=tmp_path / "run", **small)
    n_baselines = len(again.baselines) - 1  # the majority class is fitted on nothing
    assert len(calls) - 3 == len(again.trials) - 2 + n_baselines
    assert again.test.look == 1
    for a, b in zip(again.trials, run.trials, strict=True):
        assert np.array_equal(a.probabilities, b.probabilities)
