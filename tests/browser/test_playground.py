"""The playground's main paths: train, watch, scrub, cancel, reload, upload, be refused."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.conftest import TURNS, Opened, hash_of, trained
from tests.deployment import Deployment, eventually

WORDS = {
    "en": {
        "train": "▶ Train",
        "cancel": "Cancel",
        "cancelled": "cancelled",
        "pause": "Pause training",
        "resume": "Continue training",
        "paused": "paused",
        "scrub": "Epoch that is",
        "layer": "One unit more in hidden layer 1",
    },
    "ko": {
        "train": "▶ 학습",
        "cancel": "취소",
        "cancelled": "취소됨",
        "pause": "학습 일시 정지",
        "resume": "이어서 학습",
        "paused": "일시 정지됨",
        "scrub": "보여 주는 에포크",
        "layer": "은닉층 1에 뉴런 하나 더하기",
    },
}
LONG = "#/playground?data=spirals~2000~0.1~2~0&layers=20-20-20&epochs=1000000"
"""Hours of training: it ends only when it is cancelled."""


def train(page: Page, language: str = "en") -> None:
    """Press the button that trains."""
    page.get_by_role("button", name=WORDS[language]["train"]).click()


def job_of(page: Page, deployment: Deployment) -> dict[str, Any]:
    """The job that the address names."""
    found = re.search(r"job=(job_\w+)", hash_of(page))
    assert found is not None, hash_of(page)
    return deployment.job(found[1])


def epoch(page: Page) -> int:
    """The epoch that is shown; −1 before there is one."""
    text = page.locator(".epoch strong").inner_text()
    return int(text) if text.isdigit() else -1


def counts(page: Page) -> list[int]:
    """The confusion matrix as it is shown: TP, FN, FP, TN."""
    return [int(text) for text in page.locator(".matrix .cell .number").all_inner_texts()]


def colours(page: Page, canvas: str) -> int:
    """How many different shades a canvas has."""
    found = page.locator(canvas).evaluate(
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    )
    return int(found)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_training_is_watched_to_its_end(
    opened: Callable[..., Opened], deployment: Deployment, language: str, width: int
) -> None:
    """Curves, region, network, matrix and diagnosis come by the stream and are the service's."""
    view = opened(language, width)
    page = view.go("#/playground?data=moons~200~0.2~2~1&validation=0.3&epochs=300")
    page.wait_for_selector(".points path")
    train(page, language)
    trained(page, 299)
    job = job_of(page, deployment)
    expect(page.locator(".verdict p")).to_have_text(
        deployment.get(f"/jobs/{job['id']}", Accept_Language=language).json()["diagnosis"][
            "message"
        ]
    )
    expect(page.locator(".points")).to_have_attribute("data-rows", "200")
    matrix = job["metrics"]["train"]["confusion_matrix"]
    names = ("true_positive", "false_negative", "false_positive", "true_negative")
    eventually(lambda: counts(page) == [matrix[name] for name in names])
    assert colours(page, ".plane canvas") > 20
    assert colours(page, ".drawing canvas") > 20
    best = min(job["history"], key=lambda record: record["valid_loss"])["epoch"]
    assert page.locator(".best").inner_text().strip().endswith(str(best))
    view.accessible()
    view.picture("playground-trained")


def test_the_region_is_scrubbed_along_the_epochs(opened: Callable[..., Opened]) -> None:
    """Slider, steps and replay show the weights of other epochs; a curve can be clicked."""
    view = opened()
    page = view.go("")
    page.wait_for_selector(".diagram")
    expect(page.get_by_role("button", name="One record on")).to_have_count(0)  # nothing to step
    train(page)
    trained(page, 399)
    picture = PLANE
    last = page.evaluate(picture)
    slider = page.get_by_label("Epoch that is shown")
    shown = page.locator(".epoch strong")
    slider.fill("0")
    expect(shown).to_have_text("0")
    page.wait_for_function(f"last => {picture} !== last", arg=last)  # drawn with the next frame
    first = page.evaluate(picture)
    on, back = (page.get_by_role("button", name=f"One record {way}") for way in ("on", "back"))
    expect(on).to_have_text("Step ▸")
    on.focus()
    on.press("Enter")
    expect(shown).to_have_text("2")
    back.focus()
    back.press("Space")
    expect(shown).to_have_text("0")
    expect(back).to_have_attribute("aria-disabled", "true")
    back.press("Space")  # nothing is before the first one; who holds the key stays here
    expect(shown).to_have_text("0")
    expect(back).to_be_focused()
    page.wait_for_function(f"first => {picture} === first", arg=first)
    page.get_by_role("button", name="Play", exact=True).click()
    expect(shown).to_have_text("399")
    page.wait_for_function(f"last => {picture} === last", arg=last)
    on.click()  # from the last one to the first
    expect(shown).to_have_text("0")
    on.click()
    expect(shown).to_have_text("2")
    page.locator(".u-over").first.click(position={"x": 30, "y": 40})
    eventually(lambda: 0 < epoch(page) < 200)


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ko", 390)])
def test_rows_of_a_part_are_hidden_by_the_legend(
    opened: Callable[..., Opened], language: str, width: int
) -> None:
    """A press takes training or validation rows off the plane; the address keeps it."""
    training, validation, group = {
        "en": ("training", "validation", "Rows in the plane"),
        "ko": ("학습", "검증", "평면에 보이는 행"),
    }[language]
    view = opened(language, width)
    page = view.go("#/playground?data=moons~200~0.2~2~1&validation=0.3&epochs=50")
    page.wait_for_selector(".points path")
    train(page, language)
    trained(page, 49)
    legend = page.get_by_role("group", name=group)
    first, second = (
        legend.get_by_role("button", name=name, exact=True) for name in (training, validation)
    )
    points = page.locator(".points")
    expect(points).to_have_attribute("data-rows", "200")
    expect(second).to_have_attribute("aria-pressed", "true")
    second.press("Enter")
    expect(second).to_have_attribute("aria-pressed", "false")
    expect(points).to_have_attribute("data-rows", "140")
    expect(second).to_be_focused()
    view.accessible()
    view.picture("playground-legend")
    page.reload()
    expect(points).to_have_attribute("data-rows", "140")
    expect(second).to_have_attribute("aria-pressed", "false")
    first.click()
    expect(points).to_have_attribute("data-rows", "0")
    second.click()
    expect(points).to_have_attribute("data-rows", "60")
    first.click()
    expect(points).to_have_attribute("data-rows", "200")
    assert "unseen" not in hash_of(page)
    second.click()
    expect(points).to_have_attribute("data-rows", "140")
    page.get_by_role("button", name={"en": "Add a layer", "ko": "층 더하기"}[language]).click()
    expect(points).to_have_attribute("data-rows", "100")  # all of one part, as the table shows them
    expect(legend).to_have_count(0)


