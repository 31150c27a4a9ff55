"""Gates and backpropagation: what is dragged, typed and stepped through."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Opened, hash_of
from tests.deployment import Deployment


def verdict(page: Page, place: int) -> Locator:
    """What is said of a truth table: of the gate's (0), or of XOR's (1)."""
    return page.locator(".verdict-line").nth(place)


def slider(page: Page, name: str, place: int) -> Locator:
    """The slider of a weight: of the gate (0), or of XOR (1)."""
    return page.get_by_role("slider", name=name, exact=True).nth(place)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_gates_are_right_until_their_line_is_moved(
    opened: Callable[..., Opened], language: str
) -> None:
    """The slides' weights solve each gate; another bias is checked at once."""
    right, wrong = (
        ("All four rows are right.", "1 of 4 rows wrong.")
        if language == "en"
        else ("네 행이 모두 맞습니다.", "네 행 중 1행이 틀렸습니다.")
    )
    view = opened(language)
    page = view.go("#/gates")
    for name in ("NAND", "OR", "AND"):
        page.get_by_role("button", name=name, exact=True).click()
        expect(verdict(page, 0)).to_have_text(right)
    slider(page, "b", 0).fill("-1.05")
    expect(verdict(page, 0)).to_have_text(wrong)
    expect(page.locator("table").first.locator(".bad")).to_have_count(1)
    page.locator(".gate button").first.click()
    expect(verdict(page, 0)).to_have_text(right)


def test_a_line_is_dragged(opened: Callable[..., Opened]) -> None:
    """Where the line is dropped it passes through; no place of it solves XOR."""
    view = opened()
    page = view.go("#/gates")
    plane = page.locator(".gate-plane").first
    box = plane.bounding_box()
    assert box is not None

    def drag(x: float, y: float) -> None:
        side = box["width"]
        page.mouse.move(box["x"] + side * (x + 0.6) / 2.2, box["y"] + side * (1.6 - y) / 2.2)

    drag(0.2, 0.5)
    page.mouse.down()
    drag(1.2, 1.2)
    page.mouse.up()
    expect(page.locator("output").nth(2)).to_have_text("-1.20")
    expect(verdict(page, 0)).to_have_text("1 of 4 rows wrong.")
    for bias in ("-1.5", "-0.9", "-0.5", "0.3"):
        slider(page, "b", 1).fill(bias)
        expect(page.locator("output").nth(5)).to_have_text(f"{float(bias):.2f}")
        expect(verdict(page, 1)).to_contain_text("wrong")


def test_xor_by_gates_and_by_training(
    opened: Callable[..., Opened], deployment: Deployment
) -> None:
    """Three gates give XOR's table; a trained network opens in the playground with its job."""
    view = opened()
    page = view.go("#/gates")
    assert "0.5, 0.5" in page.locator(".proof").inner_text()
    rows = page.get_by_role("table", name="XOR from three gates").locator("tbody tr")
    told = [row.inner_text().split() for row in rows.all()]
    assert [(row[4], row[-1]) for row in told] == [("0", "0"), ("1", "1"), ("1", "1"), ("0", "0")]
    page.get_by_role("button", name="Train XOR").click()
    page.get_by_role("link", name="Open in the playground").wait_for()
    expect(page.get_by_text("Good fit")).to_be_visible()
    page.get_by_role("link", name="Open in the playground").click()
    page.wait_for_selector(".status.succeeded")
    job = re.search(r"job=(job_\w+)", hash_of(page))
    assert job is not None
    assert deployment.job(job[1])["metrics"]["train"]["accuracy"] == 1
    expect(page.get_by_label("Units of hidden layer 1")).to_have_value("4")


STEPS = {"en": ("Next step", "Step {} of 9"), "ko": ("다음 단계", "9단계 중 {}단계")}


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_slides_step_by_step(opened: Callable[..., Opened], language: str) -> None:
    """All nine steps are set as formulas with the slides' numbers."""
    following, told = STEPS[language]
    view = opened(language)
    page = view.go("#/backprop")
    numbers = [
        ["0.08", "0.11"],
        ["0.51998934", "0.5274723"],
        ["0.44498412", "0.68047592"],
        ["0.609446", "0.66384491"],
        ["0.02193381", "0.00203809", "0.0239719"],
        ["0.02592286", "0.43703857", "0.38685205", "0.69629578", "0.59624247"],
        ["0.03240681"],
        ["0.00080888", "0.29959556", "0.24919112", "0.39964496", "0.34928991"],
        ["0.02323634"],
    ]
    for place, expected in enumerate(numbers, 1):
        expect(page.locator("p", has_text=told.format(place))).to_be_visible()
        expect(page.locator(".formula .katex-html").first).to_be_visible()
        formulas = " ".join(
            page.locator(".formula").evaluate_all("all => all.map(e => e.ariaLabel)")
        )
        assert [number for number in expected if number not in formulas] == []
        if place < len(numbers):
            page.get_by_role("button", name=following).click()
    view.accessible()
    view.picture("backprop-last")


def test_steps_go_on_with_the_new_weights(opened: Callable[..., Opened]) -> None:
    """Taking the step puts the updated weights in place of the old ones; E falls."""
    view = opened()
    page = view.go("#/backprop?step=9")
    page.get_by_role("button", name="Take the step").click()
    expect(page.get_by_label("W5", exact=True)).to_have_value(re.compile("^0.43703857"))
    expect(page.locator("p", has_text="Steps taken: 1")).to_contain_text("E = 0.023236")


def test_any_number_can_be_typed(opened: Callable[..., Opened], deployment: Deployment) -> None:
    """Weights, targets, biases and activations are the reader's; the service works them out."""
    view = opened()
    page = view.go("#/backprop?step=5")
    page.get_by_label("W1", exact=True).fill("-1.5")
    page.get_by_label("t1", exact=True).fill("1")
    page.get_by_label("Activation").first.select_option("tanh")
    page.get_by_label("bias").first.check()
    page.get_by_label("b1", exact=True).fill("0.25")
    body = {
        "targets": [1, 0.6],
        "layers": [
            {"weights": [[-1.5, 0.25], [0.4, 0.35]], "biases": [0.25, 0], "activation": "tanh"},
            {"weights": [[0.45, 0.4], [0.7, 0.6]]},
        ],
    }
    total = deployment.post("/backprop", body).json()["loss"]["total"]
    expect(page.locator("p", has_text="Step 5 of 9")).to_contain_text(f"{total:.6f}"[:7])
    page.reload()
    expect(page.get_by_label("b1", exact=True)).to_have_value("0.25")
    field = page.get_by_label("W2", exact=True)
    field.fill("x")
    expect(field).to_have_attribute("aria-invalid", "true")


def test_an_address_that_holds_no_network(opened: Callable[..., Opened]) -> None:
    """What nobody could have typed is the slides' example."""
    view = opened()
    page = view.go('#/backprop?network={"inputs":[1],"targets":[],"layers":[{}]}')
    expect(page.get_by_label("W8", exact=True)).to_have_value("0.6")
