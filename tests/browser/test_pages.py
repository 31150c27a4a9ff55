"""Every page at both widths in both languages: usable, nothing cut, no complaint of the browser."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opened, trained
from tests.deployment import Deployment

TITLES: Mapping[str, tuple[str, str]] = {
    "playground": ("Playground", "놀이터"),
    "gates": ("Gates", "게이트"),
    "backprop": ("Backprop", "역전파"),
    "sweep": ("Sweep", "탐색"),
    "jobs": ("Jobs", "작업"),
    "models": ("Models", "모델"),
}
READY = {
    "playground": ".diagram",
    "gates": ".gate-plane",
    "backprop": ".katex",
    "sweep": "main .primary:visible",
    "jobs": "table.list, main p:not([role=status])",
    "models": "main table",
}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("name", TITLES)
def test_page(opened: Callable[..., Opened], name: str, language: str, width: int) -> None:
    """A deep link leads to the page, in the browser's language; axe finds nothing serious."""
    view = opened(language, width)
    page = view.go(f"#/{name}")
    page.wait_for_selector(READY[name])
    title = TITLES[name][language == "ko"]
    expect(page).to_have_title(f"{title} · Perceptron")
    expect(page.locator("nav [aria-current=page]")).to_have_text(title)
    expect(page.locator("html")).to_have_attribute("lang", language)
    view.accessible()
    view.picture(name)
    page.emulate_media(color_scheme="dark")
    view.accessible()


def test_language_and_theme_are_kept(opened: Callable[..., Opened]) -> None:
    """What is chosen stays, also when the page is loaded anew; sentences of the service follow."""
    view = opened("en")
    page = view.go("#/gates")
    page.get_by_label("Language").select_option("ko")
    page.get_by_role("link", name="놀이터").click()
    page.get_by_label("화면 모드").select_option("dark")
    page.reload()
    expect(page).to_have_title("놀이터 · Perceptron")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.get_by_role("button", name="▶ 학습").click()
    expect(page.locator(".verdict p")).to_contain_text("학습")


def test_keyboard_alone(opened: Callable[..., Opened]) -> None:
    """Skipping the menu, choosing and training need no pointer."""
    view = opened("en")
    page = view.go("")
    page.wait_for_selector(".diagram")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(30):
        page.keyboard.press("Tab")
        if "Train" in page.evaluate("document.activeElement.textContent"):
            break
    page.keyboard.press("Enter")
    trained(page, 399)
    page.get_by_label("Epoch that is shown").focus()
    page.keyboard.press("Home")
    expect(page.locator(".epoch strong")).to_have_text("0")


def test_unknown_page(opened: Callable[..., Opened]) -> None:
    """An address that leads nowhere says so."""
    view = opened("en")
    page = view.go("#/nowhere")
    expect(page.locator("main")).to_contain_text("no such page")
    view.accessible()


def test_formulas_are_loaded_with_the_first_one(opened: Callable[..., Opened]) -> None:
    """The playground loads no KaTeX; nothing is ever loaded from elsewhere."""
    view = opened("en")
    page = view.go("")
    page.wait_for_selector(".diagram")
    assert not any("katex" in request.url for request in view.requests)
    view.go("#/backprop")
    page.wait_for_selector(".katex")
    assert any("katex" in request.url for request in view.requests)
    urls = [request.url for request in view.requests if not request.url.startswith("data:")]
    assert all(url.startswith(view.url) for url in urls)


@pytest.fixture(scope="module")
def pair(deployment: Deployment) -> list[str]:
    """Two trainings of different tables that have ended."""
    made = []
    for task in ("xor", "iris"):
        body: dict[str, Any] = {"dataset": task, "network": {"hidden_layers": [4]}}
        body["training"] = {"epochs": 50, "validation_fraction": 0.25, "optimizer": "adam"}
        made.append(deployment.submit(**body))
    for job in made:
        deployment.finished(job)
    return made


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_job_and_model_pages(
    opened: Callable[..., Opened], pair: list[str], language: str, width: int
) -> None:
    """Deep links to a job, to two compared and to a model work in both languages and widths."""
    first, second = pair
    view = opened(language, width)
    for name, address, ready in (
        ("job", f"#/jobs/{second}", ".curves"),
        ("compare", f"#/jobs?compare={first}~{second}", ".compared"),
        ("model", f"#/models/{second}", ".predict"),
    ):
        page = view.go(address)
        page.wait_for_selector(ready)
        view.accessible()
        view.picture(name)