def test_threshold_moves_the_matrix(opened: Callable[..., Opened]) -> None:
    """At 0 every row is positive, at 1 none is; precision without a divisor is no number."""
    view = opened()
    page = view.go("#/playground?data=xor")
    page.wait_for_selector(".diagram")
    train(page)
    page.wait_for_selector(".verdict")
    eventually(lambda: counts(page) == [2, 0, 0, 2])
    threshold = page.get_by_label("Threshold")
    threshold.fill("0")
    eventually(lambda: counts(page) == [2, 0, 2, 0])
    threshold.fill("1")
    eventually(lambda: counts(page) == [0, 2, 0, 2])
    expect(page.locator(".figures dd").nth(1)).to_have_text("–")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_stream_is_resumed_by_a_reload_and_cancelled(
    opened: Callable[..., Opened], deployment: Deployment, language: str
) -> None:
    """Loaded anew in the middle, the page shows all records again and goes on; Cancel ends it."""
    view = opened(language)
    page = view.go(LONG)
    page.wait_for_selector(".points path")
    train(page, language)
    eventually(lambda: epoch(page) > 0)
    seen = epoch(page)
    page.reload()
    eventually(lambda: epoch(page) > seen)
    expect(page.get_by_label(WORDS[language]["layer"])).to_be_disabled()
    page.get_by_role("button", name=WORDS[language]["cancel"]).click()
    page.wait_for_selector(".status.cancelled")
    expect(page.locator(".status")).to_have_text(WORDS[language]["cancelled"])
    assert job_of(page, deployment)["status"] == "cancelled"
    page.get_by_label(WORDS[language]["scrub"]).fill("0")
    expect(page.locator(".epoch strong")).to_have_text("0")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_training_is_paused_and_goes_on(
    opened: Callable[..., Opened], deployment: Deployment, language: str
) -> None:
    """By the keyboard, on one button; the curves stay, also when it is loaded anew, and go on."""
    words = WORDS[language]
    view = opened(language)
    page = view.go("#/playground?data=spirals~2000~0.1~2~0&layers=20-20-20&epochs=20000")
    page.wait_for_selector(".points path")
    train(page, language)
    eventually(lambda: epoch(page) > 0)
    page.get_by_role("button", name=words["pause"]).press("Enter")
    expect(page.locator(".status.paused")).to_have_text(words["paused"])
    expect(page.get_by_role("button", name=words["resume"])).to_be_focused()
    view.accessible()
    job = job_of(page, deployment)
    assert job["status"] == "paused"
    scrub = page.get_by_label(words["scrub"])
    expect(scrub).to_have_attribute("max", str(len(job["history"]) - 1))
    page.reload()
    expect(page.locator(".status.paused")).to_be_visible()
    expect(scrub).to_have_attribute("max", str(len(job["history"]) - 1))
    page.get_by_role("button", name=words["resume"]).press("Space")
    page.wait_for_selector(".status.succeeded")
    ended = job_of(page, deployment)
    assert ended["attempt"] == 2
    assert ended["history"][: len(job["history"])] == job["history"]
    expect(scrub).to_have_attribute("max", str(len(ended["history"]) - 1))
    expect(page.get_by_role("button", name=words["resume"])).to_have_count(0)


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ko", 390)])
def test_a_reset_says_what_it_leaves(
    opened: Callable[..., Opened], deployment: Deployment, language: str, width: int
) -> None:
    """A training that runs or is paused is not cancelled: the page says so, with a link to it."""
    words = WORDS[language]
    reset, told, link = {
        "en": ("Reset", "is not cancelled", "The job’s page"),
        "ko": ("처음으로", "취소되지 않았습니다", "작업 페이지"),
    }[language]
    view = opened(language, width)
    page = view.go(LONG)
    page.wait_for_selector(".points path")
    note = page.get_by_role("status").filter(has_text=told)
    train(page, language)
    expect(page.locator(".status.running")).to_be_visible()
    expect(note).to_have_count(0)
    job = job_of(page, deployment)["id"]
    page.get_by_role("button", name=reset).press("Enter")
    expect(note).to_be_visible()
    expect(page.locator(".replay")).to_have_count(0)
    expect(page.get_by_role("button", name=reset)).to_be_focused()
    view.accessible()
    view.picture("playground-left")
    note.get_by_role("link", name=link).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(job)
    expect(page.locator(".status.running")).to_be_visible()
    page.get_by_role("button", name=words["pause"]).click()
    expect(page.locator(".status.paused")).to_be_visible()
    page = view.go(f"#/playground?job={job}")
    expect(page.locator(".status.paused")).to_be_visible()
    page.get_by_role("button", name=reset).click()
    expect(note).to_be_visible()
    assert deployment.job(job)["status"] == "paused"
    train(page, language)
    trained(page, 399)
    expect(note).to_have_count(0)
    page.get_by_role("button", name=reset).click()
    expect(page.locator(".replay")).to_have_count(0)
    expect(note).to_have_count(0)  # it had ended
    deployment.post(f"/jobs/{job}/cancel")


def test_a_broken_stream_goes_on_after_its_last_event(
    opened: Callable[..., Opened], new_deployment: Callable[..., Deployment]
) -> None:
    """When the API's processes die, the browser comes back with the last id that it saw."""
    own = new_deployment()
    view = opened(url=own.url)
    page = view.go(LONG)
    page.wait_for_selector(".points path")
    train(page)
    eventually(lambda: epoch(page) > 0)
    view.refusals.add(502)
    for child in psutil.Process(own.api_master).children():
        os.kill(child.pid, 9)

    def streams() -> list[Request]:
        return [sent for sent in view.requests if sent.url.endswith("/events")]

    eventually(lambda: page.title() and len(streams()) >= 2)
    seen = epoch(page)
    eventually(lambda: epoch(page) > seen)
    assert int(streams()[-1].all_headers()["last-event-id"]) > 1
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".status.cancelled")
    ours = [record["epoch"] for record in job_of(page, own)["history"]]
    shown = page.get_by_label("Epoch that is shown")
    expect(shown).to_have_attribute("max", str(len(ours) - 1))
    view.errors = [error for error in view.errors if "net::ERR" not in error]  # it was away


