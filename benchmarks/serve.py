"""A model as a service, compared with the same model in the client's own process.

    python benchmarks/serve.py [--rounds 7] [--images 640] [--requests 10000] [--hostile 1000]

The embedded default with a linear head on hymenoptera; photos of ``../shared`` as JPEG files of 800 x 600 pixels and
about 100 KB. Client (aiohttp, 32 keep-alive connections, one image as the body of each request) and service share this
machine. In turns, in one process tree:

- ``in_process``: ``Model.predict`` on the bytes of all images, decoding included;
- ``service``: the same images through ``graft serve``.

The share is the median of the rounds' own ratios; p50 and p95 are medians of the rounds. Then ``--requests`` requests
with the service's memory before, between and after; SIGTERM under full load, several times, which must lose nothing;
and ``--hostile`` uploads (cut off, bombs, wrong types, 100 MB, slow senders), after which it must answer as before.
Writes ``benchmarks/results/serve.KIND.json``, KIND being the processor's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import random
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import machine
import pyarrow.parquet
from datasets import SHARED, path_of
from PIL import Image

import graftwork

CONNECTIONS = 32
TARGETS = {"share": 0.88, "p95_over_p50": 1.5}
PHOTOS = 64


def photos(count: int = PHOTOS) -> list[bytes]:
    """JPEG files of 800 x 600 pixels and about 100 KB."""
    table = pyarrow.parquet.read_table(SHARED / "imagenet-photos" / "photos.parquet", columns=["image"])
    out = []
    for data in table.column("image").to_pylist()[:count]:
        image = Image.open(io.BytesIO(data)).convert("RGB").resize((800, 600), Image.Resampling.LANCZOS)
        sizes = {}
        for quality in range(40, 100, 3):
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality)
            sizes[abs(file.tell() - 100_000)] = file.getvalue()
        out.append(sizes[min(sizes)])
    return out


@contextlib.contextmanager
def service(run: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``graft serve`` in a process of its own, and where it answers."""
    words = [sys.executable, "-m", "graftwork.cli", "serve", str(run), "--port", "0", "--quiet"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split(" at ")[1].split()[0], process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS))


