"""Drives a real Chromium over its debugging pipe: opens a page, chooses files, reads elements, takes pictures."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 120


class Browser:
    """One tab; a context manager."""

    def __init__(self, profile: Path) -> None:
        browser = next(filter(None, map(shutil.which, BROWSERS)))
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def connect() -> None:  # the browser reads from 3 and writes to 4; neither pipe may lie there already
            copies = os.dup(theirs_in), os.dup(theirs_out)
            high = [os.dup2(fd, 50 + i) for i, fd in enumerate(copies)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        words = [browser, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(words, preexec_fn=connect, close_fds=False, stdout=quiet, stderr=quiet)
        os.close(theirs_in)
        os.close(theirs_out)
        self._number, self._unread, self.console = 0, b"", []
        self._session: str | None = None
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the debugging protocol; what the console says meanwhile is kept in ``console``."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self._number:
                assert "error" not in said, (method, said)
                return said["result"]
            if said.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
                self.console.append(json.dumps(said["params"]))

    def _read(self) -> Any:
        while b"\0" not in self._unread:
            read = os.read(self._in, 1 << 20)
            assert read, "the browser has gone"
            self._unread += read
        said, _, self._unread = self._unread.partition(b"\0")
        return json.loads(said)

    def open(self, url: str, *, width: int = 1200, dark: bool = False) -> None:
        """Open a page in a window of a width, by day or by night."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def choose(self, selector: str, files: Sequence[Path]) -> None:
        """Choose files in an input element, as a person does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file.resolve()) for file in files])

    def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript is in the page."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression of JavaScript is true."""
        end = time.monotonic() + SECONDS
        while not self.value(expression):
            assert time.monotonic() < end, f"{expression} is not true; the console said {self.console}"
            time.sleep(0.02)

    def picture(self, file: Path) -> None:
        """Write the whole page as a PNG file."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))
