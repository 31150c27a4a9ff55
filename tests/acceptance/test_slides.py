"""Every number of the slides, read from the running system through HTTP."""

import pytest

from tests.deployment import Deployment

SLIDES = {
    "optimizer": "sgd",
    "learning_rate": 1.0,
    "epochs": 10_001,
    "batch_size": None,
    "seed": 777,
    "validation_fraction": 0,
    "record_every": 100,
    "engine": "auto",
}

TABLES = {
    "and": [0, 0, 0, 1],
    "nand": [1, 1, 1, 0],
    "or": [0, 1, 1, 1],
    "xor": [0, 1, 1, 0],
}
INPUTS = [[0, 0], [0, 1], [1, 0], [1, 1]]
HAND_SET = {"and": ([0.5, 0.5], -0.7), "nand": ([-0.5, -0.5], 0.7), "or": ([0.6, 0.6], -0.5)}


@pytest.mark.parametrize("gate", TABLES)
def test_built_in_models_answer_predict(deployment: Deployment, gate: str) -> None:
    """The hand-set gates and XOR composed of them answer `/predict` with their truth tables."""
    answer = deployment.post("/predict", {"model": gate, "inputs": INPUTS}).json()
    assert answer["predictions"] == TABLES[gate]
    assert answer["probabilities"] == TABLES[gate]


@pytest.mark.parametrize("gate", HAND_SET)
def test_hand_set_weights(deployment: Deployment, gate: str) -> None:
    """AND, NAND and OR carry the slides' weights, and their line separates the table."""
    weights, bias = HAND_SET[gate]
    answer = deployment.get(f"/gates/{gate}").json()
    layer = answer["perceptron"][0]
    assert (layer["weight"], layer["bias"], layer["activation"]) == ([weights], [bias], "step")
    assert [row["output"] for row in answer["truth_table"]] == TABLES[gate]
    assert answer["separability"]["linearly_separable"] is True
    line = answer["separability"]["line"]
    for row in answer["truth_table"]:
        side = (
            sum(w * x for w, x in zip(line["weights"], row["inputs"], strict=True)) + line["bias"]
        )
        assert (side > 0) == bool(row["output"])


def test_xor_is_not_separable(deployment: Deployment) -> None:
    """No line separates XOR: one point is a mean of the zeros and also of the ones."""
    separability = deployment.get("/gates/xor").json()["separability"]
    assert separability["linearly_separable"] is False
    proof = separability["proof"]
    for side in ("zeros", "ones"):
        assert sum(point["weight"] for point in proof[side]) == pytest.approx(1)
        for axis in (0, 1):
            mean = sum(point["weight"] * point["inputs"][axis] for point in proof[side])
            assert mean == pytest.approx(proof["point"][axis])


def test_any_truth_table(deployment: Deployment) -> None:
    """A table of three bits by its outputs: the majority is separable, the parity is not."""
    majority = deployment.get("/gates/00010111").json()
    parity = deployment.get("/gates/01101001").json()
    assert majority["separability"]["linearly_separable"] is True
    assert parity["separability"]["linearly_separable"] is False


def test_single_layer_fails_on_xor(deployment: Deployment) -> None:
    """A single layer stays at ln 2 on XOR with the slides' losses, and the job says why."""
    job = deployment.finished(deployment.submit(dataset="xor", training=SLIDES))
    losses = {record["epoch"]: record["train_loss"] for record in job["history"]}
    assert losses[0] == pytest.approx(0.72739744, abs=1e-6)
    assert losses[100] == pytest.approx(0.69314766, abs=1e-6)
    assert losses[200] == pytest.approx(0.69314718, abs=1e-7)
    assert losses[10_000] == pytest.approx(0.69314718, abs=1e-7)
    assert job["metrics"]["train"]["accuracy"] == 0.5
    assert job["diagnosis"]["code"] == "not_linearly_separable"
    assert "hidden layer" in job["diagnosis"]["message"]
    korean = deployment.get(f"/jobs/{job['id']}", Accept_Language="ko").json()
    assert "은닉층" in korean["diagnosis"]["message"]


def test_mlp_learns_xor(deployment: Deployment) -> None:
    """2-10-10-10-1 with sigmoid learns XOR: accuracy 1 and a loss under 2e-4."""
    network = {"hidden_layers": [10, 10, 10], "activation": "sigmoid"}
    body = {"dataset": "xor", "network": network, "training": SLIDES, "model": "slides-mlp"}
    job = deployment.finished(deployment.submit(**body))
    assert job["history"][-1]["epoch"] == 10_000
    assert job["history"][-1]["train_loss"] < 2e-4
    train = job["metrics"]["train"]
    assert (train["accuracy"], train["precision"], train["recall"], train["f1"]) == (1, 1, 1, 1)
    assert train["confusion_matrix"] == {
        "true_positive": 2,
        "false_negative": 0,
        "false_positive": 0,
        "true_negative": 2,
    }
    answer = deployment.post("/predict", {"model": "slides-mlp", "inputs": INPUTS}).json()
    assert answer["predictions"] == [0, 1, 1, 0]