def test_a_refused_stream_is_tried_again(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """A proxy whose service restarts refuses the stream: the job is not taken for a deleted one."""
    job = deployment.submit(
        dataset="xor",
        network={"hidden_layers": [4], "activation": "tanh"},
        training={"optimizer": "adam", "epochs": 400},
    )
    view = opened()
    view.refusals.add(502)
    view.page.route(
        "**/events", lambda route: route.fulfill(status=502, body="Bad Gateway"), times=1
    )
    page = view.go(f"#/playground?job={job}")
    expect(page.locator(".status.succeeded")).to_be_visible()
    expect(page.locator(".replay .epoch")).to_contain_text("399 / 399")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_address_holds_everything(opened: Callable[..., Opened]) -> None:
    """What is set is in the address, and comes back from it in another window."""
    view = opened()
    page = view.go("")
    page.wait_for_selector(".diagram")
    page.get_by_label("Dataset").select_option("iris")
    page.get_by_role("button", name="Add a layer").click()
    page.get_by_role("button", name="One unit more in hidden layer 3").click()
    page.get_by_label("Optimizer").select_option("rmsprop")
    page.get_by_label("Learning rate").fill("0.02")
    page.get_by_label("Epochs", exact=True).fill("123")
    page.get_by_label("Validation rows").fill("0.2")
    page.get_by_text("More settings").click()
    page.get_by_label("Batch size").fill("16")
    page.get_by_label("Vertical").select_option("petal width (cm)")
    other = opened("ko")
    copy = other.go(hash_of(page))
    copy.wait_for_selector(".diagram")
    expect(copy.get_by_label("데이터셋")).to_have_value("iris")
    expect(copy.get_by_label("은닉층 3의 뉴런 수")).to_have_value("4")
    expect(copy.get_by_label("학습률")).to_have_value("0.02")
    expect(copy.get_by_label("에포크", exact=True)).to_have_value("123")
    expect(copy.get_by_label("검증 행")).to_have_value("0.2")
    expect(copy.get_by_label("세로")).to_have_value("petal width (cm)")
    train(copy, "ko")
    copy.wait_for_selector(".status.succeeded")
    copy.wait_for_selector("svg.matrix")


def test_a_request_is_copied_as_curl(opened: Callable[..., Opened], deployment: Deployment) -> None:
    """The command on the clipboard trains the same network when a shell runs it."""
    view = opened()
    page = view.go("#/playground?data=xor&layers=3&seed=5&epochs=20")
    page.wait_for_selector(".diagram")
    page.locator("section", has=page.locator("#network-title")).get_by_role(
        "button", name="Copy as curl"
    ).click()
    expect(page.get_by_text("Copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith(f"curl -sS \\\n  '{deployment.url}/jobs'")
    body = re.search(r"-d '(.*)'$", command, re.DOTALL)
    assert body is not None
    job = deployment.client.post(
        "/jobs", content=body[1], headers={"Content-Type": "application/json"}
    ).json()
    assert job["training"]["seed"] == 5
    assert job["network"]["hidden_layers"] == [3]


TABLE = "size,colour,kind\n" + "".join(
    f"{n},{'red' if n % 3 else 'blue'},{'a' if n % 2 else 'b'}\n" for n in range(1, 41)
)


def upload(page: Page, file: Path) -> None:
    """Choose a file, and store it as it is proposed."""
    page.locator("input[type=file]").set_input_files(file)
    page.locator(".staged .primary").click()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_table_is_uploaded_and_trained_on(
    opened: Callable[..., Opened], deployment: Deployment, tmp_path: Path, language: str
) -> None:
    """A CSV becomes a dataset with a preview; roles of its columns go into the job."""
    file = tmp_path / f"My table {language}.csv"
    file.write_text(TABLE, encoding="utf-8")
    view = opened(language)
    page = view.go("")
    page.wait_for_selector(".diagram")
    upload(page, file)
    expect(page.locator(".columns")).to_contain_text("colour")
    name = page.locator("select").nth(2).input_value()
    assert name.startswith(f"my-table-{language}")
    stored = deployment.get(f"/datasets/{name}").json()
    assert (stored["rows"], stored["target"]) == (40, "kind")
    page.get_by_role("combobox", name=re.compile("(Role|역할): colour$")).select_option("target")
    page.get_by_role("combobox", name=re.compile("(Role|역할): kind$")).select_option("unused")
    train(page, language)
    page.wait_for_selector(".status.succeeded")
    told = deployment.get(f"/jobs/{job_of(page, deployment)['id']}/rows").json()
    assert told["preprocessing"]["target"]["name"] == "colour"
    assert [feature["name"] for feature in told["preprocessing"]["features"]] == ["size"]


def test_a_dropped_file_is_taken(opened: Callable[..., Opened], deployment: Deployment) -> None:
    """A file that is dropped is stored like one that is chosen."""
    view = opened()
    page = view.go("")
    page.wait_for_selector(".diagram")
    files = page.evaluate_handle(
        "text => { const all = new DataTransfer();"
        "all.items.add(new File([text], 'dropped.csv', {type: 'text/csv'})); return all; }",
        TABLE,
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": files})
    page.locator(".staged .primary").click()
    page.wait_for_selector("text=is stored: 40 rows")
    assert deployment.get("/datasets/dropped").json()["rows"] == 40


def test_a_file_of_a_known_name_is_sent_once(
    opened: Callable[..., Opened], deployment: Deployment, tmp_path: Path
) -> None:
    """A table that was changed and chosen again gets the next free name, with no refusal before."""
    view = opened()
    page = view.go("")
    page.wait_for_selector(".diagram")
    file = tmp_path / "again.csv"
    for name, text in (("again", TABLE), ("again-2", TABLE + "41,red,a\n")):
        file.write_text(text, encoding="utf-8")
        upload(page, file)
        expect(page.locator(".side .good")).to_contain_text(f"“{name}” is stored")
    assert deployment.get("/datasets/again-2").json()["rows"] == 41
    assert len([sent for sent in view.requests if sent.method == "POST"]) == 2


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ko", 390)])
def test_nothing_is_trained_while_a_table_is_stored(
    opened: Callable[..., Opened], tmp_path: Path, language: str, width: int
) -> None:
    """A file is sent, or again with another kind of column: until it is chosen, Train waits."""
    told, kind = {
        "en": ("Storing “{}”…", "Kind: size"),
        "ko": ("“{}”을(를) 저장하는 중…", "종류: size"),
    }[language]
    name = f"being-stored-{token_hex(3)}"
    view = opened(language, width)
    view.refusals.add(422)
    page = view.go("#/playground?data=xor&epochs=50")
    page.wait_for_selector(".points path")
    train(page, language)
    trained(page, 49)
    button = page.get_by_role("button", name=WORDS[language]["train"])
    expect(button).to_be_enabled()
    held: list[Route] = []
    page.route("**/datasets?name=*", lambda route: held.append(route))  # noqa: PLW0108  # needs attributes
    status = page.get_by_role("status").filter(has_text=told.format(name))

    def waits() -> None:
        expect(status).to_be_visible()
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description(re.compile(name))
        expect(page.locator(".middle > div")).to_have_attribute("aria-busy", "true")

    file = tmp_path / f"{name}.csv"
    file.write_text(TABLE, encoding="utf-8")
    with page.expect_request("**/datasets?name=*"):
        upload(page, file)
    waits()
    view.accessible()
    view.picture("playground-storing")
    eventually(lambda: page.title() and len(held) == 1)
    refusal = json.dumps({"title": "No", "status": 422, "detail": "not now"})
    held[0].fulfill(status=422, body=refusal, content_type="application/problem+json")
    expect(page.get_by_role("alert")).to_contain_text("not now")
    expect(button).to_be_enabled()
    expect(status).to_have_count(0)
    with page.expect_request("**/datasets?name=*"):
        page.locator(".staged .primary").click()
    waits()
    eventually(lambda: page.title() and len(held) == 2)
    held[1].continue_()
    expect(page.locator(".points")).to_have_attribute("data-rows", "40")
    expect(button).to_be_enabled()
    expect(status).to_have_count(0)
    assert f"data={name}" in hash_of(page)
    with page.expect_request("**/datasets?name=*"):
        page.get_by_role("combobox", name=kind).select_option("categorical")
    waits()
    eventually(lambda: page.title() and len(held) == 3)
    held[2].continue_()
    expect(page.get_by_role("combobox", name=kind)).to_have_value("categorical")
    expect(button).to_be_enabled()
    assert f"data={name}-2" in hash_of(page)


CITIES = "도시,인구,수도\n" + "똠방,1,예\n" + "서울,933,예\n부산,327,아니요\n" * 20


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ko", 390)])
def test_a_table_in_another_encoding_is_uploaded(
    opened: Callable[..., Opened],
    deployment: Deployment,
    tmp_path: Path,
    language: str,
    width: int,
) -> None:
    """The page says that a file is not UTF-8, and shows it in the encoding that is chosen."""
    charset = {"en": "utf-16", "ko": "cp949"}[language]
    file = tmp_path / f"도시 {charset}.csv"
    file.write_bytes(CITIES.encode(charset))
    view = opened(language, width)
    view.refusals.add(422)
    page = view.go("")
    page.wait_for_selector(".diagram")
    page.locator("input[type=file]").set_input_files(file)
    staged = page.locator(".staged")
    expect(staged).to_contain_text("UTF-8")
    encoding = staged.locator("select")
    expect(encoding).to_have_value(charset)
    expect(staged.locator("pre")).to_contain_text("똠방,1,예")
    encoding.select_option("utf-8")
    expect(staged.locator("pre")).to_contain_text("\ufffd")
    staged.locator(".primary").click()
    expect(page.get_by_role("alert")).to_contain_text("UTF-8")
    encoding.select_option(charset)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(staged.locator("pre")).to_contain_text("똠방,1,예")
    view.accessible()
    view.picture("playground-encoding")
    name = staged.locator("input").input_value()
    staged.locator(".primary").click()
    expect(page.locator(".columns")).to_contain_text("수도")
    assert deployment.get(f"/datasets/{name}").json()["records"][0]["도시"] == "똠방"


@pytest.mark.parametrize(("language", "width"), [("en", 390), ("ko", 1280)])
def test_a_table_is_given_a_name(
    opened: Callable[..., Opened],
    deployment: Deployment,
    tmp_path: Path,
    language: str,
    width: int,
) -> None:
    """A name that cannot be, or is taken, is said at its field; the next free one is offered."""
    rule, there = {
        "en": ("Small letters", "There is a dataset"),
        "ko": ("영어 소문자", "데이터셋이 이미"),
    }[language]
    view = opened(language, width)
    view.refusals.add(409)
    page = view.go("")
    page.wait_for_selector(".diagram")
    name, other = f"city-{token_hex(3)}", f"other-{token_hex(3)}"
    for number, city in enumerate(("서울", "부산")):
        file = tmp_path / f"{city} {language}.csv"
        file.write_text(f"도시,답\n서울,{number}\n부산,3\n", encoding="utf-8")
        page.locator("input[type=file]").set_input_files(file)
        field = page.locator(".staged input")
        expect(field).to_have_value(f"{('seoul', 'busan')[number]}-{language}")
        field.fill("도시")
        expect(page.get_by_role("alert")).to_contain_text(rule)
        expect(page.locator(".staged .primary")).to_be_disabled()
        field.fill(name)
        if number:
            expect(page.get_by_role("alert")).to_contain_text(there)
            field.fill(other)
            taken = {"name": other, "records": [{"a": 1, "b": 2}]}
            assert deployment.post("/datasets", taken).status_code == 201
            page.locator(".staged .primary").click()
            expect(page.get_by_role("alert")).to_contain_text(there)
            view.accessible()
            view.picture("playground-name-taken")
            field.fill(name)
            page.get_by_role("alert").get_by_role("button").click()
            expect(field).to_have_value(f"{name}-2")
        page.locator(".staged .primary").click()
        expect(page.locator(".side .good")).to_contain_text(name)
        expect(page.locator("input[type=file]")).to_be_focused()
    for number, stored in enumerate((name, f"{name}-2")):
        assert deployment.get(f"/datasets/{stored}").json()["records"][0]["답"] == number


def test_a_file_comes_while_another_is_stored(
    opened: Callable[..., Opened], tmp_path: Path
) -> None:
    """The first is among the tables once it is stored; what is asked about the second stays."""
    view = opened()
    page = view.go("")
    page.wait_for_selector(".diagram")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/datasets?name=*", hold)
    early, late = f"early-{token_hex(3)}", f"late-{token_hex(3)}"
    for name in (early, late):
        file = tmp_path / f"{name}.csv"
        file.write_text("a,b\n1,0\n2,1\n", encoding="utf-8")
        page.locator("input[type=file]").set_input_files(file)
        expect(page.locator(".staged input")).to_have_value(name)
        if name == early:
            with page.expect_request("**/datasets?name=*"):
                page.locator(".staged .primary").click()
            expect(page.locator(".staged .primary")).to_be_disabled()
    page.locator(".staged input").fill("second-bird")
    assert len(held) == 1
    held[0].continue_()
    expect(page.locator("option", has_text=early)).to_have_count(1)
    expect(page.locator(".staged input")).to_have_value("second-bird")
    assert early not in hash_of(page)


def test_copied_commands_store_a_table(
    opened: Callable[..., Opened], deployment: Deployment, tmp_path: Path
) -> None:
    """What is copied can be run: before the page stores the table, and after it has."""
    view = opened()
    page = view.go("#/playground?data=moons~200~0.1~2~0")
    page.wait_for_selector(".diagram")
    file = tmp_path / "copied.csv"
    file.write_bytes("도시,답\n서울,1\n부산,0\n".encode("cp949"))

    def run_copied(label: str) -> dict[str, Any]:
        button = page.get_by_role("button", name=re.compile(f"^Copy as curl: {label}"))
        button.click()
        expect(page.get_by_role("status").filter(has_text="Copied").first).to_be_visible()
        command = page.evaluate("navigator.clipboard.readText()")
        bash = shutil.which("bash")
        assert bash is not None
        done = subprocess.run(
            [bash, "-c", command], capture_output=True, check=True, cwd=tmp_path, encoding="utf-8"
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    assert run_copied("moons")["name"] == "my-moons"
    page.locator("input[type=file]").set_input_files(file)
    first = page.locator(".staged input").input_value()
    assert run_copied("copied")["name"] == first
    page.locator(".staged input").fill("stored-by-page")
    page.locator(".staged .primary").click()
    expect(page.locator(".side .good")).to_contain_text("stored-by-page")
    again = run_copied("copied")
    assert again["name"] == "stored-by-page-2"
    stored = deployment.get("/datasets/stored-by-page").json()
    assert again["sha256"] == stored["sha256"]


def test_a_bad_table_is_refused_with_a_reason(
    opened: Callable[..., Opened], tmp_path: Path
) -> None:
    """What the service says of the file is shown, at the place that it points at."""
    view = opened()
    view.refusals.add(422)
    page = view.go("")
    page.wait_for_selector(".diagram")
    file = tmp_path / "bad.csv"
    file.write_text("a,b\n1,2\n1,2,3\n", encoding="utf-8")
    upload(page, file)
    trouble = page.locator(".trouble")
    expect(trouble).to_contain_text("line 3 has 3 values, the first line 2")
    expect(trouble.locator("code")).to_have_count(0)  # the whole file is no place
    view.accessible()
    view.picture("playground-bad-table")


def test_a_refused_job_points_at_its_field(opened: Callable[..., Opened]) -> None:
    """The pointer and the detail of a 422 are shown, and nothing else happens."""
    view = opened()
    view.refusals.add(422)
    page = view.go("#/playground?model=xor")
    page.wait_for_selector(".diagram")
    train(page)
    expect(page.locator(".trouble code")).to_have_text("#/model")
    expect(page.locator(".trouble")).to_contain_text("built-in")
    assert "job=" not in hash_of(page)


def test_regressions_and_wide_networks(opened: Callable[..., Opened]) -> None:
    """A regression has a region and errors; where weights are too many, the last ones are shown."""
    view = opened()
    page = view.go("#/playground?data=diabetes&epochs=30&layers=8")
    page.wait_for_selector(".diagram")
    train(page)
    page.wait_for_selector(".status.succeeded")
    expect(page.locator(".figures")).to_contain_text("RMSE")
    page = view.go("#/playground?data=iris&epochs=100&layers=200-200&activation=relu")
    page.wait_for_selector("text=too large for its weights")
    train(page)
    page.wait_for_selector(".status.succeeded")
    page.wait_for_selector("svg.matrix")
    eventually(lambda: colours(page, ".drawing canvas") > 20)


def test_another_network_begins_anew(opened: Callable[..., Opened]) -> None:
    """When the shape is changed the weights of the last training are gone, its settings stay."""
    view = opened()
    page = view.go("#/playground?epochs=50")
    page.wait_for_selector(".diagram")
    train(page)
    page.wait_for_selector(".verdict")
    page.get_by_role("button", name="One unit more in hidden layer 1").click()
    expect(page.locator(".verdict")).to_have_count(0)
    assert "job=" not in hash_of(page)
    expect(page.get_by_label("Epochs", exact=True)).to_have_value("50")
    expect(page.locator(".diagram rect")).to_have_count(2 + 5 + 3 + 1)


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ko", 390)])
def test_squares_draw_a_circle_without_a_hidden_layer(
    opened: Callable[..., Opened], deployment: Deployment, language: str, width: int
) -> None:
    """Derived inputs are chosen by buttons; the model knows them, and is asked for x1 and x2."""
    view = opened(language, width)
    page = view.go(f"#/playground?data=circles~300~0.05~2~{width}&layers=&epochs=300&rate=0.1")
    page.wait_for_selector(".diagram")
    for name in ("x1²", "x2²"):
        page.get_by_role("button", name=name).click()
    expect(page.locator(".diagram rect")).to_have_count(4 + 1)
    train(page, language)
    page.wait_for_selector(".verdict.good_fit")
    eventually(lambda: counts(page)[1:3] == [0, 0])
    job = job_of(page, deployment)
    ring = [{"x1": x, "x2": y} for x, y in ((1, 0), (-0.7, 0.7), (0, 0.4), (-0.3, -0.3))]
    answer = deployment.post("/predict", {"model": job["model"]["name"], "inputs": ring}).json()
    assert answer["predictions"] == [0, 0, 1, 1]
    view.accessible()
    view.picture("playground-derived")


def test_a_surface_is_learned(opened: Callable[..., Opened], deployment: Deployment) -> None:
    """A drawn regression: the noise is dragged, an L1 penalty set, and the plane comes out."""
    view = opened()
    page = view.go("#/playground?data=moons~200~0.1~2~0&layers=&epochs=200&optimizer=adam&rate=0.1")
    page.wait_for_selector(".diagram")
    page.get_by_role("button", name="Plane").click()
    page.get_by_label("Noise").fill("0.05")
    page.get_by_text("More settings").click()
    page.get_by_label("L1").fill("0.001")
    expect(page.locator(".points")).to_have_attribute("data-rows", "100")
    train(page)
    page.wait_for_selector(".status.succeeded")
    job = job_of(page, deployment)
    assert job["dataset"] == "plane-200-n0_05-c2-s0"
    assert job["training"]["l1_penalty"] == 0.001
    assert job["metrics"]["train"]["r2"] > 0.97
    expect(page.locator(".figures")).to_contain_text("RMSE")
    goals = [row["target"] for row in deployment.get(f"/jobs/{job['id']}/rows").json()["data"]]
    low, high = (float(text) for text in page.locator(".scale-key .number").all_inner_texts())
    assert low == pytest.approx(min(goals), rel=0.01)
    assert high == pytest.approx(max(goals), rel=0.01)
    # The two ends of the key are colours of the plane, which has no others beyond them.
    ends = page.locator(".scale-key stop").evaluate_all(
        "stops => [stops[0], stops.at(-1)].map(one => one.getAttribute('stop-color'))"
    )
    trained(page, 199)
    shades = page.locator(".plane canvas").evaluate(
        """c => { const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
        return [...data.keys()].filter(at => at % 4 === 0)
            .map(at => `rgb(${[...data.slice(at, at + 3)].join(' ')})`); }"""
    )
    assert set(ends) <= set(shades)
    expect(page.get_by_role("img", name="Colours of")).to_be_visible()
    page.locator(".unit-button").first.hover()  # colours of what it gives have another scale
    expect(page.locator(".scale-key")).to_be_hidden()
    page.mouse.move(2, 2)
    expect(page.locator(".scale-key")).to_be_visible()
    view.accessible()
    view.picture("playground-surface")


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ko", 390)])
def test_the_last_dataset_stays_until_the_next_is_here(
    opened: Callable[..., Opened], language: str, width: int
) -> None:
    """Another table takes a while: it is announced, the last one is dimmed, nothing is trained."""
    loading = {"en": "Loading “iris”…", "ko": "“iris”을(를) 불러오는 중…"}[language]
    view = opened(language, width)
    page = view.go("#/playground?data=xor&epochs=50")
    page.wait_for_selector(".points path")
    train(page, language)
    trained(page, 49)
    held: list[Route] = []
    page.route("**/datasets/iris", lambda route: held.append(route))  # noqa: PLW0108  # needs attributes
    with page.expect_request("**/datasets/iris"):
        page.get_by_label({"en": "Dataset", "ko": "데이터셋"}[language]).select_option("iris")
    expect(page.get_by_role("status").filter(has_text=loading)).to_be_visible()
    results = page.locator(".middle > div")
    expect(results).to_have_attribute("aria-busy", "true")
    expect(page.locator(".points")).to_have_attribute("data-rows", "4")
    assert colours(page, ".plane canvas") > 20
    expect(page.get_by_role("button", name=WORDS[language]["train"])).to_be_disabled()
    dim = "() => getComputedStyle(document.querySelector('.middle > .stale')).opacity === '0.4'"
    page.wait_for_function(dim)
    view.picture("playground-loading")
    view.accessible()
    held[0].continue_()
    expect(page.locator(".points")).to_have_attribute("data-rows", "100")
    expect(results).not_to_have_class("stale")
    expect(page.get_by_role("status").filter(has_text=loading)).to_have_count(0)
    expect(page.get_by_role("button", name=WORDS[language]["train"])).to_be_enabled()


def test_a_dataset_that_cannot_be_loaded_leaves_nothing_stale(
    opened: Callable[..., Opened],
) -> None:
    """What is wrong is said in its place; another try, when it is there, shows it."""
    view = opened()
    view.refusals.add(503)
    page = view.go("#/playground?data=xor")
    page.wait_for_selector(".points path")
    refusal = json.dumps({"title": "Unavailable", "status": 503, "detail": "Not now."})
    page.route(
        "**/datasets/iris",
        lambda route: route.fulfill(
            status=503, body=refusal, content_type="application/problem+json"
        ),
        times=1,
    )
    page.get_by_label("Dataset").select_option("iris")
    expect(page.locator(".side .trouble")).to_contain_text("Not now.")
    expect(page.locator(".points")).to_have_count(0)
    expect(page.locator(".columns")).to_have_count(0)
    expect(page.locator(".diagram")).to_have_count(0)
    expect(page.get_by_role("button", name="▶ Train")).to_be_disabled()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".points")).to_have_attribute("data-rows", "100")
    expect(page.locator(".trouble")).to_have_count(0)


def test_derived_inputs_of_more_than_two_features(opened: Callable[..., Opened]) -> None:
    """What is derived already can be dropped, also where nothing more can be derived."""
    view = opened()
    page = view.go("#/playground?data=parity-3&derived=square/x1")
    button = page.get_by_role("button", name="x1²")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    expect(button).to_have_count(0)
    assert "derived" not in hash_of(page)


def test_a_product_is_the_same_in_either_order(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """A job that was asked for the other one has its button pressed, and a press drops it."""
    derived = [{"function": "product", "of": ["x2", "x1"]}]
    job = deployment.submit(
        dataset="xor", preprocessing={"derived": derived}, training={"epochs": 20}
    )
    deployment.finished(job)
    view = opened()
    page = view.go(f"#/jobs/{job}")
    page.get_by_role("link", name="Open in the playground").click()
    buttons = page.locator(".layers button", has_text="·")
    expect(buttons).to_have_text("x1 · x2")
    expect(buttons).to_have_attribute("aria-pressed", "true")
    buttons.click()
    expect(buttons).to_have_attribute("aria-pressed", "false")
    buttons.click()
    train(page)
    page.wait_for_selector(".status.succeeded")
    told = deployment.get(f"/jobs/{job_of(page, deployment)['id']}/rows").json()["preprocessing"]
    assert told["derived"] == [{"function": "product", "of": ["x1", "x2"]}]


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ko", 390)])
def test_features_are_switched_off_in_their_place(
    opened: Callable[..., Opened], deployment: Deployment, language: str, width: int
) -> None:
    """A press leaves a feature out, with what is derived of it; the last input stays."""
    view = opened(language, width)
    page = view.go("#/playground?data=xor&epochs=20&derived=product.x1.x2&derived=square.x1")
    page.wait_for_selector(".diagram")
    one, two = (page.get_by_role("button", name=name, exact=True) for name in ("x1", "x2"))
    expect(one).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".diagram rect")).to_have_count(4 + 4 + 3 + 1)
    two.click()
    expect(two).to_have_attribute("aria-pressed", "false")
    expect(two).to_be_focused()
    expect(one).to_be_disabled()
    expect(one).to_have_accessible_description(re.compile("At least one|하나는"))
    expect(page.get_by_text(re.compile("At least one input|입력이 하나는"))).to_be_visible()
    one.press("Enter")
    expect(one).to_be_focused()
    expect(one).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("combobox", name=re.compile("(Role|역할): x2$"))).to_have_value(
        "unused"
    )
    expect(page.locator(".diagram rect")).to_have_count(2 + 4 + 3 + 1)
    expect(page.get_by_role("button", name="x1 · x2")).to_have_count(0)
    train(page, language)
    page.wait_for_selector(".status.succeeded")
    told = deployment.get(f"/jobs/{job_of(page, deployment)['id']}/rows").json()["preprocessing"]
    assert [feature["name"] for feature in told["features"]] == ["x1"]
    assert told["derived"] == [{"function": "square", "of": ["x1"]}]
    expect(page.locator(".points")).to_have_attribute("data-rows", "4")
    expect(page.get_by_role("img", name=re.compile("along x1|x1에 따른"))).to_be_visible()
    view.accessible()
    view.picture("playground-one-input")
    two.click()
    expect(page.locator(".diagram rect")).to_have_count(4 + 4 + 3 + 1)
    assert "job=" not in hash_of(page)
    page = view.go("#/playground?data=breast_cancer")  # 30 features: their columns have roles
    page.wait_for_selector(".diagram")
    expect(page.locator(".layers [aria-pressed]")).to_have_count(0)


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ko", 390)])
def test_what_cannot_be_derived_is_told(
    opened: Callable[..., Opened], deployment: Deployment, language: str, width: int
) -> None:
    """An address may ask for what is no function, or of no feature: it is named, the rest done."""
    view = opened(language, width)
    asked = "&".join(f"derived={one}" for one in ("cube.x1", "square.age", "sine.x1"))
    page = view.go(f"#/playground?data=xor&epochs=20&{asked}")
    note = page.get_by_role("status").filter(has_text="cube.x1, age²")
    expect(note).to_be_visible()
    view.accessible()
    view.picture("playground-not-derived")
    train(page, language)
    page.wait_for_selector(".status.succeeded")
    told = deployment.get(f"/jobs/{job_of(page, deployment)['id']}/rows").json()["preprocessing"]
    assert told["derived"] == [{"function": "sine", "of": ["x1"]}]


def test_a_slider_that_keys_move(opened: Callable[..., Opened], deployment: Deployment) -> None:
    """Each press counts, and only the table of the last one is stored."""
    view = opened()
    view.page.clock.install()
    page = view.go("#/playground?data=moons~170~0.1~2~5")
    page.wait_for_selector(".diagram")
    noise = page.get_by_label("Noise")
    noise.focus()
    page.clock.pause_at(page.evaluate("Date.now() + 60_000") / 1_000)  # however long a press takes
    for _ in range(6):
        noise.press("ArrowRight")
    page.clock.resume()
    page.wait_for_url("**moons%7E170%7E0.4%7E2%7E5**")
    last = "moons-170-n0_4-c2-s5"
    eventually(lambda: deployment.get(f"/datasets/{last}").status_code == 200)
    found = deployment.get("/datasets?limit=100").json()["data"]
    names = {one["name"] for one in found if one["name"].startswith("moons-170")}
    assert names == {"moons-170-n0_1-c2-s5", last}


PLANE = "document.querySelector('.plane canvas').toDataURL()"


def test_a_unit_that_is_pointed_at_is_shown_over_the_plane(opened: Callable[..., Opened]) -> None:
    """In place of the answer, while it is pointed at, with its bias told."""
    view = opened()
    page = view.go("#/playground?epochs=50")
    page.wait_for_selector(".diagram")
    train(page)
    trained(page, 49)
    answer = page.evaluate(PLANE)
    page.locator(".diagram rect").nth(3).hover()
    expect(page.locator(".region .readout")).to_have_text("What h1.2 gives")
    expect(page.locator(".diagram .readout")).to_contain_text("h1.2 · bias")
    page.wait_for_function(f"answer => {PLANE} !== answer", arg=answer)
    page.mouse.move(2, 2)
    page.wait_for_function(f"answer => {PLANE} === answer", arg=answer)
    expect(page.locator(".diagram .readout")).to_contain_text("Point at an edge")


def test_what_is_pointed_at_goes_with_its_network(opened: Callable[..., Opened]) -> None:
    """A unit that another network has not is not shown, though nothing was pointed at since."""
    view = opened()
    page = view.go("#/playground?data=xor&epochs=50")
    page.wait_for_selector(".diagram")
    train(page)
    trained(page, 49)
    page.mouse.move(2, 2)
    page.locator(".unit-button[data-unit='3.0']").evaluate(
        "unit => unit.parentElement.dispatchEvent(new PointerEvent('pointerenter'))"
    )
    expect(page.locator(".region .readout")).to_have_text("What y gives")
    page.get_by_role("button", name="Remove the last layer").press("Enter")
    expect(page.locator(".diagram rect")).to_have_count(2 + 4 + 1)
    page.get_by_role("button", name="▶ Train").press("Enter")
    trained(page, 49)
    expect(page.locator(".unit-button")).to_have_count(2 + 4 + 1)
    expect(page.locator(".region .readout")).not_to_contain_text("gives")
    assert colours(page, ".plane canvas") > 20


def test_units_are_reached_and_held_by_keys(opened: Callable[..., Opened]) -> None:
    """One stop of Tab, arrows between units, Enter and Space hold one, Escape lets it go."""
    view = opened()
    page = view.go("#/playground?data=xor&epochs=50")
    page.wait_for_selector(".diagram")
    assert page.locator(".unit-button").count() == 0  # nothing to show yet
    train(page)
    trained(page, 49)
    page.mouse.move(2, 2)  # where nothing scrolls below it
    answer = page.evaluate(PLANE)
    unit = page.locator(".unit-button")
    expect(unit).to_have_count(2 + 4 + 3 + 1)
    expect(page.locator(".unit-button[tabindex='0']")).to_have_count(1)
    page.locator(".diagram .scroll-x").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="x1", exact=True).and_(unit)).to_be_focused()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    held = page.get_by_role("button", name="h1.2", exact=True).and_(unit)
    expect(held).to_be_focused()
    page.wait_for_function(f"answer => {PLANE} !== answer", arg=answer)  # as when pointed at
    page.keyboard.press("Enter")
    expect(held).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("slider", name="→ h1.2")).to_have_count(2)
    page.keyboard.press("Shift+Tab")
    expect(page.locator(".diagram .scroll-x")).to_be_focused()
    expect(page.locator(".region .readout")).to_have_text("What h1.2 gives")
    page.get_by_role("button", name="The network’s answer").click()
    page.wait_for_function(f"answer => {PLANE} === answer", arg=answer)
    held.focus()
    page.keyboard.press("Escape")
    expect(held).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".what-if")).to_have_count(0)
    page.keyboard.press("Space")
    expect(held).to_have_attribute("aria-pressed", "true")
    held.click()
    expect(held).to_have_attribute("aria-pressed", "false")
    page.mouse.move(2, 2)
    page.wait_for_function(f"answer => {PLANE} === answer", arg=answer)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_if_a_weight_were_another(
    opened: Callable[..., Opened], deployment: Deployment, language: str, width: int
) -> None:
    """Region, units, edges and matrix follow a changed weight; the trained ones come back."""
    words = {
        "en": ("weight h2.1 → y", "bias y", "Put the trained weights back", "One record"),
        "ko": ("가중치 h2.1 → y", "편향 y", "학습한 가중치로 되돌리기", "한 기록"),
    }[language]
    unchanged = {"en": "stay those of the training", "ko": "학습할 때의 값 그대로"}[language]
    view = opened(language, width)
    page = view.go("#/playground?data=xor&epochs=200&seed=1")
    page.wait_for_selector(".diagram")
    train(page, language)
    trained(page, 199)
    assert counts(page) == [2, 0, 0, 2]
    pictures = f"[{PLANE}, document.querySelector('.drawing canvas').toDataURL()]"
    edges = (
        "[...document.querySelectorAll('.edge')].map(e => e.getAttribute('stroke-width')).join()"
    )
    own, widths = page.evaluate(pictures), page.evaluate(edges)
    name = job_of(page, deployment)["model"]["name"]
    page.locator(".unit-button").last.click()
    page.mouse.move(2, 2)
    bias = page.get_by_role("textbox", name=words[1])
    bias.fill("100")
    eventually(lambda: counts(page) == [2, 0, 2, 0])
    page.get_by_role("slider", name=words[0]).fill("-4.5")
    expect(page.get_by_role("textbox", name=words[0])).to_have_value("-4.5")
    page.wait_for_function(f"widths => {edges} !== widths", arg=widths)
    page.wait_for_function(f"last => {pictures}.every((one, at) => one !== last[at])", arg=own)
    expect(page.locator("h2 .badge")).to_have_count(2)
    note = page.locator(".what-if [role=status]")
    expect(note).to_contain_text("2")
    expect(note).to_contain_text(unchanged)
    view.accessible()
    view.picture("playground-what-if")
    back = page.get_by_role("button", name=words[2])
    back.click()
    expect(back).to_be_focused()
    expect(back).to_have_attribute("aria-disabled", "true")
    eventually(lambda: counts(page) == [2, 0, 0, 2])
    page.wait_for_function(f"widths => {edges} === widths", arg=widths)
    page.wait_for_function(f"last => {pictures}.every((one, at) => one === last[at])", arg=own)
    bias.fill("100")
    eventually(lambda: counts(page) == [2, 0, 2, 0])
    page.get_by_role("button", name=words[3]).first.click()  # another epoch has its own weights
    expect(page.locator("h2 .badge")).to_have_count(0)
    eventually(lambda: float(bias.input_value()) < 50)
    page.get_by_role("button", name=words[3]).last.click()
    eventually(lambda: counts(page) == [2, 0, 0, 2])
    answer = deployment.post("/predict", {"model": name, "inputs": [[0, 1]]}).json()
    assert answer["predictions"] == [1]


