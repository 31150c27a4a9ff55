"""Figures of jobs and models as a deployment draws them: SVG and PNG, and what is refused."""

import io
import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import psutil
import pytest
from httpx import Response
from PIL import Image

from service.figures import MOST_KEPT_BYTES
from tests.deployment import Deployment

SVG, PNG = "image/svg+xml", "image/png"
KINDS = ("loss", "confusion", "network", "boundary")
NAME = "<b> & $x_1$"
"""A feature's name that means something to XML, to Matplotlib's formulas and to LaTeX."""
CLASSES = ("no", "예", "maybe")
"""Sorted as texts: maybe, no, 예."""


@pytest.fixture(scope="module")
def trained(deployment: Deployment) -> dict[str, Any]:
    """A job with three classes, validation and test rows, numbers, categories and truths."""
    rows: list[dict[str, Any]] = [
        {
            NAME: None if number % 11 == 0 else number / 7,
            "도시": ("서울", "Busan", None)[number % 3],
            "old": bool(number % 2),
            "kind": CLASSES[(number // 5) % 3],
        }
        for number in range(120)
    ]
    made = deployment.post("/datasets", {"name": "pictured", "records": rows})
    assert made.status_code == 201, made.text
    training = {"optimizer": "adam", "epochs": 200, "validation_fraction": 0.2}
    training |= {"test_fraction": 0.1, "early_stopping": {"patience": 150}}
    asked = {"dataset": "pictured", "network": {"hidden_layers": [6]}, "training": training}
    return deployment.finished(deployment.submit(**asked, model="pictured"))


def _texts(answer: Response) -> list[str]:
    """Check that it is an SVG without a script, and give its texts."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith(SVG)
    root = ET.fromstring(answer.content)  # noqa: S314  # our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    tags = Counter(element.tag.rpartition("}")[2] for element in root.iter())
    assert "script" not in tags
    return [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]


def _picture(answer: Response) -> Any:
    """Check that it is a whole PNG, and give its colours. Shape (height, width, 3)."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == PNG
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"), np.int64)


def test_curves_of_a_job(deployment: Deployment, trained: dict[str, Any]) -> None:
    """Loss and accuracy by epoch, the best epoch named; the model's figure is the same one."""
    answer = deployment.get(f"/jobs/{trained['id']}/figures/loss")
    texts = _texts(answer)
    card = deployment.get("/models/pictured/card").json()
    assert {"epoch", "accuracy", "training", "validation", "pictured, version 1"} <= set(texts)
    best = [text for text in texts if text.startswith("weights kept: epoch ")]
    assert best == [f"weights kept: epoch {card['best_epoch']:,}"]
    assert "loss (log scale)" in texts
    linear = _texts(deployment.get(f"/jobs/{trained['id']}/figures/loss?scale=linear"))
    assert "loss" in linear
    model = deployment.get("/models/pictured/versions/1/figures/loss")
    assert model.content == answer.content
    assert answer.headers["Content-Disposition"] == 'inline; filename="loss.svg"'


def test_curves_of_a_running_job(deployment: Deployment) -> None:
    """A job that waits has none yet; one that runs shows how far it is."""
    training = {"epochs": 100_000, "record_every": 100, "engine": "torch"}
    waiting = [deployment.submit(dataset="xor", training=training) for _ in range(3)]
    try:
        assert deployment.job(waiting[-1])["status"] == "queued"
        for name in ("loss", "confusion"):
            answer = deployment.get(f"/jobs/{waiting[-1]}/figures/{name}")
            assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        deployment.running(waiting[0], after_epoch=200)
        texts = _texts(deployment.get(f"/jobs/{waiting[0]}/figures/loss"))
        assert f"{waiting[0]}, running" in texts
        assert deployment.get(f"/jobs/{waiting[0]}/figures/confusion").status_code == 409
    finally:
        for job_id in waiting:
            deployment.client.delete(f"/jobs/{job_id}")


def test_confusion_matrices(deployment: Deployment, trained: dict[str, Any]) -> None:
    """Every count of every part is there, in the order of the job's own matrices."""
    texts = _texts(deployment.get(f"/jobs/{trained['id']}/figures/confusion"))
    counts = [text for text in texts if text.isdecimal()]
    parts = [trained["metrics"][part] for part in ("train", "validation", "test")]
    expected = [str(n) for part in parts for row in part["confusion_matrix"] for n in row]
    assert counts == expected
    assert {"maybe", "no", "예", "actual", "predicted"} <= set(texts)
    alone = _texts(deployment.get("/models/pictured/figures/confusion?part=test"))
    assert [text for text in alone if text.isdecimal()] == expected[-9:]
    refused = deployment.get("/models/pictured/figures/confusion?part=other")
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, "part")


def test_confusion_of_two_classes_and_predictions(deployment: Deployment) -> None:
    """True negatives stand at the top left; a prediction's evaluation has a matrix, too."""
    job = deployment.finished(
        deployment.submit(dataset="xor", model="shown-xor", training={"epochs": 20})
    )
    matrix = job["metrics"]["train"]["confusion_matrix"]
    names = ("true_negative", "false_positive", "false_negative", "true_positive")
    expected = [str(matrix[name]) for name in names]
    texts = _texts(deployment.get(f"/jobs/{job['id']}/figures/confusion"))
    axes = ["0", "1", "0", "1"]
    assert sorted(text for text in texts if text.isdecimal()) == sorted([*expected, *axes])
    refused = deployment.get(f"/jobs/{job['id']}/figures/confusion?part=test")
    assert refused.json()["errors"] == [{"detail": "there are no test rows", "parameter": "part"}]
    asked = {"kind": "predict", "model": "xor", "dataset": "xor"}
    predicted = deployment.finished(deployment.submit(**asked))
    texts = _texts(deployment.get(f"/jobs/{predicted['id']}/figures/confusion"))
    assert any(text.startswith("predicted: 4 rows") for text in texts)
    assert deployment.get(f"/jobs/{predicted['id']}/figures/loss").status_code == 404


def test_network(deployment: Deployment, trained: dict[str, Any]) -> None:
    """Inputs are named as they are encoded, outputs by their classes, whatever their names say."""
    assert trained["status"] == "succeeded"
    texts = _texts(deployment.get("/models/pictured/figures/network"))
    inputs = {NAME, "도시 = 서울", "도시 = Busan", "도시 missing", "old"}
    assert inputs | {"5 inputs", "maybe", "no", "예"} <= set(texts)


def test_boundary_of_a_gate(deployment: Deployment) -> None:
    """XOR's plane has both colours where they belong, and the table's four rows."""
    picture = _picture(deployment.get("/models/xor/figures/boundary?format=png"))
    height, width, _ = picture.shape
    assert (width, height) == (1024, 864)
    middle, corner = picture[height // 2 - 40, width // 2], picture[height - 250, 130]
    assert middle[2] > middle[0] + 50  # blue: class 1 between the lines
    assert corner[0] > corner[2] + 50  # orange: class 0 beyond them
    answer = deployment.get("/models/xor/figures/boundary")
    assert {"x1", "x2", "y = 0", "y = 1"} <= set(_texts(answer))
    rows = answer.text.count('<use xlink:href="#', answer.text.index("PathCollection"))
    assert rows >= 4


def test_boundary_of_chosen_features(deployment: Deployment, trained: dict[str, Any]) -> None:
    """Axes are the query's or the most important features; the rest is told."""
    importance = deployment.get("/models/pictured/card").json()["importance"]
    two = sorted(importance, key=lambda item: -item["mean"])[:2]
    texts = _texts(deployment.get("/models/pictured/figures/boundary"))
    assert {item["feature"] for item in two} <= set(texts)
    assert {"training rows", "validation rows", "test rows"} <= set(texts)
    asked = {"x": "old", "y": NAME}
    chosen = deployment.client.get("/models/pictured/figures/boundary", params=asked)
    assert {"old", NAME, "true", "false"} <= set(_texts(chosen))
    assert "도시 = 서울" in chosen.text or "도시 = Busan" in chosen.text
    wrong = deployment.get("/models/pictured/figures/boundary?x=size")
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == [
        {"detail": "the model has no feature 'size'", "parameter": "x"}
    ]
    assert trained["model"] == {"name": "pictured", "version": 1}


def test_boundary_without_its_table(deployment: Deployment) -> None:
    """Once the dataset is gone, or is another one, the plane is drawn without rows."""
    for name, seed in (("clouds", 1), ("clouds", 2)):
        sample = {"kind": "gaussians", "rows": 50, "seed": seed}
        made = deployment.post("/datasets", {"name": name, "sample": sample})
        assert made.status_code == 201, made.text
        if seed == 1:
            asked = {"dataset": name, "model": "clouds", "training": {"epochs": 50}}
            assert deployment.finished(deployment.submit(**asked))["status"] == "succeeded"
            with_rows = deployment.get("/models/clouds/figures/boundary").text
            assert deployment.client.delete(f"/datasets/{name}").status_code == 204
            without = deployment.get("/models/clouds/figures/boundary").text
    assert with_rows.count("<use ") > without.count("<use ") + 40
    assert deployment.get("/models/clouds/figures/boundary").text == without


def test_regressions(deployment: Deployment) -> None:
    """A number is a scale of colours, or a line over the only feature; it has no matrix."""
    rows = {"features": [[x / 10] for x in range(20)], "targets": [x / 5 for x in range(20)]}
    asked = {"dataset": rows, "task": "regression", "model": "line", "training": {"epochs": 20}}
    asked["training"] = {"epochs": 20, "learning_rate": 0.01}
    job = deployment.finished(deployment.submit(**asked))
    assert job["status"] == "succeeded", job
    assert {"x1", "y"} <= set(_texts(deployment.get("/models/line/figures/boundary")))
    for path in (f"/jobs/{job['id']}", "/models/line"):
        assert deployment.get(f"{path}/figures/confusion").status_code == 404
    plane = {"dataset": "diabetes", "model": "plane", "training": {"epochs": 5}}
    assert deployment.finished(deployment.submit(**plane))["status"] == "succeeded"
    texts = _texts(deployment.get("/models/plane/figures/boundary?x=bmi&y=bp"))
    assert {"bmi", "bp", "progression"} <= set(texts)


def test_what_built_in_models_lack(deployment: Deployment) -> None:
    """They were not trained: no curves, no matrix. What is not there is 404."""
    for path in ("/models/xor/figures/loss", "/models/xor/figures/confusion"):
        assert deployment.get(path).status_code == 404
    for path in ("/models/none/figures/network", "/jobs/none/figures/loss"):
        assert deployment.get(path).status_code == 404


@pytest.mark.parametrize("name", KINDS)
def test_forms_and_themes(deployment: Deployment, trained: dict[str, Any], name: str) -> None:
    """`Accept` chooses the form, `format` wins; dark is dark; nothing is cut at the edges."""
    assert trained["status"] == "succeeded"
    path = f"/models/pictured/figures/{name}"
    browser = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
    assert deployment.get(path, Accept=browser).headers["Content-Type"].startswith(SVG)
    light = _picture(deployment.get(path, Accept=PNG))
    assert (light[0, 0] == 255).all()
    dark = _picture(deployment.get(f"{path}?format=png&theme=dark", Accept=SVG))
    assert (dark[0, 0] < 40).all()
    for picture in (light, dark):
        edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
        assert all((edge == picture[0, 0]).all() for edge in edges)
    for query in ("format=gif", "theme=blue", "colour=red"):
        refused = deployment.get(f"{path}?{query}")
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["parameter"] == query.partition("=")[0]


KOREAN_WORDS = {
    "loss": {"에포크", "정확도", "손실 (로그 눈금)", "학습", "검증", "pictured, 버전 1"},
    "confusion": {"실제", "예측", "pictured, 버전 1"},
    "network": {"음의 가중치", "양의 가중치", "pictured, 버전 1"},
    "boundary": {"학습 행", "검증 행", "테스트 행", "나머지 특성은 평균이나 가장 잦은 값입니다:"},
}
ENGLISH_WORDS = re.compile(
    "epoch|accuracy|loss|training|validation|test|actual|predicted|weight|rows|version|layers|input"
)


@pytest.mark.parametrize("name", KINDS)
def test_words_in_korean(deployment: Deployment, trained: dict[str, Any], name: str) -> None:
    """By `Accept-Language`, which caches are told of, or by `language`, which wins."""
    assert trained["status"] == "succeeded"
    path = f"/models/pictured/figures/{name}"
    korean = deployment.get(path, Accept_Language="ko-KR,ko;q=0.9,en;q=0.5")
    texts = _texts(korean)
    assert set(texts) >= KOREAN_WORDS[name]
    assert [text for text in texts if ENGLISH_WORDS.search(text)] == []
    assert "Accept-Language" in korean.headers["Vary"]
    english = deployment.get(path)
    assert english.headers["ETag"] != korean.headers["ETag"]
    etag = korean.headers["ETag"]
    assert deployment.get(path, If_None_Match=etag).status_code == 200
    kept = deployment.get(path, Accept_Language="ko", If_None_Match=etag)
    assert (kept.status_code, "Accept-Language" in kept.headers["Vary"]) == (304, True)
    assert deployment.get(f"{path}?language=ko").content == korean.content
    chosen = deployment.get(f"{path}?language=en", Accept_Language="ko")
    assert chosen.content == english.content
    assert deployment.get(f"{path}?language=fr").status_code == 422
    picture = _picture(deployment.get(f"{path}?format=png&language=ko"))
    edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
    assert all((edge == picture[0, 0]).all() for edge in edges)


def test_a_figure_that_is_there_is_not_sent_again(
    deployment: Deployment, trained: dict[str, Any]
) -> None:
    """With its ETag in `If-None-Match` the answer is 304; another form has another ETag."""
    path = f"/jobs/{trained['id']}/figures/loss"
    etag = deployment.get(path).headers["ETag"]
    for sent in (etag, f'"other", W/{etag}', "*"):
        answer = deployment.get(path, If_None_Match=sent)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == etag
    again = deployment.get(path, If_None_Match='"other"')
    assert (again.status_code, again.headers["ETag"]) == (200, etag)
    others = {deployment.get(f"{path}?{query}").headers["ETag"] for query in ("format=png", "")}
    assert len(others | {etag}) == 2


def test_parameters_of_other_figures(deployment: Deployment) -> None:
    """A parameter that another figure has is refused, and so is a figure that is none."""
    for figure, query in (("network", "x=x1"), ("boundary", "scale=log"), ("loss", "part=train")):
        refused = deployment.get(f"/models/xor/figures/{figure}?{query}")
        assert refused.status_code == 422
        (found,) = refused.json()["errors"]
        assert found["parameter"] == query.partition("=")[0]
        assert "belongs to the figure `" in found["detail"]
    for path in ("/models/xor/figures/curve", "/jobs/none/figures/network"):
        refused = deployment.get(path)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["parameter"] == "figure"


def test_the_api_stays_small(new_deployment: Callable[..., Deployment]) -> None:
    """Drawing leaves no more in an API process than the figures that it keeps."""
    deployment = new_deployment("--api-workers", "1")
    (worker,) = (pid for pid in deployment.pids("service") if pid != deployment.api_master)
    process = psutil.Process(worker)
    assert deployment.get("/models/xor/figures/network").status_code == 200
    before = process.memory_info().rss
    for query in ("", "?theme=dark", "?format=png", "?x=x2&y=x1"):
        assert deployment.get(f"/models/xor/figures/boundary{query}").status_code == 200
    assert process.memory_info().rss - before <= 2 * MOST_KEPT_BYTES
    assert not any("matplotlib" in found.path for found in process.memory_maps())
