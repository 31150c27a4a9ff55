"""Cards as Markdown, read back with a Markdown parser."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from perceptron.cards import MOST_POINTS, escaped, markdown
from schemas.model import Hyperparameters, ModelCard, ModelVersion, ParameterCounts
from schemas.network import NetworkConfig
from schemas.preprocessing import (
    BooleanFeature,
    CategoricalFeature,
    Feature,
    NumericFeature,
    Preprocessing,
    Target,
)
from schemas.training import (
    Averages,
    BinaryEvaluation,
    ClassificationBaseline,
    ConfusionMatrix,
    Diagnosis,
    EarlyStopping,
    EpochRecord,
    Importance,
    Metrics,
    MulticlassEvaluation,
    RegressionBaseline,
    RegressionEvaluation,
    RowCounts,
    TrainingConfig,
)

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
BASELINE = ClassificationBaseline(loss=0.6931, accuracy=0.5)
BINARY = BinaryEvaluation(
    loss=0.12345678,
    accuracy=0.875,
    precision=None,
    recall=0.75,
    f1=0.8,
    roc_auc=0.9,
    pr_auc=0.91,
    confusion_matrix=ConfusionMatrix(
        true_positive=1_003, false_negative=1, false_positive=0, true_negative=4
    ),
    baseline=BASELINE,
)
YES = Target(name="sick", task="binary", classes=(False, True))


def version(**fields: Any) -> ModelVersion:
    """Make a version whose card has these fields."""
    card = ModelCard(
        **{
            "hyperparameters": None,
            "parameters": ParameterCounts(weights=1_200, biases=34, total=1_234),
            "feature_names": ("x1", "x2"),
            "dataset": "people",
            "dataset_sha256": "ab" * 32,
            "job_id": None,
            "engine": None,
            "device": None,
            "library_versions": {},
            "metrics": None,
            "diagnosis": None,
        }
        | fields
    )
    return ModelVersion(
        name="my_model",
        version=3,
        aliases=("champion", "latest"),
        created_at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
        size_bytes=5_100,
        sha256="cd" * 32,
        card=card,
    )


def tables(page: str) -> list[list[list[str]]]:
    """Read the text of every table's cells, row by row, the header first."""
    found: list[list[list[str]]] = []
    for token in PARSER.parse(page):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and token.level == 4 and found:
            found[-1][-1].append(_text(token))
    return found


def table(page: str, first: str) -> dict[str, list[str]]:
    """Read the rows of the one table with such a row, by their first cells."""
    (found,) = [rows for rows in tables(page) if first in [row[0] for row in rows]]
    return {row[0]: row[1:] for row in found}


def headings(page: str) -> list[str]:
    """Read the headings."""
    tokens = PARSER.parse(page)
    return [
        _text(following) for token, following in pairwise(tokens) if token.type == "heading_open"
    ]


def _text(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


def preprocessing(*features: Feature, target: Target = YES) -> Preprocessing:
    """Make a preprocessing."""
    return Preprocessing(features=features, target=target)


def test_built_in_models_have_a_card() -> None:
    """Weights that were set by hand have no training, evaluation, curves or diagnosis."""
    page = markdown(version(dataset="xor", dataset_sha256=None))
    assert headings(page) == ["my_model, version 3", "Data", "Training"]
    assert "set by hand" in page
    assert table(page, "x1") == {
        "feature": ["kind", "becomes"],
        "x1": ["numeric", "as it is; missing is refused"],
        "x2": ["numeric", "as it is; missing is refused"],
    }


def test_what_it_is() -> None:
    """The first table says task, time, aliases, sizes and digest; the line above what it is for."""
    page = markdown(version(preprocessing=preprocessing(NumericFeature(name="age"), target=YES)))
    assert "predicts the class of sick (false, true) from 1 feature, for rows like" in page
    about = table(page, "aliases")
    assert about["task"] == ["binary classification"]
    assert about["created"] == ["2026-05-04 03:02:01 UTC"]
    assert about["aliases"] == ["champion, latest"]
    assert about["parameters"] == ["1,234: 1,200 weights, 34 biases"]
    assert about["file of the weights"] == [f"5,100 bytes, SHA-256 {'cd' * 32}"]


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (
            NumericFeature(name="f", mean=2.5, scale=1.25, fill=2.0),
            "(x − 2.5) / 1.25; missing counts as 2",
        ),
        (NumericFeature(name="f", mean=-3), "(x + 3) / 1; missing is refused"),
        (BooleanFeature(name="f", fill=0.5), "true: 1, false: 0; missing counts as 0.5"),
        (
            CategoricalFeature(name="f", categories=("a", "b"), missing="place", unknown="ignore"),
            "one-hot: a, b; missing has a place of its own; any other is none of them",
        ),
        (
            CategoricalFeature(
                name="f", categories=("a", "b"), missing="fill", fill="b", unknown="error"
            ),
            "one-hot: a, b; missing counts as b; any other is refused",
        ),
    ],
)
def test_features_say_what_they_become(feature: Feature, expected: str) -> None:
    """Each feature has a row with its kind and its way to numbers."""
    page = markdown(version(preprocessing=preprocessing(feature)))
    assert table(page, "f")["f"] == [feature.kind, expected]