def test_long_names_fit_into_a_narrow_page(opened: Callable[..., Opened], tmp_path: Path) -> None:
    """A column may be called anything: what is pressed, held and changed by its name has room."""
    long, goal = "x" * 60, "y" * 60
    file = tmp_path / "long.csv"
    rows = (f"{n},{n % 5},{n * n / 7}\n" for n in range(1, 41))
    file.write_text(f"{long},other,{goal}\n" + "".join(rows), encoding="utf-8")
    view = opened("en", 390)
    page = view.go("")
    page.wait_for_selector(".diagram")
    upload(page, file)
    page.get_by_role("button", name=long, exact=True).wait_for()
    page.get_by_label("Epochs", exact=True).fill("20")
    train(page)
    page.wait_for_selector(".status.succeeded")
    page.locator(".unit-button").last.click()
    expect(page.get_by_role("heading", name=goal)).to_be_visible()
    page.locator(".unit-button[data-unit='1.1']").click()
    expect(page.get_by_role("slider", name=f"{long} → h1.2")).to_be_visible()
    view.accessible()
    view.picture("playground-long-names")


def test_an_edge_that_is_pressed_leads_to_its_weight(opened: Callable[..., Opened]) -> None:
    """Its slider is focused; keys change it, Escape closes the list."""
    view = opened()
    page = view.go("#/playground?data=xor&epochs=50")
    page.wait_for_selector(".diagram")
    train(page)
    trained(page, 49)
    page.locator(".edge").nth(3).dispatch_event("click")  # thin: x2 → h1.2
    slider = page.get_by_role("slider", name="weight x2 → h1.2")
    expect(slider).to_be_focused()
    value = float(slider.input_value())
    slider.press("ArrowRight")
    eventually(lambda: float(slider.input_value()) > value)
    expect(page.locator("h2 .badge")).to_have_count(2)
    slider.press("Escape")
    expect(page.locator(".what-if")).to_have_count(0)
    expect(page.locator(".unit-button[data-unit='1.1']")).to_be_focused()