async def load(url: str, images: list[bytes], count: int) -> dict[str, Any]:
    """Send ``count`` requests over 32 connections; the rate, and milliseconds of each."""
    milliseconds: list[float] = []
    statuses: Counter[int] = Counter()
    numbers = iter(range(count))

    async def one(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            begin = time.perf_counter()
            headers = {"Content-Type": "image/jpeg"}
            async with session.post(f"{url}/predict", data=images[number % len(images)], headers=headers) as answer:
                await answer.read()
            milliseconds.append(1000 * (time.perf_counter() - begin))
            statuses[answer.status] += 1

    async with client() as session:
        begin = time.perf_counter()
        await asyncio.gather(*(one(session) for _ in range(CONNECTIONS)))
        seconds = time.perf_counter() - begin
    cuts = statistics.quantiles(milliseconds, n=100)
    return {"per_second": count / seconds, "p50_ms": cuts[49], "p95_ms": cuts[94], "statuses": dict(statuses)}


async def figures(url: str) -> dict[str, float]:
    """What the service counts of itself."""
    async with client() as session, session.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def memory_mb(url: str) -> float:
    return round((await figures(url))["process_resident_memory_bytes"] / 1e6, 1)


def shares(run: Path, images: list[bytes], rounds: int, count: int) -> dict[str, Any]:
    model = graftwork.load(run)
    given = [images[number % len(images)] for number in range(count)]
    rows = []
    with service(run) as (url, _):
        for number in range(rounds + 1):
            begin = time.perf_counter()
            model.predict(given, top=5)
            alone = count / (time.perf_counter() - begin)
            served = asyncio.run(load(url, images, count))
            if number:  # the first round warms both up
                rows.append({"in_process": alone, **served})
                print({name: round(value, 1) for name, value in rows[-1].items() if name != "statuses"}, flush=True)
        counted = asyncio.run(figures(url))
    batch = counted["graftwork_batch_images_sum"] / counted["graftwork_batch_images_count"]
    return {
        "images": count,
        "kilobytes": round(statistics.mean(map(len, images)) / 1000, 1),
        "in_process_per_second": round(statistics.median(row["in_process"] for row in rows), 1),
        "service_per_second": round(statistics.median(row["per_second"] for row in rows), 1),
        "share": round(statistics.median(row["per_second"] / row["in_process"] for row in rows), 3),
        "p50_ms": round(statistics.median(row["p50_ms"] for row in rows), 1),
        "p95_ms": round(statistics.median(row["p95_ms"] for row in rows), 1),
        "p95_over_p50": round(statistics.median(row["p95_ms"] / row["p50_ms"] for row in rows), 2),
        "mean_batch": round(batch, 2),
        "statuses": sum((Counter(row.pop("statuses")) for row in rows), Counter()),
        "rounds": [{name: round(value, 1) for name, value in row.items()} for row in rows],
    }


def memory(run: Path, images: list[bytes], count: int) -> dict[str, Any]:
    """Megabytes of the service before, and after each tenth of many requests."""
    with service(run) as (url, _):
        asyncio.run(load(url, images, 64))
        after = [asyncio.run(memory_mb(url))]
        statuses: Counter[int] = Counter()
        for _ in range(10):
            statuses += Counter(asyncio.run(load(url, images, count // 10))["statuses"])
            after.append(asyncio.run(memory_mb(url)))
            print(f"{after[-1]} MB", flush=True)
    return {"requests": count, "statuses": statuses, "megabytes_after_each_tenth": after}


async def until_it_ends(url: str, images: list[bytes], process: subprocess.Popen[str], number: int) -> Counter[str]:
    """Send over 32 connections, end the service in the middle, and count what became of every request."""
    ends: Counter[str] = Counter()

    async def one(session: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with session.post(f"{url}/predict", data=random.choice(images)) as answer:
                    await answer.read()
                ends[f"status {answer.status}"] += 1
            except aiohttp.ClientConnectorError:  # nobody listens any more: it was never sent
                return
            except aiohttp.ClientError as error:
                ends[f"lost: {type(error).__name__}"] += 1
                return

    async def end() -> None:
        await asyncio.sleep(1.5 + 0.037 * number)
        process.send_signal(signal.SIGTERM)

    async with client() as session:
        await asyncio.gather(end(), *(one(session) for _ in range(CONNECTIONS)))
    return ends


def shutdowns(run: Path, images: list[bytes], times: int) -> dict[str, Any]:
    ends: Counter[str] = Counter()
    codes = []
    for number in range(times):
        with service(run) as (url, process):
            ends += asyncio.run(until_it_ends(url, images, process, number))
            codes.append(process.wait(60))
    lost = sum(count for what, count in ends.items() if what.startswith("lost"))
    return {"times": times, "ends": ends, "lost": lost, "exit_codes": codes}


def bomb(side: int) -> bytes:
    """A PNG of a few bytes whose header claims ``side`` pixels squared."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


async def hostile(url: str, images: list[bytes], count: int) -> dict[str, Any]:
    """Uploads of every unkind sort, 32 at a time, with a slow sender always among them."""
    address, _, port = url.removeprefix("http://").rpartition(":")
    big = bytes(100_000_000)

    async def slow(session: aiohttp.ClientSession) -> str:
        _reader, writer = await asyncio.open_connection(address, int(port))
        head = (
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"
        )
        for byte in head + images[0][:20]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.005)
        writer.close()  # and leaves in the middle
        return "left"

    def sends(data: bytes, kind: str = "image/jpeg") -> Callable[[aiohttp.ClientSession], Awaitable[str]]:
        async def send(session: aiohttp.ClientSession) -> str:
            async with session.post(f"{url}/predict", data=data, headers={"Content-Type": kind}) as answer:
                await answer.read()
            return str(answer.status)

        return send

    kinds: dict[str, Callable[[aiohttp.ClientSession], Awaitable[str]]] = {
        "cut off": sends(images[0][: len(images[0]) // 2]),
        "bomb by its header, 60,000 px": sends(bomb(60_000), "image/png"),
        "bomb by its header, 9,000 px": sends(bomb(9_000), "image/png"),
        "a text called an image": sends(b"no image " * 1000),
        "a PDF": sends(b"%PDF-1.7", "application/pdf"),
        "PostScript": sends(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n" * 1000, "image/x-eps"),
        "a form without files": sends(b"--x--\r\n", "multipart/form-data; boundary=x"),
        "a form that is none": sends(b"nothing", "multipart/form-data; boundary=x"),
        "empty": sends(b""),
        "noise": sends(os.urandom(50_000)),
        "slow, then gone": slow,
    }
    rare = {"100 MB": sends(big, "image/png")}
    ends: dict[str, Counter[str]] = {name: Counter() for name in [*kinds, *rare]}
    numbers = iter(range(count))

    async def one(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            if number % 50 == 0:
                name, act = next(iter(rare.items()))
            else:
                name, act = list(kinds.items())[number % len(kinds)]
            try:
                ends[name][await act(session)] += 1
            except (aiohttp.ClientError, OSError) as error:
                ends[name][type(error).__name__] += 1

    async with client() as session:
        await asyncio.gather(*(one(session) for _ in range(CONNECTIONS)))
    return {name: dict(counted) for name, counted in ends.items()}


def after_hostile(run: Path, images: list[bytes], count: int) -> dict[str, Any]:
    with service(run) as (url, process):
        before = asyncio.run(load(url, images, 128))
        megabytes = [asyncio.run(memory_mb(url))]
        ends = asyncio.run(hostile(url, images, count))
        megabytes.append(asyncio.run(memory_mb(url)))
        after = asyncio.run(load(url, images, 128))
        assert process.poll() is None
        descriptors = asyncio.run(figures(url))["process_open_fds"]
    return {
        "uploads": count,
        "ends": ends,
        "megabytes_before_and_after": megabytes,
        "answered_before_and_after": [before["statuses"], after["statuses"]],
        "open_files_after": descriptors,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--hostile", type=int, default=1_000)
    parser.add_argument("--shutdowns", type=int, default=10)
    options = parser.parse_args()
    images = photos()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "hymenoptera"
        graftwork.train(
            path_of("hymenoptera"), output=run, strategy="linear", layer="last", loss="softmax",
            backbone="efficientnet_lite0",
        )  # fmt: skip
        result: dict[str, Any] = {
            "machine": machine.describe() | {"load_average_1m": os.getloadavg()[0]},
            "connections": CONNECTIONS,
            "targets": TARGETS,
            "engine": graftwork.load(run).engine,
            "rate": shares(run, images, options.rounds, options.images),
        }
        if options.requests:
            result["memory"] = memory(run, images, options.requests)
        if options.shutdowns:
            result["shutdown"] = shutdowns(run, images, options.shutdowns)
        if options.hostile:
            result["hostile"] = after_hostile(run, images, options.hostile)
    machine.results_path("serve").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: value for name, value in result["rate"].items() if name != "rounds"}))


if __name__ == "__main__":
    main()
