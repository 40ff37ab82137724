"""A headless Chromium, driven through chromedriver's HTTP protocol (W3C WebDriver)."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

#: What to do where there is none.
MISSING = "chromium and chromedriver are not there: make test-browser sets them up"

_OPTIONS = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"]


class Browser:
    """One window; use it in a ``with`` block."""

    def __init__(self) -> None:
        program, chromium = shutil.which("chromedriver"), shutil.which("chromium")
        assert program, MISSING
        assert chromium, MISSING
        self._process = subprocess.Popen(
            [program, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        # Never through a proxy: the driver is on this machine.
        self._opener = build_opener(ProxyHandler({}))
        self._session = ""
        try:
            said = ""
            while not (found := re.search(r"started successfully on port (\d+)", said)):
                line = self._process.stdout.readline()
                assert line, f"chromedriver ended: {said}"
                said += line
            self._root = f"http://127.0.0.1:{found[1]}/session"
            wanted = {
                "goog:chromeOptions": {"args": _OPTIONS, "binary": chromium},
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            made = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
            self._session = f"/{made['sessionId']}"
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser, then the driver."""
        try:
            if self._session:
                self._call("DELETE", "", None)
        finally:
            self._process.terminate()
            self._process.wait(20)
            self._process.stdout.close()

    def look(self, *, width: int, height: int, dark: bool) -> None:
        """Set the size of the window, a phone's below 600 pixels, and the colour scheme."""
        size = {"width": width, "height": height, "mobile": width < 600, "deviceScaleFactor": 1}
        self.devtools("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._call("POST", "/url", {"url": address})

    @property
    def address(self) -> str:
        """Of the page that is shown."""
        return self._call("GET", "/url", None)

    def ask(self, script: str, *arguments: Any) -> Any:
        """Return what a function body in JavaScript returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        """Click on the first element of a CSS selector, as a user would."""
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        (element,) = found.values()
        self._call("POST", f"/element/{element}/click", {})

    def complaints(self) -> list[str]:
        """Return what the console has told since it was last asked."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as PNG, once it is painted: a loaded page may not be yet."""
        self.ask("return new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot", None)))

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _call(self, method: str, path: str, data: Any) -> Any:
        body = None if data is None else json.dumps(data).encode()
        request = Request(
            self._root + self._session + path,
            body,
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except HTTPError as error:
            told = json.load(error)["value"]["message"].partition("\n")[0]
            raise AssertionError(f"{method} {path}: {told}") from error
