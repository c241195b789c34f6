"""Predicts in children of every kind with a model that the parent loaded and used; prints what each came to as JSON."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import graftwork

WAIT_SECONDS = 60


def ended(child: Callable[[], object]) -> str:
    """How a forked child that ends as the interpreter does came to its end."""
    process = os.fork()
    if not process:
        child()
        sys.exit(0)
    begin = time.monotonic()
    while time.monotonic() - begin < WAIT_SECONDS:
        if os.waitpid(process, os.WNOHANG) != (0, 0):
            return "ended"
        time.sleep(0.02)
    os.kill(process, 9)
    os.waitpid(process, 0)
    return "never ended"


def labels(model: graftwork.Model, images: list[Path]) -> list[str]:
    return [prediction.label for prediction in model.predict(images)]


def in_pool(start: str, model: graftwork.Model, images: list[Path]) -> list[str]:
    with multiprocessing.get_context(start).Pool(1) as pool:
        return pool.apply_async(labels, (model, images)).get(WAIT_SECONDS)


def in_forked_pool_by_inheritance(model: graftwork.Model, images: list[Path]) -> list[str]:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(labels(model, images)))
    child.start()
    child.join(WAIT_SECONDS)
    if child.is_alive():
        child.kill()
        return ["never ended"]
    return queue.get()


class Classified:
    """A data set whose items a worker of a DataLoader predicts."""

    def __init__(self, model: graftwork.Model, images: list[Path]) -> None:
        self.model, self.images = model, images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> str:
        return labels(self.model, [self.images[i]])[0]


def in_data_loader(model: graftwork.Model, images: list[Path]) -> list[str]:
    from torch.utils.data import DataLoader

    loader = DataLoader(Classified(model, images), batch_size=1, num_workers=1, timeout=WAIT_SECONDS, collate_fn=list)
    return [label for batch in loader for label in batch]


def while_others_predict(model: graftwork.Model, images: list[Path]) -> list[str]:
    """Fork while another thread holds the model, again and again."""
    done = threading.Event()

    def predict() -> None:
        while not done.is_set():
            model.predict(images)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        return [ended(lambda: model.predict(images[:1])) for _ in range(4)]
    finally:
        done.set()
        thread.join()


def main(folder: str, pictures: str, *names: str) -> None:
    images = sorted(Path(pictures).rglob("*.png"))[::7]
    model = graftwork.load(folder)
    del graftwork.load(
        folder
    )._engine  # a network that is let go leaves threads behind, which a child must not be given
    expected = labels(model, images)
    assert len(set(expected)) > 1
    right = {
        "predicts": lambda: ended(lambda: model.predict(images)) == "ended",
        "loads and predicts": lambda: ended(lambda: graftwork.load(folder).predict(images)) == "ended",
        "does nothing": lambda: ended(lambda: None) == "ended",
        "forks again": lambda: ended(lambda: ended(lambda: model.predict(images)) == "ended" or os._exit(1)) == "ended",
        "while others predict": lambda: set(while_others_predict(model, images)) == {"ended"},
        "answers": lambda: in_forked_pool_by_inheritance(model, images) == expected,
        "gets a pickle": lambda: in_pool("fork", model, images) == expected,
        "is new and gets a pickle": lambda: in_pool("spawn", model, images) == expected,
        "works for a DataLoader": lambda: in_data_loader(model, images) == expected,
    }
    result = {name: right[name]() for name in names or right}
    print(json.dumps({**result, "the parent goes on": labels(model, images) == expected}))


if __name__ == "__main__":
    main(*sys.argv[1:])