def test_backprop_by_hand(deployment: Deployment) -> None:
    """`POST /backprop` without a body gives the slides' numbers to eight decimals."""
    trace = deployment.client.post("/backprop").json()
    values = {
        item["name"]: item["value"]
        for layer in trace["forward"]
        for item in (*layer["z"], *layer["outputs"])
    } | {item["name"]: item["value"] for item in trace["loss"]["terms"]}
    expected = {
        "z1": 0.08,
        "z2": 0.11,
        "h1": 0.51998934,
        "h2": 0.52747230,
        "z3": 0.44498412,
        "z4": 0.68047592,
        "o1": 0.60944600,
        "o2": 0.66384491,
        "E_o1": 0.02193381,
        "E_o2": 0.00203809,
    }
    assert {name: round(values[name], 8) for name in expected} == expected
    assert round(trace["loss"]["total"], 8) == 0.02397190
    steps = {step["name"]: step for step in trace["parameters"]}
    assert round(steps["W5"]["gradient"], 8) == 0.02592286
    updated = {"W5": 0.43703857, "W6": 0.38685205, "W7": 0.69629578, "W8": 0.59624247}
    assert {name: round(steps[name]["updated"], 8) for name in updated} == updated
    assert [factor["name"] for factor in steps["W5"]["factors"]] == ["∂E/∂o1", "∂o1/∂z3", "∂z3/∂W5"]
    assert round(trace["after"]["total"], 8) == 0.02323634


def test_backprop_of_any_network(deployment: Deployment) -> None:
    """Another network, input, target, activation and rate: one linear unit, worked out by hand."""
    body = {
        "inputs": [2.0],
        "targets": [1.0],
        "layers": [{"weights": [[3.0]], "biases": [0.5], "activation": "identity"}],
        "learning_rate": 0.1,
    }
    trace = deployment.post("/backprop", body).json()
    # o = 6.5, E = ½·5.5², ∂E/∂w = 5.5·2, ∂E/∂b = 5.5; then w = 1.9, b = −0.05, o = 3.75
    assert trace["loss"]["total"] == pytest.approx(15.125)
    gradients = [step["gradient"] for step in trace["parameters"]]
    assert gradients == pytest.approx([11.0, 5.5])
    assert trace["after"]["total"] == pytest.approx(0.5 * 2.75**2)


def test_undefined_ratios_are_null(deployment: Deployment) -> None:
    """With nothing positive and nothing predicted positive, precision, recall and F1 are null."""
    dataset = {"features": [[0.0], [1.0]], "targets": [0, 0]}
    training = {"epochs": 500, "learning_rate": 1.0}
    job = deployment.finished(deployment.submit(dataset=dataset, training=training))
    train = job["metrics"]["train"]
    assert (train["precision"], train["recall"], train["f1"]) == (None, None, None)
    assert train["accuracy"] == 1


def test_card_separates_hyperparameters_from_parameters(deployment: Deployment) -> None:
    """A model's card tells what the user set apart from what training found."""
    body = {"dataset": "and", "network": {"hidden_layers": [3]}, "training": {"epochs": 50}}
    job = deployment.finished(deployment.submit(**body, model="carded"))
    version = deployment.get(f"/models/carded/versions/{job['model']['version']}").json()
    card = version["card"]
    assert card["hyperparameters"]["network"]["hidden_layers"] == [3]
    assert card["hyperparameters"]["training"]["epochs"] == 50
    assert card["parameters"] == {"weights": 9, "biases": 4, "total": 13}
    layers = deployment.get("/models/carded/parameters").json()["layers"]
    shapes = [(len(layer["weight"]), len(layer["weight"][0])) for layer in layers]
    assert shapes == [(3, 2), (1, 3)]


def test_validation_curve_and_overfitting(deployment: Deployment) -> None:
    """Random labels are learnt by heart: the validation curve turns up, and the job says so."""
    features = [[((7 * i) % 23) / 23, ((11 * i) % 29) / 29] for i in range(40)]
    targets = [(i * i * 13 + i * 7) % 5 % 2 for i in range(40)]
    body = {
        "dataset": {"features": features, "targets": targets},
        "network": {"hidden_layers": [32, 32], "activation": "tanh"},
        "training": {
            "optimizer": "adam",
            "learning_rate": 0.01,
            "epochs": 1500,
            "validation_fraction": 0.5,
        },
    }
    job = deployment.finished(deployment.submit(**body))
    history = job["history"]
    assert all({"train_loss", "valid_loss", "valid_accuracy"} <= set(record) for record in history)
    assert job["metrics"]["validation"] is not None
    assert min(record["valid_loss"] for record in history) < history[-1]["valid_loss"]
    assert job["diagnosis"]["code"] == "overfitting"


def test_underfitting(deployment: Deployment) -> None:
    """Far too few epochs: the job says that it is underfitted."""
    body = {"dataset": "xor", "network": {"hidden_layers": [4]}, "training": {"epochs": 3}}
    job = deployment.finished(deployment.submit(**body))
    assert job["diagnosis"]["code"] == "underfitting"
