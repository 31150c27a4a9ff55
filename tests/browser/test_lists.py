"""Jobs, models and sweeps: tables that keep themselves fresh, and what is done from them."""

import base64
import re
from collections.abc import Callable
from datetime import datetime
from secrets import token_hex
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import TURNS, Opened, hash_of
from tests.deployment import Deployment, eventually

QUICK: dict[str, Any] = {
    "dataset": "xor",
    "network": {"hidden_layers": [4], "activation": "tanh"},
    "training": {"optimizer": "adam", "learning_rate": 0.1, "epochs": 400},
}
LONG: dict[str, Any] = {
    "dataset": "digits",
    "network": {"hidden_layers": [50]},
    "training": {"epochs": 1_000_000, "record_every": 1_000},
}


def row(page: Page, job_id: str) -> Any:
    """The row of a job in the table."""
    return page.locator("tr", has_text=job_id[:12])


def visit(view: Opened, address: str) -> Page:
    """Open the page of a job or a model, `jobs/<id>` or `models/<name>`, in place of another."""
    page = view.go(f"#/{address}")
    kind, name = address.split("/")
    expect(page.locator(f"nav a[href='#/{kind}']")).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    return page


@pytest.mark.parametrize("language", ["en", "ko"])
def test_jobs_change_as_they_go(
    opened: Callable[..., Opened], deployment: Deployment, language: str
) -> None:
    """A job appears, runs, is cancelled from its row, and is deleted after a confirmation."""
    cancel, remove, confirm = (
        ("Cancel", "Delete", "Confirm") if language == "en" else ("취소", "삭제", "확인")
    )
    view = opened(language)
    page = view.go("#/jobs")
    job = deployment.submit(**LONG)
    expect(row(page, job).locator(".status.running")).to_be_visible()
    row(page, job).get_by_role("button", name=cancel).click()
    expect(row(page, job).locator(".status.cancelled")).to_be_visible()
    row(page, job).get_by_role("button", name=remove).click()
    view.accessible()
    page.get_by_role("button", name=confirm).click()
    expect(row(page, job)).to_have_count(0)
    assert deployment.get(f"/jobs/{job}").status_code == 404