def test_long_lists_are_cut() -> None:
    """Many features and categories are counted, not listed."""
    categories = tuple(f"c{number:03}" for number in range(1_021))
    many = CategoricalFeature(name="many", categories=categories, missing="zeros", unknown="ignore")
    numbers = [NumericFeature(name=f"n{number}") for number in range(1_149)]
    page = markdown(version(preprocessing=preprocessing(many, *numbers)))
    assert "c019 and 1,001 more;" in page
    assert "c020" not in page
    assert "1,050 more are in the card as JSON" in page
    assert len(table(page, "many")) == 101


def test_hyperparameters() -> None:
    """What the user set is there, with what was left to the defaults."""
    chosen = Hyperparameters(
        network=NetworkConfig(hidden_layers=(1_024, 8), activation="relu"),
        training=TrainingConfig(
            optimizer="adam",
            epochs=500,
            validation_fraction=0.2,
            early_stopping=EarlyStopping(patience=20),
            class_weights={"a_b": 2.0},
            record_every=None,
        ),
    )
    libraries = {"numpy": "2.4.0", "torch": "2.13.0"}
    made = {"engine": "fused", "device": "cpu", "library_versions": libraries}
    rows = table(markdown(version(hyperparameters=chosen, **made)), "seed")
    assert rows["hidden layers"] == ["1,024, 8"]
    assert rows["activation"] == ["relu"]
    assert rows["learning rate"] == ["0.01"]
    assert rows["batch size"] == ["all rows"]
    assert rows["seed"] == ["777"]
    assert rows["record every"] == ["4"]
    assert rows["early stopping"] == ['{"patience": 20, "minimum_improvement": 0.0}']
    assert rows["class weights"] == ['{"a_b": 2.0}']
    assert rows["engine"] == ["auto"]
    assert rows["engine used"] == ["fused"]
    assert rows["libraries"] == ["numpy 2.4.0, torch 2.13.0"]
    assert set(TrainingConfig.model_fields) <= {name.replace(" ", "_") for name in rows}


def test_binary_evaluations() -> None:
    """Each part has its column beside its baseline, and its confusion matrix."""
    held_out = BINARY.model_copy(update={"accuracy": 0.5})
    metrics = Metrics(train=BINARY, validation=held_out)
    page = markdown(version(metrics=metrics, preprocessing=preprocessing(NumericFeature(name="a"))))
    rows = table(page, "accuracy")
    assert rows[""] == ["train", "baseline", "validation", "baseline"]
    assert rows["accuracy"] == ["0.875", "0.5", "0.5", "0.5"]
    assert rows["loss (binary cross-entropy)"] == ["0.1235", "0.6931"] * 2
    assert rows["precision"] == ["–", "", "–", ""]
    assert "Confusion matrix: train, 1,008 rows" in headings(page)
    matrices = [rows for rows in tables(page) if rows[0][0] == "actual"]
    expected = [
        ["actual", "predicted false", "predicted true"],
        ["false", "4", "0"],
        ["true", "1", "1,003"],
    ]
    assert matrices == [expected, expected]


def _several(classes: int) -> MulticlassEvaluation:
    averages = Averages(precision=0.1, recall=0.2, f1=0.3)
    return MulticlassEvaluation(
        loss=1.5,
        accuracy=0.25,
        macro=averages,
        weighted=averages.model_copy(update={"f1": 0.4}),
        classes=tuple(range(classes)),
        confusion_matrix=tuple(tuple(range(classes)) for _ in range(classes)),
        baseline=BASELINE,
    )


def test_evaluations_with_several_classes() -> None:
    """Averages over the classes are told, and which classes are taken for which."""
    page = markdown(version(metrics=Metrics(train=_several(3))))
    rows = table(page, "accuracy")
    assert rows["F1, mean of the classes"] == ["0.3", ""]
    assert rows["F1, weighted by the classes' rows"] == ["0.4", ""]
    assert table(page, "actual")["2"] == ["0", "1", "2"]
    assert "Confusion matrix: train, 9 rows" in headings(page)


def test_large_confusion_matrices_are_left_out() -> None:
    """A matrix of more than twenty classes is only mentioned."""
    page = markdown(version(metrics=Metrics(train=_several(21))))
    assert "Its 21 classes are in the card as JSON" in page
    assert [rows for rows in tables(page) if rows[0][0] == "actual"] == []


def test_evaluations_of_regressions() -> None:
    """Errors are told in the target's unit beside the mean's; there is no confusion matrix."""
    baseline = RegressionBaseline(mae=10, rmse=12)
    found = RegressionEvaluation(loss=9, mae=2, rmse=3, r2=None, baseline=baseline)
    page = markdown(version(metrics=Metrics(train=found, test=found)))
    rows = table(page, "R²")
    assert rows[""] == ["train", "baseline", "test", "baseline"]
    assert rows["mean absolute error"] == ["2", "10"] * 2
    assert rows["R²"] == ["–", ""] * 2
    assert "Confusion" not in page