def test_a_changed_weight_stays_while_the_job_ends(opened: Callable[..., Opened]) -> None:
    """The page's last look at a job that has ended brings nothing that undoes a change."""
    page = opened().go("#/playground?data=xor&epochs=50")
    page.wait_for_selector(".diagram")
    told: list[Route] = []
    held: list[Route] = []
    is_changed = False

    def hold(route: Route) -> None:
        """Say that the job has succeeded once; keep back what is asked after that."""
        answer = route.fetch()
        if answer.json()["status"] == "succeeded":
            (held if told and not is_changed else told).append(route)
        if route not in held:
            route.fulfill(response=answer)

    page.route(re.compile(r"/jobs/job_\w+$"), hold)
    train(page)
    trained(page, 49)
    page.locator(".unit-button[data-unit='1.1']").click()
    slider = page.get_by_role("slider", name="weight x2 → h1.2")
    before = slider.input_value()
    slider.press("ArrowRight")
    expect(slider).not_to_have_value(before)
    changed = slider.input_value()
    is_changed = True
    for route in held:
        route.continue_()
    page.get_by_role("link", name="The model", exact=True).wait_for()  # not before that last look
    page.evaluate(TURNS)
    assert slider.input_value() == changed
    expect(page.locator("h2 .badge")).to_have_count(2)