def test_keys_that_delete_a_job_stay_in_the_list(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """Deleted from its own page or from its row: its button goes, the list's heading is focused."""
    jobs = [deployment.submit(**QUICK) for _ in range(2)]
    for job in jobs:
        deployment.finished(job)
    view = opened()
    view.refusals.add(404)  # what is asked of a job while it is deleted
    page = view.go(f"#/jobs/{jobs[0]}")
    heading = page.get_by_role("heading", name="Jobs", exact=True)
    page.get_by_role("button", name="Delete", exact=True).press("Enter")
    page.get_by_role("button", name="Confirm").press("Enter")
    expect(heading).to_be_focused()
    row(page, jobs[1]).get_by_role("button", name="Delete", exact=True).press("Enter")
    page.get_by_role("button", name="Confirm").press("Enter")
    expect(row(page, jobs[1])).to_have_count(0)
    expect(heading).to_be_focused()


def test_jobs_are_compared_and_opened(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """Two jobs share their axes and a table of differences; one opens in the playground."""
    jobs = []
    for seed in (1, 2):
        training = {**QUICK["training"], "seed": seed}
        jobs.append(deployment.submit(**{**QUICK, "training": training}))
    for job in jobs:
        deployment.finished(job)
    view = opened()
    page = view.go("#/jobs")
    for job in jobs:
        page.get_by_label(f"Choose job {job}").check()
    page.get_by_role("button", name="Compare (2)").click()
    page.wait_for_selector(".curves")
    differing = page.locator("tr.differs th").all_inner_texts()
    assert "Seed" in differing
    assert "Epochs" not in differing
    page.go_back()
    for job in jobs:
        expect(page.get_by_label(f"Choose job {job}")).to_be_checked()
    page.go_forward()
    page.locator("th a").first.click()
    page.get_by_role("link", name="Open in the playground").click()
    page.wait_for_selector(".status.succeeded")
    expect(page.get_by_label("Seed", exact=True)).to_have_value(re.compile("^[12]$"))
    page.wait_for_selector(".matrix")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_chosen_jobs_that_are_gone(
    opened: Callable[..., Opened], deployment: Deployment, language: str
) -> None:
    """Those that are left are compared, the others named; all of them can be let go of at once."""
    none, compare, gone = {
        "en": ("Choose none", "Compare (3)", "not there any more"),
        "ko": ("모두 고르지 않기", "비교 (3)", "지워져서"),
    }[language]
    jobs = [deployment.submit(**QUICK) for _ in range(3)]
    for job in jobs:
        deployment.finished(job)
    view = opened(language)
    page = view.go(f"#/jobs?chosen={'~'.join(jobs)}")
    row(page, jobs[0]).wait_for()
    assert deployment.client.delete(f"/jobs/{jobs[1]}").is_success
    expect(row(page, jobs[1])).to_have_count(0)
    view.refusals.add(404)
    page.get_by_role("button", name=compare).click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text(gone)
    expect(told).to_contain_text(jobs[1])
    expect(page.locator(".compared thead th")).to_have_count(2)
    view.accessible()
    page.go_back()
    page.get_by_role("button", name=none).click()
    expect(page).to_have_url(re.compile("#/jobs$"))
    expect(page.get_by_role("button", name=none)).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)


def test_jobs_of_different_tables_are_compared(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """Three columns name what each learns from; what one lacks is a dash, no row is left out."""
    derived = [{"function": "square", "of": ["petal width (cm)"]}]
    jobs = [
        deployment.submit(dataset=dataset, training={"epochs": 20}, **more)
        for dataset, more in (
            ("xor", {}),
            ("iris", {"preprocessing": {"derived": derived}}),
            ("diabetes", {"features": ["bmi"]}),
        )
    ]
    for job in jobs:
        deployment.finished(job)
    view = opened("en", 390)
    page = view.go(f"#/jobs?compare={'~'.join(jobs)}")
    table = page.locator(".compared")
    table.wait_for()
    told = {
        name: table.locator("tr", has=page.get_by_role("rowheader", name=name, exact=True))
        .locator("td")
        .all_inner_texts()
        for name in ("Target", "Features", "More inputs")
    }
    assert [target.split(" ")[0] for target in told["Target"]] == ["y", "species", "progression"]
    assert told["Features"][::2] == ["x1, x2", "bmi"]
    assert told["More inputs"] == ["–", "petal width (cm)²", "–"]
    view.accessible()
    view.picture("compare-three")


COLUMNS = """(canvas, colour) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const found = new Set();
    for (let at = 0; at < data.length; at += 4)
        if (colour.every((value, part) => Math.abs(data[at + part] - value) < 8))
            found.add((at / 4) % width);
    return found.size / width;
}"""
"""The share of a picture's columns that a colour is in."""


def test_each_compared_line_is_whole(opened: Callable[..., Opened], deployment: Deployment) -> None:
    """A line whose records are far apart is drawn through, where another's lie between them."""
    jobs = [
        deployment.submit(dataset="xor", training={"epochs": 200, "record_every": every, "seed": 1})
        for every in (1, 40)
    ]
    for job in jobs:
        deployment.finished(job)
    view = opened(color_scheme="light")
    page = view.go(f"#/jobs?compare={'~'.join(jobs)}")
    plot = page.locator(".curves canvas").first
    plot.wait_for()
    orange = [0xB8, 0x5C, 0x00]
    eventually(lambda: plot.evaluate(COLUMNS, orange) > 0.5)


def test_several_classes_have_their_figures(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """A job's page and a model's show the means over the classes; two classes have their names."""
    training = {"epochs": 50, "optimizer": "adam", "validation_fraction": 0.2}
    job = deployment.finished(
        deployment.submit(dataset="iris", training=training, network={"hidden_layers": [5]})
    )
    drinks = f"drinks-{token_hex(3)}"
    table = [{"a": at, "drink": ["coffee", "tea"][at % 2]} for at in range(20)]
    assert deployment.post("/datasets", {"name": drinks, "records": table}).is_success
    pair = deployment.finished(deployment.submit(dataset=drinks, training={"epochs": 5}))
    view = opened()
    for address in (f"jobs/{job['id']}", f"models/{job['id']}"):
        page = visit(view, address)
        figures = page.get_by_role("table", name="Metrics").locator("tr", has_text="F1")
        expect(figures.get_by_role("rowheader")).to_have_text("F1 (mean of the classes)")
        expected = [
            f"{job['metrics'][part]['macro']['f1']:.4g}" for part in ("train", "validation")
        ]
        assert [f"{float(t):.4g}" for t in figures.locator("td").all_inner_texts()] == expected
    for address in (f"models/{pair['id']}", f"jobs/{pair['id']}"):
        page = visit(view, address)
        page.get_by_text("Confusion matrix: training").click()
        expect(page.locator("svg.matrix").first).to_contain_text("coffee")


def test_a_failed_job_says_why(opened: Callable[..., Opened], deployment: Deployment) -> None:
    """The code and the message of a failure are on its page."""
    training = {"learning_rate": 1000, "optimizer": "momentum", "epochs": 2_000}
    body = {"dataset": "diabetes", "network": {"hidden_layers": [4], "activation": "relu"}}
    job = deployment.finished(deployment.submit(**body, training=training))
    assert job["status"] == "failed"
    view = opened()
    page = view.go(f"#/jobs/{job['id']}")
    expect(page.locator(".trouble")).to_contain_text(job["error"]["message"])
    page.get_by_text("Events").click()
    expect(page.get_by_role("cell", name="failed", exact=True)).to_be_visible()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_an_alias_is_moved_after_a_confirmation(
    opened: Callable[..., Opened], deployment: Deployment, language: str
) -> None:
    """An alias is made, moved and dropped; who moved it meanwhile is not overruled."""
    here, confirm, moved = (
        ("Point the alias here", "Confirm", "moved by someone else")
        if language == "en"
        else ("별칭을 여기로", "확인", "다른 사람이 별칭을 옮겼습니다")
    )
    name = f"aliased-{language}"
    for _ in range(2):
        deployment.finished(deployment.submit(**QUICK, model=name))
    alias = f"/models/{name}/aliases/production"
    view = opened(language)
    page = view.go(f"#/models/{name}")
    page.get_by_placeholder("production").fill("production")
    page.locator("tr", has_text="2").get_by_role("button", name=here).click()
    page.get_by_role("button", name=confirm).click()
    expect(page.locator("tr", has_text="production")).to_be_visible()
    assert deployment.get(alias).json()["version"] == 2
    page.get_by_placeholder("production").fill("production")
    page.locator("tr", has_text=re.compile(" 1")).get_by_role("button", name=here).click()
    expect(page.get_by_role("button", name=confirm)).to_be_visible()  # it has seen the alias
    view.picture("alias")
    etag = deployment.get(alias).headers["ETag"]
    deployment.client.put(alias, json={"version": 1}, headers={"If-Match": etag})
    view.refusals.add(412)
    page.get_by_role("button", name=confirm).click()
    expect(page.locator(".trouble")).to_contain_text(moved)
    etag = deployment.get(alias).headers["ETag"]
    split = {"split": [{"version": 1, "weight": 1}, {"version": 2, "weight": 3}]}
    deployment.client.put(alias, json=split, headers={"If-Match": etag})
    page.reload()
    expect(page.locator("tr", has_text="production 75 %")).to_be_visible()
    page.locator(".cross").first.click()
    page.get_by_role("button", name=confirm).click()
    expect(page.locator(".cross")).to_have_count(0)
    assert deployment.get(alias).status_code == 404


def test_a_version_is_deleted_from_its_page(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """With the version that is shown its aliases go; the newest is shown then, and at last none."""
    for _ in range(2):
        deployment.finished(deployment.submit(**QUICK, model="deleted"))
    assert deployment.client.put("/models/deleted/aliases/used", json={"version": 2}).is_success
    view = opened()
    page = view.go("#/models/deleted/2")
    for left in ([1], []):
        row = page.locator("tr", has=page.locator("[aria-current=true]"))
        row.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("button", name="Confirm").click()
        if left:
            expect(page.locator("tr [aria-current=true]")).to_have_text("Version 1")
            expect(page.get_by_text("used")).to_have_count(0)
            assert deployment.get("/models/deleted").json()["versions"] == left
    expect(page).to_have_url(re.compile("#/models$"))
    expect(page.get_by_role("link", name="deleted")).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert deployment.get("/models/deleted").status_code == 404


def test_a_model_predicts_and_is_taken_away(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """The form is made from the model's features; answers and files are the service's."""
    body = {"dataset": "iris", "network": {"hidden_layers": [5]}, "model": "flowers"}
    deployment.finished(deployment.submit(**body, training={"optimizer": "adam", "epochs": 200}))
    view = opened()
    page = view.go("#/models")
    told = page.get_by_role("row").filter(has=page.get_by_role("link", name="flowers"))
    score = deployment.get("/models/flowers").json()["current"]["score"]["value"]
    expect(told).to_contain_text("iris")
    expect(told).to_contain_text("several classes")
    expect(told).to_contain_text(f"accuracy {score:.3g} (training)")
    view.picture("models")
    page.get_by_role("link", name="flowers").click()
    for label, value in zip(
        ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
        ("5.1", "3.5", "1.4", "0.2"),
        strict=True,
    ):
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Predict", exact=True).click()
    inputs = [[5.1, 3.5, 1.4, 0.2]]
    told = deployment.post("/predict", {"model": "flowers", "inputs": inputs}).json()
    expect(page.locator(".answer strong")).to_have_text(str(told["predictions"][0]))
    shares = page.get_by_role("table", name="Probability").locator("td.number").all_inner_texts()
    assert [float(share) for share in shares] == pytest.approx(told["probabilities"][0], abs=1e-6)
    for form in ("safetensors", "ONNX"):
        with page.expect_download() as download:
            page.get_by_role("link", name=form, exact=True).click()
        expected = deployment.get(f"/models/flowers/versions/1/{form.lower()}").content
        assert download.value.path().read_bytes() == expected
    view.refusals.add(422)
    page.get_by_label("petal width (cm)").fill("wide")
    page.evaluate(TURNS)
    expect(page.locator(".answer")).to_have_count(0)
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator(".trouble code")).to_contain_text("#/inputs/0")
    page.get_by_label("petal width (cm)").fill("0.2")
    held: list[Route] = []
    page.route("**/predict", lambda route: held.append(route))  # noqa: PLW0108  # needs attributes
    with page.expect_request("**/predict"):
        page.get_by_role("button", name="Predict", exact=True).click()
    page.get_by_label("petal width (cm)").fill("2")
    eventually(lambda: page.title() and held)
    with page.expect_response("**/predict"):
        held[0].continue_()
    page.evaluate("fetch('/livez').then(() => 0)")  # what came before has been read
    expect(page.locator(".answer")).to_have_count(0)  # it was to other inputs


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_sweep_becomes_a_heat_map(
    opened: Callable[..., Opened], deployment: Deployment, language: str
) -> None:
    """Each cell is the share of its seeds that converged; a click opens its best network."""
    run = "Run the sweep" if language == "en" else "탐색 시작"
    view = opened(language)
    page = view.go("#/sweep?rates=0.1+3&units=1+3&seeds=5&epochs=1000")
    page.get_by_role("button", name=run).click()
    page.wait_for_selector(".status.succeeded")
    expect(page.locator(".heat a")).to_have_count(4)
    members = results(page, deployment)
    expected = []
    for units in (3, 1):
        for rate in (0.1, 3):
            cell = [
                float(member["converged"])
                for member in members
                if member["hidden_layers"] == [units] and member["learning_rate"] == rate
            ]
            assert len(cell) == 5
            expected.append(f"{100 * sum(cell) / 5:.0f} %")
    assert heat(page) == expected
    expect(page.get_by_text(re.compile("cannot say|적을 수 없는"))).to_have_count(0)
    view.accessible()
    view.picture("sweep-done")
    page.locator(".heat a").nth(1).click()
    best = min(
        (m for m in members if m["hidden_layers"] == [3] and m["learning_rate"] == 3),
        key=lambda member: member["train_loss"],
    )
    seed = "Seed" if language == "en" else "시드"
    expect(page.get_by_label(seed, exact=True)).to_have_value(str(best["seed"]))


def heat(page: Page) -> list[str]:
    """What the cells of the heat map say."""
    return page.locator(".heat a").all_inner_texts()


def shows(page: Page, expected: list[float]) -> Callable[[], bool]:
    """Whether the cells of the heat map are these numbers, as it rounds them."""
    return lambda: [float(text) for text in heat(page)] == pytest.approx(expected, rel=1e-2)


def results(page: Page, deployment: Deployment) -> list[dict[str, Any]]:
    """The results of the sweep that the address names."""
    found = re.search(r"job=(job_\w+)", hash_of(page))
    assert found is not None, hash_of(page)
    return list(deployment.get(f"/jobs/{found[1]}/results?limit=1000").json()["data"])


def test_a_sweep_of_a_regression_shows_its_score(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """A cell is the best R² of its seeds on the validation rows, or, as chosen, the least loss."""
    view = opened()
    page = view.go("#/sweep?dataset=diabetes&rates=0.01+0.1&units=3&seeds=2&epochs=60")
    measure = page.get_by_label("Cells show")
    expect(measure).to_have_value("r2")
    page.get_by_label("Validation rows").fill("0.25")
    page.get_by_role("button", name="Run the sweep").click()
    page.wait_for_selector(".status.succeeded")
    expect(page.locator(".heat a")).to_have_count(2)
    found = results(page, deployment)
    for name, pick in (("r2", max), ("loss", min)):
        measure.select_option(name)
        column = "score" if name == "r2" else "valid_loss"
        best = [pick(m[column] for m in found if m["learning_rate"] == r) for r in (0.01, 0.1)]
        eventually(shows(page, best))
    view.accessible()
    view.picture("sweep-regression")


@pytest.mark.parametrize("score", ["accuracy", "loss"])
def test_a_sweep_is_judged_by_the_score_that_is_chosen(
    opened: Callable[..., Opened], deployment: Deployment, score: str
) -> None:
    """The service ranks by it, and cells show its best."""
    view = opened()
    page = view.go(f"#/sweep?dataset=iris&rates=0.1&units=2+3&seeds=2&epochs=60&measure={score}")
    expect(page.get_by_label("Cells show")).to_have_value(score)
    page.get_by_role("button", name="Run the sweep").click()
    page.wait_for_selector(".status.succeeded")
    expect(page.locator(".heat a")).to_have_count(2)
    found = results(page, deployment)
    job = deployment.job(re.findall(r"job=(job_\w+)", hash_of(page))[0])
    assert job["sweep"]["search"]["score"] == score
    told = [float(text.removesuffix(" %")) for text in heat(page)]
    best = [
        (min if score == "loss" else max)(
            m["score"] for m in found if m["hidden_layers"] == [units]
        )
        for units in (3, 2)
    ]
    assert told == pytest.approx([b if score == "loss" else 100 * b for b in best], rel=1e-2)


def test_a_cell_opens_with_the_columns_of_its_sweep(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """Target, features and derived inputs are those of the sweep; rate and seed the cell's own."""
    job = deployment.submit(
        kind="sweep",
        dataset="iris",
        target="petal width (cm)",
        features=["sepal width (cm)", "sepal length (cm)"],
        preprocessing={"derived": [{"function": "square", "of": ["sepal width (cm)"]}]},
        training={
            "optimizer": "adam",
            "epochs": 30,
            "validation_fraction": 0.2,
            "early_stopping": {"patience": 7},
        },
        search={"space": {"hidden_layers": [[3]], "learning_rate": [0.02, 0.05], "seed": [4]}},
        refit=False,
    )
    deployment.finished(job)
    view = opened()
    page = view.go(f"#/jobs/{job}")
    page.locator("main").get_by_role("link", name="Sweep", exact=True).click()
    expect(page.get_by_label("Dataset")).to_have_value("iris")
    expect(page.get_by_label("Learning rates")).to_have_value("0.02 0.05")
    expect(page.get_by_label("Seeds per cell")).to_have_value("1")
    expect(page.get_by_role("status").filter(has_text="They cannot say")).to_contain_text(
        "Target, Features, More inputs, Seeds per cell, Early stopping"
    )
    page.locator(".heat a").nth(1).click()
    page.get_by_text("Columns and rows").click()
    for name, role in (
        ("petal width (cm)", "target"),
        ("petal length (cm)", "unused"),
        ("sepal width (cm)", "feature"),
        ("species", "unused"),
    ):
        expect(page.get_by_role("combobox", name=f"Role: {name}", exact=True)).to_have_value(role)
    squared = page.get_by_role("button", name="sepal width (cm)²")
    expect(squared).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Learning rate", exact=True)).to_have_value("0.05")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("4")
    expect(page.get_by_label("Validation rows")).to_have_value("0.2")
    page.get_by_text("More settings").click()
    expect(page.get_by_label("Early stopping")).to_have_value("7")


SMALL: dict[str, Any] = {"hidden_layers": [[2], [3]], "learning_rate": [0.1]}
INLINE: dict[str, Any] = {"features": [[0, 0], [0, 1], [1, 0], [1, 1]], "targets": [0, 1, 1, 0]}


def swept(deployment: Deployment, **body: Any) -> str:
    """A small sweep that has ended."""
    asked = {"kind": "sweep", "training": {"epochs": 20}, "search": {"space": SMALL}, **body}
    job = deployment.submit(**asked, refit=False)
    assert deployment.finished(job)["status"] == "succeeded"
    return job


def test_cells_are_links_once_their_table_is_here(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """Before, nobody knows what was left out of it; rows that came in the request open nowhere."""
    job = swept(deployment, dataset="iris", features=["sepal width (cm)"])
    inline = swept(deployment, dataset=INLINE)
    view = opened()
    held: list[Route] = []
    view.page.route("**/datasets/iris", lambda route: held.append(route))  # noqa: PLW0108  # needs attributes
    with view.page.expect_request("**/datasets/iris"):
        page = view.go(f"#/sweep?job={job}")
    expect(page.locator(".heat td span")).to_have_count(2)
    expect(page.locator(".heat a")).to_have_count(0)
    held[0].continue_()
    expect(page.locator(".heat a")).to_have_count(2)
    expect(page.locator(".heat a").first).to_have_attribute("href", re.compile("without=petal"))
    page = view.go(f"#/sweep?job={inline}")
    expect(page.locator("main").get_by_role("link", name="The job’s page")).to_have_attribute(
        "href", f"#/jobs/{inline}"
    )
    expect(page.locator(".heat td span")).to_have_count(2)
    expect(page.locator(".heat a")).to_have_count(0)
    expect(page.get_by_text("A click opens")).to_have_count(0)
    assert not any(sent.url.endswith("/datasets/inline") for sent in view.requests)


def test_the_choice_of_what_cells_show_is_theirs(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """It goes by what the sweep learned and was judged by, whatever its dataset's own target is."""
    number = "petal width (cm)"
    by_loss = {"space": SMALL, "score": "loss"}
    told = {
        swept(deployment, dataset="iris", target=number): ("r2", "R²", ["r2", "loss"]),
        swept(deployment, dataset="iris", target=number, search=by_loss): (
            "loss",
            "Loss",
            ["r2", "loss"],
        ),
        swept(deployment, dataset="iris", search=by_loss): (
            "loss",
            "Loss",
            ["converged", "accuracy", "loss"],
        ),
    }
    view = opened()
    choice = view.page.get_by_label("Cells show")
    title = view.page.locator("section", has=view.page.locator(".heat")).locator("h2")
    for job, (value, heading, options) in told.items():
        page = view.go(f"#/jobs/{job}")
        page.locator("main").get_by_role("link", name="Sweep", exact=True).click()
        expect(page.locator("main a", has_text="The job’s page")).to_have_attribute(
            "href", f"#/jobs/{job}"
        )
        expect(title).to_have_text(heading)
        expect(choice).to_have_value(value)
        expect(choice.locator("option")).to_have_count(len(options))
        shown = choice.locator("option").evaluate_all("all => all.map(one => one.value)")
        assert shown == options
    choice.select_option("accuracy")
    expect(title).to_have_text("Accuracy")
    page = view.go(f"#/sweep?dataset=iris&measure=r2&job={list(told)[1]}")
    expect(page.get_by_text("not judged by R²")).to_be_visible()
    expect(choice).to_have_value("r2")
    expect(title).to_have_text("Loss")


@pytest.mark.parametrize(
    ("language", "held_out", "everywhere"),
    [
        ("en", "the mean over 3 folds, each judged on the rows that it keeps out", "each of 3"),
        ("ko", "폴드 3개에서 각각 남겨 둔 행", "폴드 3개 모두"),
    ],
)
def test_a_cross_validation_is_told_from_its_training_rows(
    opened: Callable[..., Opened],
    deployment: Deployment,
    language: str,
    held_out: str,
    everywhere: str,
) -> None:
    """The score is of the rows that each fold keeps out; a network converges on the others."""
    search = {"space": SMALL, "folds": 3}
    job = swept(deployment, dataset="iris", search=search)
    page = opened(language).go(f"#/sweep?dataset=iris&job={job}")
    hint = page.locator("section", has=page.locator(".heat")).locator("p")
    expect(hint).to_contain_text(everywhere)
    page.get_by_label(re.compile("Cells show|칸에 보일 것")).select_option("accuracy")
    expect(hint).to_contain_text(held_out)
    best = max(
        member["score"] for member in results(page, deployment) if member["hidden_layers"] == [3]
    )
    expect(page.locator(".heat a").first).to_have_text(f"{round(100 * best, 1):g} %")


@pytest.mark.parametrize("width", [1280, 390])
def test_long_names_leave_the_page_as_wide_as_it_is(
    opened: Callable[..., Opened], deployment: Deployment, width: int
) -> None:
    """Names of columns and classes that hold no place to break are broken all the same."""
    first, second, low, high = (letter * 120 for letter in "WbCD")
    table = [{first: at, second: at % 3, "y": high if at % 2 else low} for at in range(6)]
    name = f"long-names-{token_hex(3)}"
    assert deployment.post("/datasets", {"name": name, "records": table}).is_success
    job = deployment.submit(**{**QUICK, "dataset": name})
    model = deployment.finished(job)["model"]["name"]
    view = opened(width=width)
    page = view.go(f"#/playground?job={job}")
    page.wait_for_selector(".matrix")
    view.accessible()
    view.go(f"#/models/{model}")
    page.get_by_role("button", name="Predict", exact=True).click()
    page.wait_for_selector(".answer")
    view.accessible()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_training_is_paused_from_its_page(
    opened: Callable[..., Opened], deployment: Deployment, language: str
) -> None:
    """One button pauses it and has it go on; a paused one is cancelled at once."""
    pause, go_on, status, cancel = (
        ("Pause training", "Continue training", "paused", "Cancel")
        if language == "en"
        else ("학습 일시 정지", "이어서 학습", "일시 정지됨", "취소")
    )
    job = deployment.submit(**LONG)
    view = opened(language)
    page = visit(view, f"jobs/{job}")
    expect(page.locator(".status.running")).to_be_visible()
    page.get_by_role("button", name=pause).click()
    expect(page.locator(".status.paused")).to_have_text(status)
    view.accessible()
    page.get_by_role("button", name=go_on).click()
    expect(page.locator(".status.running")).to_be_visible()
    page.get_by_role("button", name=pause).click()
    expect(page.locator(".status.paused")).to_be_visible()
    page.get_by_role("button", name=cancel, exact=True).click()
    expect(page.locator(".status.cancelled")).to_be_visible()
    expect(page.get_by_role("button", name=go_on)).to_have_count(0)


@pytest.mark.parametrize("address", ["#/jobs/{}", "#/playground?job={}"])
def test_a_job_that_is_deleted_meanwhile(
    opened: Callable[..., Opened], deployment: Deployment, address: str
) -> None:
    """A page that shows a job says so when somebody deletes it, and offers nothing more for it."""
    job = deployment.submit(**LONG)
    view = opened()
    view.refusals.add(404)
    page = view.go(address.format(job))
    expect(page.locator(".status.running")).to_be_visible()
    assert deployment.client.delete(f"/jobs/{job}").is_success
    expect(page.get_by_role("alert")).to_have_text("The job has been deleted.")
    expect(page.locator(".status.running")).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("^(Cancel|Pause training)$"))).to_have_count(
        0
    )


def test_a_job_is_opened_with_its_columns(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """The playground has the job's target, leaves out what it left out, and derives what it did."""
    job = deployment.submit(
        dataset="iris",
        target="petal width (cm)",
        features=["sepal width (cm)", "sepal length (cm)"],
        preprocessing={"derived": [{"function": "square", "of": ["sepal width (cm)"]}]},
        training={"epochs": 20, "optimizer": "adam", "l1_penalty": 0.001},
    )
    deployment.finished(job)
    view = opened()
    page = view.go(f"#/jobs/{job}")
    page.get_by_role("link", name="Open in the playground").click()
    page.get_by_text("Columns and rows").click()
    roles = {
        name: page.get_by_role("combobox", name=f"Role: {name}", exact=True).input_value()
        for name in ("petal width (cm)", "petal length (cm)", "sepal width (cm)", "species")
    }
    assert list(roles.values()) == ["target", "unused", "feature", "unused"]
    squared = page.locator(".layers").get_by_role("button", name="sepal width (cm)²")
    expect(squared).to_have_attribute("aria-pressed", "true")


def fact(page: Page, name: str) -> Locator:
    """What a page says of a job or a model under a name."""
    return page.locator("dt", has_text=re.compile(f"^{re.escape(name)}$")).locator("+ dd")


@pytest.mark.parametrize(
    ("language", "names", "task"),
    [
        ("en", ("Target", "Features", "More inputs"), "a number"),
        ("ko", ("타깃", "특성", "더할 입력"), "수"),
    ],
)
def test_a_page_names_what_is_learned_from_what(
    opened: Callable[..., Opened],
    deployment: Deployment,
    language: str,
    names: tuple[str, str, str],
    task: str,
) -> None:
    """A job's page names its columns while it waits, its model's page does later."""
    asked: dict[str, Any] = {
        "dataset": "iris",
        "target": "petal width (cm)",
        "features": ["sepal width (cm)", "sepal length (cm)"],
        "preprocessing": {
            "derived": [
                {"function": "square", "of": ["sepal width (cm)"]},
                {"function": "product", "of": ["sepal width (cm)", "sepal length (cm)"]},
            ]
        },
    }
    expected = [
        f"petal width (cm) ({task})",
        "sepal width (cm), sepal length (cm)",
        "sepal width (cm)², sepal width (cm) · sepal length (cm)",
    ]
    waiting = deployment.submit(**asked, training={"device": "cuda"})
    done = deployment.finished(deployment.submit(**asked, training={"epochs": 5}))["id"]
    view = opened(language)
    for address in (f"jobs/{waiting}", f"jobs/{done}", f"models/{done}"):
        page = visit(view, address)
        for name, told in zip(names, expected, strict=True):
            expect(fact(page, name)).to_have_text(told)
    deployment.post(f"/jobs/{waiting}/cancel")


@pytest.mark.parametrize(
    ("language", "told"), [("en", "no “gpu” worker"), ("ko", "“gpu” 워커 없음")]
)
@pytest.mark.parametrize("width", [1280, 390])
def test_a_row_says_what_its_job_waits_for(
    opened: Callable[..., Opened], deployment: Deployment, language: str, told: str, width: int
) -> None:
    """The reason stands in the row, which is as high and wide as when the job has ended."""
    job = deployment.submit(dataset="xor", training={"device": "cuda"})
    view = opened(language, width)
    page = view.go("#/jobs")
    expect(row(page, job).get_by_text(told)).to_be_visible()
    view.picture("jobs-waiting")
    view.accessible()
    size = "row => [row.offsetHeight, row.cells[2].offsetWidth]"
    before = row(page, job).evaluate(size)
    deployment.post(f"/jobs/{job}/cancel")
    expect(row(page, job).locator(".status.cancelled")).to_be_visible()
    # "Cancel" and "Delete" are not as wide, and the columns share what is left over.
    assert row(page, job).evaluate(size) == pytest.approx(before, abs=1)


@pytest.mark.parametrize("width", [1280, 390])
def test_names_in_a_table_stay_in_one_line(
    opened: Callable[..., Opened], deployment: Deployment, width: int
) -> None:
    """A dataset's and a model's name have one line of their tables, and are cut where long."""
    name = f"a-long-name-of-a-table-with-many-parts-{token_hex(3)}"
    table = [{"a": at, "y": at % 2} for at in range(6)]
    assert deployment.post("/datasets", {"name": name, "records": table}).is_success
    job = deployment.submit(**{**QUICK, "dataset": name, "model": name})
    deployment.finished(job)
    view = opened("en", width)
    page = view.go("#/jobs")
    one_line = "name => name.getClientRects().length === 1 && name.offsetHeight < 30"
    cell = row(page, job).get_by_title(name)
    assert cell.evaluate(one_line)
    if width == 1280:
        assert row(page, job).evaluate("row => row.offsetHeight") < 60
    page = view.go("#/models")
    assert page.get_by_role("link", name=name).evaluate(one_line)
    view.accessible()


@pytest.mark.parametrize(
    ("language", "score"), [("en", "accuracy 1 (training)"), ("ko", "정확도 1 (학습)")]
)
def test_lists_are_as_wide_as_a_phone(
    opened: Callable[..., Opened], deployment: Deployment, language: str, score: str
) -> None:
    """Nothing of a row is beyond the edge: where a job stands, how good it is, what can be done."""
    name = f"a-model-whose-name-is-long-enough-for-a-phone-{language}"
    job = deployment.finished(deployment.submit(**QUICK, model=name))
    assert job["metrics"]["train"]["accuracy"] == 1
    view = opened(language, 390)
    for address, shown in (("jobs", job["id"][:12]), ("models", name)):
        page = view.go(f"#/{address}")
        found = page.locator("tr", has_text=shown)
        found.wait_for()
        beyond = found.evaluate(
            "row => [...row.querySelectorAll('*')]"
            ".filter(one => one.getBoundingClientRect().right > innerWidth)"
            ".map(one => one.outerHTML)"
        )
        assert beyond == []
        assert page.locator(".card.scroll").evaluate("node => node.scrollWidth <= node.clientWidth")
        expect(page.get_by_role("columnheader")).to_have_count({"jobs": 8, "models": 6}[address])
        view.accessible()
        view.picture(f"{address}-cards")
        if address == "models":
            expect(found).to_contain_text(score)
            continue
        expect(found.get_by_role("cell")).to_have_count(10)
        expect(found.locator(".status.succeeded")).to_be_visible()
        expect(found.get_by_role("button")).to_be_visible()


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("en", ("queued", "started", "epochs", "pausing", "paused", "record")),
        ("ko", ("대기", "시작", "에포크", "일시 정지하는 중", "일시 정지됨", "기록 ")),
    ],
)
def test_a_paused_training_says_how_long_it_trained(
    opened: Callable[..., Opened], deployment: Deployment, language: str, names: tuple[str, ...]
) -> None:
    """By its events, which the page lists in its own language; pauses do not count."""
    job = deployment.submit(**LONG)

    def stands(status: str) -> Callable[[], bool]:
        return lambda: bool(deployment.job(job)["status"] == status)

    for turn in range(2):
        if turn:
            assert deployment.post(f"/jobs/{job}/resume").is_success
        eventually(stands("running"))
        eventually(lambda: deployment.job(job)["history"])
        assert deployment.post(f"/jobs/{job}/pause").is_success
        eventually(stands("paused"))
    events = deployment.get(f"/jobs/{job}/events?limit=1000").json()["data"]
    moments = {
        kind: [
            datetime.fromisoformat(event["created_at"]) for event in events if event["type"] == kind
        ]
        for kind in ("started", "paused")
    }
    spans = zip(moments["started"], moments["paused"], strict=True)
    expected = sum((end - begin).total_seconds() for begin, end in spans)
    view = opened(language)
    page = visit(view, f"jobs/{job}")
    expect(page.locator(".status.paused")).to_be_visible()
    duration = fact(page, {"en": "Duration", "ko": "걸린 시간"}[language])
    unit = {"en": " s", "ko": " 초"}[language]
    expect(duration).to_contain_text(unit)
    eventually(
        lambda: float(duration.inner_text().removesuffix(unit)) == pytest.approx(expected, rel=1e-2)
    )
    page.locator("summary", has_text={"en": "Events", "ko": "사건"}[language]).click()
    listed = page.locator("details tbody tr")
    expect(listed).to_have_count(len(events))
    lines = listed.all_inner_texts()
    for name in names:
        assert any(name in line for line in lines), (name, lines)
    view.picture("job-paused")
    deployment.post(f"/jobs/{job}/cancel")


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "no worker of the queue “gpu” is running"),
        ("ko", "대기열 “gpu”의 워커가 하나도 돌고 있지 않습니다"),
    ],
)
def test_what_a_job_waits_for_is_said_in_the_page_s_language(
    opened: Callable[..., Opened], deployment: Deployment, language: str, told: str
) -> None:
    """A job for a GPU where no worker has one says so in the reader's words."""
    job = deployment.submit(dataset="xor", training={"device": "cuda"})
    view = opened(language)
    page = view.go(f"#/jobs/{job}")
    expect(page.get_by_text(told)).to_be_visible()
    page = view.go(f"#/playground?job={job}")
    expect(page.get_by_text(told)).to_be_visible()
    deployment.post(f"/jobs/{job}/cancel")
    expect(page.get_by_text(told)).to_have_count(0)


HEARD = """(text) => {
    window.isHeard = false;
    const look = () => (window.isHeard ||= document.body.textContent.includes(text));
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
}"""
"""Listens for a text that may be gone before a test looks for it."""


def test_a_job_that_just_came_is_starting(
    new_deployment: Callable[..., Deployment], opened: Callable[..., Opened]
) -> None:
    """While no lack is known, the page says that it starts."""
    own = new_deployment("--workers", "0")
    job = own.submit(dataset="xor")
    view = opened(url=own.url)
    held: list[Route] = []
    view.page.route(f"**/jobs/{job}", lambda route: held.append(route), times=1)  # noqa: PLW0108  # needs attributes
    page = view.go(f"#/jobs/{job}")
    eventually(lambda: page.title() and held)
    page.evaluate(HEARD, "starting…")  # it is said for a moment
    held[0].fulfill(json={**own.get(f"/jobs/{job}").json(), "waiting_for": None})
    page.wait_for_function("() => window.isHeard")
    expect(page.get_by_text("no worker of the queue “train” is running")).to_be_visible()
    expect(page.get_by_text("starting…")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_table_that_goes_on_beyond_its_edge_shows_it(
    opened: Callable[..., Opened], theme: str
) -> None:
    """On a narrow screen there is a shadow at the right, and at the end one at the left."""
    view = opened("ko", 390, color_scheme=theme)
    page = view.go("#/playground?data=breast_cancer")
    page.get_by_text("열과 행").click()
    table = page.get_by_role("region", name="미리 보기")
    table.locator("tbody tr").first.wait_for()
    assert table.evaluate("node => node.scrollWidth > node.clientWidth")
    assert shadows(table) == [False, True]
    view.picture(f"preview-narrow-{theme}")
    table.evaluate("node => node.scrollTo(node.scrollWidth, 0)")
    assert shadows(table) == [True, False]
    view.accessible()


COLOURS = """async (node, picture) => {
    const image = new Image();
    image.src = "data:image/png;base64," + picture;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return [3, Math.floor(image.width / 2), image.width - 4].map((x) => {
        const { data } = context.getImageData(x, 0, 1, image.height);
        const seen = new Map();
        for (let at = 0; at < data.length; at += 4) {
            const colour = data.slice(at, at + 3).join();
            seen.set(colour, (seen.get(colour) ?? 0) + 1);
        }
        return [...seen].sort((a, b) => b[1] - a[1])[0][0];
    });
}"""
"""The most frequent colours at the left edge, in the middle and at the right edge."""


def shadows(node: Locator) -> list[bool]:
    """Whether a shadow lies on the left edge, and on the right one."""
    picture = base64.b64encode(node.screenshot()).decode()
    left, middle, right = node.evaluate(COLOURS, picture)
    return [left != middle, right != middle]