@pytest.mark.parametrize("count", [1, 2, 11, 12, 13, 101])
@pytest.mark.parametrize("best", [None, 0, 3])
def test_curves_are_compact(count: int, best: int | None) -> None:
    """At most twelve points are shown: the first, the last, the best, and others evenly."""
    history = tuple(EpochRecord(epoch=10 * at, train_loss=1 / (at + 1)) for at in range(count))
    best_epoch = 10 * best if best is not None and best < count else None
    page = markdown(version(history=history, best_epoch=best_epoch))
    rows = table(page, "epoch")
    assert rows.pop("epoch") == ["train loss"]
    epochs = [int(epoch) for epoch in rows]
    assert epochs == sorted(epochs)
    assert {0, 10 * (count - 1), best_epoch or 0} <= set(epochs)
    assert min(count, MOST_POINTS - 1) <= len(epochs) <= MOST_POINTS
    assert rows["0"] == ["1"]
    kept = "the last epoch" if best_epoch is None else f"epoch {best_epoch}, the best"
    assert f"The weights are those of {kept}." in page


def test_importance_and_diagnosis() -> None:
    """Features stand by their importance; the diagnosis is as it was told."""
    found = (
        Importance(feature="a_b", mean=-0.01, standard_deviation=0.02),
        Importance(feature="c", mean=0.123456, standard_deviation=0.01),
    )
    diagnosis = Diagnosis(code="good_fit", message="적합합니다.")
    page = markdown(version(importance=found, diagnosis=diagnosis))
    assert list(table(page, "a_b")) == ["feature", "c", "a_b"]
    assert table(page, "a_b")["c"] == ["0.1235", "0.01"]
    assert page.endswith("## Diagnosis\n\n적합합니다.\n")


# Names that users chose


def _inline(page: str) -> Iterator[Token]:
    for token in PARSER.parse(page):
        assert token.type != "html_block"
        yield from token.children or ()


MARKUP = st.text(st.sampled_from("\\`*_[]()<>|~&#!$@:./-+=\"'\n\t ab1;"), min_size=1, max_size=30)


@given(names=st.lists(MARKUP | st.text(min_size=1), min_size=1, max_size=4, unique=True))
@settings(deadline=None, max_examples=200)
def test_names_are_text_and_nothing_else(names: list[str]) -> None:
    """Any name of a feature, category, class or target shows as it is, without markup."""
    features = [
        CategoricalFeature(
            name=name, categories=(name,), missing="fill", fill=name, unknown="ignore"
        )
        for name in names
    ]
    target = Target(name=names[0], task="binary", classes=(names[0], "other"))
    made = preprocessing(*features, target=target)
    importance = tuple(Importance(feature=n, mean=0, standard_deviation=0) for n in names)
    page = markdown(
        version(preprocessing=made, metrics=Metrics(train=BINARY), importance=importance)
    )
    assert {token.type for token in _inline(page)} <= {"text", "text_special", "code_inline"}
    for rows in tables(page):
        if rows[0][0] == "feature":
            assert [_shown(row[0]) for row in rows[1:]] == [_shown(name) for name in names]
    assert len([rows for rows in tables(page) if rows[0][0] == "feature"]) == 2


def _shown(text: str) -> str:
    """Take runs of white space and control characters as one space, as a browser does."""
    spaced = "".join(
        " " if ord(letter) < 32 or 127 <= ord(letter) < 160 else letter for letter in text
    )
    return " ".join(spaced.split())


@pytest.mark.parametrize("address", ["http://evil.example", "WWW.evil.example", "a@evil.example"])
def test_bare_addresses_are_no_links(address: str) -> None:
    """Addresses, which GitHub would link without any markup, are broken by an escape."""
    assert address not in escaped(address)
    assert escaped(address).replace("\\", "") == address


def test_figures() -> None:
    """With a server the page shows the figures that the version has, by their addresses there."""
    metrics = Metrics(train=_several(3))
    page = markdown(version(metrics=metrics), "http://host:8000/")
    images = [token.attrs["src"] for token in _inline(page) if token.type == "image"]
    found = version()
    at = f"http://host:8000/models/{found.name}/versions/{found.version}/figures"
    assert images == [f"{at}/{kind}" for kind in ("confusion", "boundary", "network")]
    history = (EpochRecord(epoch=0, train_loss=1.0),)
    assert f"({at}/loss)" in markdown(version(history=history), "http://host:8000")
    assert "## Figures" not in markdown(version(metrics=metrics))


def test_rows_are_counted() -> None:
    """The card says how many rows each part had, and how many were left out, if any were."""
    counts = RowCounts(train=1_105, validation=45, test=0, without_target=3)
    page = markdown(version(metrics=Metrics(train=BINARY, rows=counts)))
    told = "Rows: 1,105 for training, 45 for validation, 0 for the test"
    assert f"\n\n{told}; 3 without a target were left out.\n\n" in page
    counts = counts.model_copy(update={"without_target": 0})
    page = markdown(version(metrics=Metrics(train=BINARY, rows=counts)))
    assert f"\n\n{told}.\n\n" in page
    assert "Rows:" not in markdown(version(metrics=Metrics(train=BINARY)))