def test_a_file_over_the_limit_is_not_sent(
    new_deployment: Callable[..., Deployment], opened: Callable[..., Opened], tmp_path: Path
) -> None:
    """The page knows the deployment's limit and says it, before a byte is sent."""
    own = new_deployment(PERCEPTRON_MAX_UPLOAD_BYTES="2048")
    file = tmp_path / "large.csv"
    file.write_text("a,b\n" + "1,0\n" * 1_000, encoding="utf-8")
    view = opened("ko", 390, url=own.url)
    page = view.go("")
    page.wait_for_selector(".diagram")
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator(".trouble")).to_contain_text("0.00195 MiB")
    assert [sent for sent in view.requests if sent.method == "POST"] == []
    view.accessible()
    view.picture("playground-large-file")


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ko", 390)])
def test_kinds_of_columns_are_changed_before_training(
    opened: Callable[..., Opened],
    deployment: Deployment,
    tmp_path: Path,
    language: str,
    width: int,
) -> None:
    """A number becomes a category in the same table; what names the rows is proposed to go."""
    words = {"en": ("Kind", "Leave row out"), "ko": ("종류", "row 빼기")}[language]
    rows = (f"{n},{n % 4},{'yes' if n % 4 == 2 else 'no'}\n" for n in range(1, 41))
    file = tmp_path / f"kinds-{language}.csv"
    file.write_text("row,level,sold\n" + "".join(rows), encoding="utf-8")
    view = opened(language, width)
    page = view.go("")
    page.wait_for_selector(".diagram")
    upload(page, file)
    level = page.get_by_role("combobox", name=f"{words[0]}: level")
    level.focus()
    level.select_option("categorical")
    expect(level).to_have_value("categorical")
    expect(level).to_be_focused()
    expect(page.locator(".side .good")).to_contain_text(f"“{file.stem}-2”")
    page.get_by_role("button", name=words[1]).click()
    expect(page.get_by_role("button", name=words[1])).to_have_count(0)
    expect(page.get_by_role("combobox", name=re.compile("(Role|역할): row$"))).to_be_focused()
    view.accessible()
    view.picture("playground-kinds")
    train(page, language)
    page.wait_for_selector(".status.succeeded")
    job = job_of(page, deployment)
    told = deployment.get(f"/jobs/{job['id']}/rows").json()["preprocessing"]
    assert [(f["name"], f["kind"]) for f in told["features"]] == [("level", "categorical")]

    def stored() -> list[str]:
        names = [one["name"] for one in deployment.get("/datasets?limit=100").json()["data"]]
        return [name for name in names if name.startswith(file.stem)]

    eventually(lambda: stored() == [job["dataset"]])
    view.refusals.add(422)
    sold = page.get_by_role("combobox", name=f"{words[0]}: sold")
    sold.focus()
    sold.select_option("numeric")
    expect(page.locator(".columns .trouble")).to_be_visible()
    expect(sold).to_have_value("boolean")
    expect(sold).to_be_focused()


