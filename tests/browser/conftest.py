"""A real Chromium: pages are opened in it, and whatever it complains of fails the test."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from service.ui import STATIC
from tests.deployment import Deployment

ROOT = Path(__file__).parents[2]
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = ROOT / "build" / "pictures"
"""Where pictures of the pages are put, to be looked at."""
PATIENCE_MS = 60_000
"""How long a page may take: no test is about time, and machines may be busy."""
SERIOUS = ("moderate", "serious", "critical")
TURNS = """async () => {
    for (let turn = 0; turn < 20; turn++)
        await new Promise((done) => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = done;
            port2.postMessage(null);
        });
}"""
"""Ends after more messages than there are parts that are drawn at one each (`staged.tsx`)."""
VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
    window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


def missing(what: str) -> NoReturn:
    """Say what is missing, and where it must not be, fail."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")  # its event loop runs until it is closed: other tests have theirs
def playwright() -> Iterator[Playwright]:
    """The driver of browsers."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """The machine's own Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing("no Chromium here: apt-get install chromium")
    if not (STATIC / "index.en.html").is_file() or not AXE.is_file():
        missing("the pages are not built: make ui")
    started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
    yield started
    started.close()


def hash_of(page: Page) -> str:
    """What stands behind `#` in the address just now: Playwright hears of it a moment later."""
    return str(page.evaluate("location.hash"))


def trained(page: Page, epoch: int) -> None:
    """Wait until a training has succeeded, its last epoch is here, and all of it is drawn."""
    page.wait_for_selector(".status.succeeded")
    expect(page.locator(".epoch strong")).to_have_text(str(epoch))
    page.wait_for_selector(".card[aria-labelledby=confusion-title]")
    page.evaluate(TURNS)


class Opened:
    """A page of the service, in one language and width, with what went wrong in it."""

    def __init__(
        self, browser: Browser, url: str, language: str, width: int, **options: Any
    ) -> None:
        self.context = browser.new_context(
            base_url=url,
            locale=language,
            viewport={"width": width, "height": 900},
            permissions=["clipboard-read", "clipboard-write"],
            **{"reduced_motion": "reduce", **options},
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.add_init_script(VIOLATIONS)
        self.page: Page = self.context.new_page()
        self.url = url
        self.name = f"{language}-{width}"
        self.errors: list[str] = []
        self.refusals: set[int] = set()
        """Statuses that the test asks for: browsers log each as an error."""
        self.requests: list[Request] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._request)

    def go(self, address: str) -> Page:
        """Open an address below `/`."""
        self.page.goto(f"/{address}")
        return self.page

    def accessible(self) -> None:
        """Fail on what axe finds more than minor, and where something is wider than the page."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run()")
        serious = [
            (violation["id"], [node["html"] for node in violation["nodes"]])
            for violation in found["violations"]
            if violation["impact"] in SERIOUS
        ]
        assert serious == []
        wide = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, f"wider than the page: {self.page.url}"

    def picture(self, name: str) -> None:
        """Keep a picture of the whole page."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}-{self.name}.png", full_page=True)

    def close(self) -> None:
        """Close the page; fails where it broke its policy or logged an error."""
        violations = self.page.evaluate("window.violations")
        self.context.close()
        assert violations == []
        assert self.errors == []

    def _request(self, request: Request) -> None:
        self.requests.append(request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        expected = (f"the server responded with a status of {code} " for code in self.refusals)
        if not any(text in message.text for text in expected):
            self.errors.append(message.text)


@pytest.fixture
def opened(browser: Browser, deployment: Deployment) -> Iterator[Callable[..., Opened]]:
    """Open pages of the shared deployment; each is looked over when the test ends."""
    pages: list[Opened] = []

    def make(
        language: str = "en", width: int = 1280, url: str | None = None, **options: Any
    ) -> Opened:
        pages.append(Opened(browser, url or deployment.url, language, width, **options))
        return pages[-1]

    yield make
    for page in pages:
        page.close()