def test_figures_are_linked(opened: Callable[..., Opened], deployment: Deployment) -> None:
    """Pages name the figures that there are, of a job and of models with and without a training."""
    job = deployment.finished(deployment.submit(dataset="xor", training={"epochs": 20}))["id"]
    numbers = deployment.submit(dataset="diabetes", training={"epochs": 5, "learning_rate": 0.01})
    assert deployment.finished(numbers)["status"] == "succeeded"
    view = opened()
    for address, figures in (
        (f"#/jobs/{job}", ["loss", "confusion"]),
        (f"#/jobs/{numbers}", ["loss"]),
        (f"#/models/{job}", ["boundary", "network", "loss", "confusion"]),
        ("#/models/and", ["boundary", "network"]),
    ):
        page = view.go(address)
        page.get_by_role("heading", level=1).get_by_text(address.split("/")[-1]).wait_for()
        links = page.locator("main a[href*='/figures/']")
        expect(links).to_have_count(2 * len(figures))
        for link in links.all():
            href = link.get_attribute("href")
            answer = deployment.get(href or "")
            form = "svg+xml" if "svg" in (href or "") else "png"
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, f"image/{form}")
        found = [link.get_attribute("href") or "" for link in links.all()]
        assert [href.split("/")[-1].partition("?")[0] for href in found[::2]] == figures


@pytest.mark.parametrize("language", ["en", "ko"])
def test_refusals_are_said_in_the_page_s_language(
    opened: Callable[..., Opened], deployment: Deployment, language: str
) -> None:
    """Files, predictions, trainings, failures: what is wrong is said in the reader's words."""
    view = opened(language)
    view.refusals |= {404, 409, 422}
    page = view.go("#/playground")
    page.wait_for_selector(".diagram")
    upload = page.locator("input[type=file]")
    for content, english, korean in (
        ("", "the table is empty", "표가 비어 있습니다"),
        ("a,b\n1,2\n1\n", "line 3 has 1 values", "3번째 줄의 값은 1개인데 첫 줄은 2개입니다"),
        ("a,a\n1,2\n", "two columns are called 'a'", "이름이 “a”인 열이 둘입니다"),
    ):
        file = {"name": "bad.csv", "mimeType": "text/csv", "buffer": content.encode()}
        upload.set_input_files(file)  # type: ignore[arg-type]
        page.locator(".staged .primary").click()
        expect(page.get_by_role("alert")).to_contain_text(korean if language == "ko" else english)
    page = view.go("#/playground?data=iris&model=xor")
    page.wait_for_selector(".diagram")
    page.get_by_role("button", name="▶ Train" if language == "en" else "▶ 학습").click()
    taken = "is a built-in model" if language == "en" else "기본 제공 모델입니다"
    expect(page.get_by_role("alert").last).to_contain_text(taken)
    page = view.go("#/models/xor")
    page.get_by_label("x1").fill("many")
    page.locator("form.predict .primary").click()
    number = "a number is needed" if language == "en" else "“many”은(는) 수가 아닙니다"
    expect(page.get_by_role("alert")).to_contain_text(number)
    page = view.go("#/jobs/job_of_nobody")
    gone = "there is no job" if language == "en" else "작업 “job_of_nobody”이(가) 없습니다"
    expect(page.get_by_role("alert")).to_contain_text(gone)
    training = {"learning_rate": 1000, "optimizer": "momentum", "epochs": 2_000}
    body = {"dataset": "diabetes", "network": {"hidden_layers": [4], "activation": "relu"}}
    job = deployment.finished(deployment.submit(**body, training=training))
    page = view.go(f"#/jobs/{job['id']}")
    failed = "the loss is not finite" if language == "en" else "손실이 수가 아니게 되었습니다"
    expect(page.get_by_role("alert")).to_contain_text(failed)
    view.picture("failed")