def test_a_number_that_cannot_be_used_is_said(opened: Callable[..., Opened]) -> None:
    """The field says what it takes, and what it stays at, until something else is typed."""
    view = opened()
    page = view.go("")
    page.wait_for_selector(".diagram")
    epochs = page.get_by_label("Epochs")
    for typed in ("0", "abc", "1.5"):
        epochs.fill(typed)
        told = page.get_by_role("alert")
        expect(told).to_have_text("A whole number from 1 up to 1000000 is needed. It stays at 400.")
    epochs.blur()
    expect(epochs).to_have_value("400")
    expect(told).to_be_visible()
    view.accessible()
    epochs.fill("30")
    expect(told).to_have_count(0)


def test_results_of_other_settings_are_said_to_be_so(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """A training's results stay while settings are changed, with a way back to its own."""
    view = opened("en", 390)
    page = view.go("#/playground?epochs=60")
    page.wait_for_selector(".diagram")
    page.get_by_label("Optimizer").select_option("sgd")
    expect(page.get_by_label("Learning rate")).to_have_value("1")  # nobody had typed one
    train(page)
    page.wait_for_selector(".status.succeeded")
    expect(page.locator(".replay")).to_be_in_viewport()
    notice = page.get_by_text("These results are of other settings")
    expect(notice).to_have_count(0)
    page.get_by_label("Learning rate").fill("0.25")
    expect(notice).to_be_visible()
    page.get_by_label("Optimizer").select_option("momentum")
    expect(page.get_by_label("Learning rate")).to_have_value("0.25")
    page.get_by_role("link", name="Show their settings").click()
    expect(page.get_by_label("Optimizer")).to_have_value("sgd")
    expect(page.get_by_label("Learning rate")).to_have_value("1")
    expect(page.get_by_label("Epochs")).to_have_value("60")
    expect(notice).to_have_count(0)
    assert job_of(page, deployment)["training"]["optimizer"] == "sgd"


def test_an_answer_undoes_nothing_that_was_done_meanwhile(opened: Callable[..., Opened]) -> None:
    """What was typed while a job was asked for stays, and so does another page that was opened."""
    view = opened()
    page = view.go("#/playground?epochs=50")
    page.wait_for_selector(".diagram")
    held: list[Route] = []
    page.route("**/jobs", lambda route: held.append(route))  # noqa: PLW0108  # needs attributes
    with page.expect_request("**/jobs"):
        train(page)
    page.get_by_label("Learning rate").fill("0.5")
    eventually(lambda: page.title() and held)
    held[0].continue_()
    trained(page, 49)
    expect(page.get_by_label("Learning rate")).to_have_value("0.5")
    expect(page.get_by_text("These results are of other settings")).to_be_visible()
    with page.expect_request("**/jobs"):
        train(page)
    page.get_by_role("link", name="Gates").click()
    eventually(lambda: page.title() and len(held) == 2)
    with page.expect_response("**/jobs"):
        held[1].continue_()
    page.evaluate("fetch('/livez').then(() => 0)")  # what came before has been read
    assert hash_of(page) == "#/gates"
