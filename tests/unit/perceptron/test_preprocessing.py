"""From a table's values to the network's input, and from its output to answers."""

import json
from typing import Any, Literal

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from perceptron.frames import Column, Frame, booleans, categories, numbers
from perceptron.preprocessing import (
    MANY,
    answers,
    encode,
    encode_columns,
    encode_matrix,
    encode_rows,
    fit,
    places_of,
)
from schemas.errors import InvalidField
from schemas.preprocessing import (
    BooleanFeature,
    CategoricalFeature,
    DerivedInput,
    Label,
    NumericFeature,
    Preprocessing,
    PreprocessingConfig,
    Target,
    numbers_as_they_are,
)

BINARY = Target(name="y", task="binary", classes=(0, 1))
FRAME = Frame(
    (
        numbers("age", [20, np.nan, 40, 30]),
        booleans("smokes", [True, None, False, True]),
        categories("town", ["Ulm", "Bonn", None, "Ulm"]),
    )
)
NAMES = ("age", "smokes", "town")
MISSING: Any = np.nan


def _fit(frame: Frame = FRAME, *, standardise: bool = True, **config: Any) -> Preprocessing:
    return fit(frame, frame.names, BINARY, PreprocessingConfig(**config), standardise=standardise)


@st.composite
def tables(draw: st.DrawFn) -> Frame:
    """Draw numbers and categories with gaps; each column has two values at least."""
    rows = draw(st.integers(2, 12))
    columns: list[Column] = []
    for index in range(draw(st.integers(1, 3))):
        values = draw(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=rows, max_size=rows))
        found = [np.nan if value is None else value for value in values]
        found[:2] = [0.25, 100.5]
        columns.append(numbers(f"n{index}", found))
    for index in range(draw(st.integers(1, 3))):
        some = st.none() | st.sampled_from(["a", "b", "ㄱ", ""])
        texts = draw(st.lists(some, min_size=rows, max_size=rows))
        texts[:2] = ["a", "b"]
        columns.append(categories(f"c{index}", texts))
    return Frame(tuple(columns))


@given(frame=tables(), strategy=st.sampled_from(["mean", "median"]))
@settings(deadline=None, max_examples=60)
def test_encoding_is_that_of_scikit_learn(
    frame: Frame, strategy: Literal["mean", "median"]
) -> None:
    """Imputing, scaling and one-hot encoding give what scikit-learn's transformers give."""
    found = _fit(frame, numeric_missing=strategy, categorical_missing="most_frequent")
    numeric = [index for index, c in enumerate(frame.columns) if c.kind == "numeric"]
    coded = [index for index, c in enumerate(frame.columns) if c.kind != "numeric"]
    raw = np.empty((frame.rows, len(frame.columns)), object)
    for index, column in enumerate(frame.columns):
        raw[:, index] = [np.nan if cell is None else cell for cell in column.cells()]
    transformer = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(strategy=strategy), StandardScaler()), numeric),
            (
                "c",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"), OneHotEncoder(sparse_output=False)
                ),
                coded,
            ),
        ]
    )
    expected = transformer.fit_transform(raw)
    encoded = encode(found, frame)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, np.asarray(expected, float), rtol=1e-5, atol=1e-6)


@given(frame=tables())
@settings(deadline=None, max_examples=60)
def test_rows_of_a_request_are_encoded_as_columns_are(frame: Frame) -> None:
    """Rows, and records in any order, become the very numbers that the columns become."""
    found = _fit(frame)
    expected = encode(found, frame)
    records: Any = frame.records(0, frame.rows)
    rows = [tuple(record.values()) for record in records]
    np.testing.assert_array_equal(encode_rows(found, rows), expected)
    turned = [dict(reversed(record.items())) for record in records]
    np.testing.assert_array_equal(encode_rows(found, turned), expected)


def test_what_is_fitted() -> None:
    """Means and scales are those of the numbers; missing has its own place where there is one."""
    age, smokes, town = _fit().features
    assert age == NumericFeature(name="age", mean=30, scale=50**0.5, fill=30)
    assert smokes == BooleanFeature(name="smokes", fill=0.5)
    assert town == CategoricalFeature(
        name="town", categories=("Bonn", "Ulm"), missing="place", unknown="ignore"
    )
    assert _fit().width == 5
    assert places_of(_fit()) == (slice(0, 1), slice(1, 2), slice(2, 5))
    complete = FRAME.take(np.array([0, 3]))
    assert _fit(complete).features[2] == CategoricalFeature(
        name="town", categories=("Ulm",), missing="zeros", unknown="ignore"
    )
    assert Preprocessing.model_validate_json(_fit().model_dump_json()) == _fit()


def test_policies_of_missing_values() -> None:
    """A column's own policy goes before that of its kind."""
    policies = {"age": "zero", "town": "most_frequent", "smokes": "most_frequent"}
    age, smokes, town = _fit(missing=policies, standardise=False).features
    assert age == NumericFeature(name="age", fill=0)
    assert smokes == BooleanFeature(name="smokes", fill=1)
    assert town == CategoricalFeature(
        name="town", categories=("Bonn", "Ulm"), missing="fill", fill="Ulm", unknown="ignore"
    )
    median = _fit(numeric_missing="median", standardise=False).features[0]
    assert median == NumericFeature(name="age", fill=30)


@pytest.mark.parametrize("told", ["yes", "Yes", "no", True, 0, "false"])
def test_truths_are_taken_as_tables_spell_them(told: Any) -> None:
    """What makes a column boolean is understood in a prediction too."""
    preprocessing = Preprocessing(
        features=(BooleanFeature(name="b"),),
        target=Target(name="y", task="regression", classes=None),
    )
    expected = float(str(told).lower() in ("yes", "true"))
    assert encode_rows(preprocessing, [[told]]).tolist() == [[expected]]


@pytest.mark.parametrize("name", NAMES)
def test_missing_values_that_are_refused(name: str) -> None:
    """Where the policy is `error`, a training table with gaps is refused by the column's name."""
    with pytest.raises(InvalidField, match=f"rows without a value of '{name}': 1"):
        _fit(missing={name: "error"})


@pytest.mark.parametrize(("name", "policy"), [("age", "category"), ("town", "mean")])
def test_policies_that_do_not_suit(name: str, policy: str) -> None:
    """A policy for numbers is refused for categories, and the other way round."""
    with pytest.raises(InvalidField, match=f"'{policy}' does not suit") as caught:
        _fit(missing={name: policy})
    assert caught.value.at == ("preprocessing", "missing", name)


def test_a_column_without_a_value_is_refused() -> None:
    """Nothing can be learned from a column that is missing throughout."""
    with pytest.raises(InvalidField, match=r"'age'.*leave it out"):
        _fit(FRAME.take(np.array([1])))


def test_a_constant_column_is_scaled_by_one() -> None:
    """A tenth in every row becomes 0, not a rounding error over another."""
    frame = Frame((numbers("x", [0.1] * 10),))
    assert _fit(frame).features == (NumericFeature(name="x", mean=0.1, scale=1, fill=0.1),)
    assert not encode(_fit(frame), frame).any()


@given(
    rows=st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=1,
        max_size=5,
    )
)
@settings(deadline=None)
def test_numbers_as_they_are_stay_so(rows: list[list[float]]) -> None:
    """Without scaling each number is its float32, or the largest one where it is beyond."""
    found = encode_rows(numbers_as_they_are(("a", "b", "c")), rows)
    limit = float(np.finfo(np.float32).max)
    expected = np.clip(np.array(rows), -limit, limit).astype(np.float32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_huge_numbers_count_as_the_largest() -> None:
    """A difference that floats cannot hold is clipped too, in records as in rows."""
    scaled = Preprocessing(
        features=(
            NumericFeature(name="a", mean=-1e308, scale=1e-10),
            BooleanFeature(name="b", fill=0),
        ),
        target=BINARY,
    )
    limit = np.finfo(np.float32).max
    assert encode_rows(scaled, [[1.7e308, None]]).tolist() == [[limit, 0]]
    only = Preprocessing(features=scaled.features[:1], target=BINARY)
    assert encode_rows(only, [{"a": 1.7e308}]).tolist() == [[limit]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[30, True, "Bonn"]], [[0, 1, 1, 0, 0]]),
        ([[30, 0, "Ulm"]], [[0, 0, 0, 1, 0]]),
        ([[30, 1.0, None]], [[0, 1, 0, 0, 1]]),
        ([[None, "False", "Köln"]], [[0, 0, 0, 0, 0]]),
        ([[float("nan"), None, "Ulm"]], [[0, 0.5, 0, 1, 0]]),
    ],
)
def test_values_of_a_request(rows: Any, expected: Any) -> None:
    """Truths stand as such, as 0 and 1, or as text; gaps and unseen categories by the policies."""
    np.testing.assert_array_equal(encode_rows(_fit(), rows), expected)


@pytest.mark.parametrize(
    ("rows", "at", "message"),
    [
        ([[30, True, "Ulm"], [30, True]], (1,), "2 values for the 3 features age, smokes, town"),
        ([["30", True, "Ulm"]], (0, 0), "'age' is the text '30': a number is needed"),
        ([[True, True, "Ulm"]], (0, 0), "'age' is true: a number is needed"),
        ([[30, "maybe", "Ulm"]], (0, 1), "'smokes' is \"maybe\": true or false is needed"),
        ([[30, 2, "Ulm"]], (0, 1), "'smokes' is 2: true or false is needed"),
        ([[30, True, 3]], (0, 2), "'town' is 3: a category is needed, as text"),
        ([{"age": 30, "smokes": True}], (0, "town"), "'town' is missing"),
        (
            [{"age": 30, "smokes": True, "town": "Ulm", "zip": 1}],
            (0, "zip"),
            "the model has no feature 'zip'",
        ),
        ([{"age": "x", "smokes": True, "town": "Ulm"}], (0, "age"), "'age' is the text 'x'"),
    ],
)
def test_wrong_values_are_pointed_at(rows: Any, at: tuple[Any, ...], message: str) -> None:
    """What cannot be used is refused with its row, its feature, and what is needed."""
    with pytest.raises(InvalidField, match=message) as caught:
        encode_rows(_fit(), rows)
    assert caught.value.at == ("inputs", *at)


@pytest.mark.parametrize(
    ("row", "at"), [([None, True, "Ulm"], 0), ([30, None, "Ulm"], 1), ([30, True, None], 2)]
)
def test_missing_values_of_a_request_are_refused(row: Any, at: int) -> None:
    """Where the policy is `error`, a row with a gap is refused."""
    found = _fit(FRAME.take(np.array([0, 3])), numeric_missing="error", categorical_missing="error")
    with pytest.raises(InvalidField, match=f"the feature '{NAMES[at]}' is missing") as caught:
        encode_rows(found, [[30, True, "Ulm"], row])
    assert caught.value.at == ("inputs", 1, at)


def test_models_without_a_policy_refuse_missing_numbers() -> None:
    """A network that takes its rows as they are has nothing to stand in for null or NaN."""
    for missing in (None, MISSING):
        with pytest.raises(InvalidField, match="the feature 'b' is missing") as caught:
            encode_rows(numbers_as_they_are(("a", "b")), [[1.0, 2.0], [1.0, missing]])
        assert caught.value.at == ("inputs", 1, 1)


def test_unknown_categories_are_refused_where_asked() -> None:
    """With `unknown_categories: error` an unseen category is refused by its name."""
    found = _fit(unknown_categories="error")
    with pytest.raises(InvalidField, match="'Köln', which training has not seen") as caught:
        encode_rows(found, [[30, True, "Köln"]])
    assert caught.value.at == ("inputs", 0, 2)


def test_categories_that_look_like_numbers_may_come_as_numbers() -> None:
    """The JSON number 1 is the category "1"; a number that is none of them is unknown."""
    found = _fit(Frame((categories("code", ["1", "2", "10"]),)))
    assert encode_rows(found, [[1], [2.0], ["10"], [7]]).tolist() == [
        [1, 0, 0],
        [0, 0, 1],
        [0, 1, 0],
        [0, 0, 0],
    ]


def test_other_frames_are_mapped_by_name_and_text() -> None:
    """Columns in another order, other codes, numbers for categories: the texts decide."""
    found = _fit(Frame((numbers("n", [1, 3]), categories("c", ["1", "3"]))), standardise=False)
    other = Frame(
        (
            numbers("c", [3, MISSING, 1, 2]),
            categories("more", ["x"] * 4),
            numbers("n", [5, 6, MISSING, 8]),
        )
    )
    np.testing.assert_array_equal(
        encode(found, other), [[5, 0, 1], [6, 0, 0], [2, 1, 0], [8, 0, 0]]
    )
    coded = Column("c", "text", np.array([2, 1, 1, -1], np.int32), ("0", "1", "3"))
    swapped = Frame((coded, other.columns[2]))
    assert encode(found, swapped)[:, 1:].tolist() == [[0, 1], [1, 0], [1, 0], [0, 0]]


def test_truths_of_other_frames() -> None:
    """A column of truths may stand as 0 and 1, or as texts."""
    found = _fit(Frame((booleans("b", [True, False]),)))
    for column in (
        numbers("b", [1, 0, MISSING]),
        booleans("b", [True, False, None]),
        categories("b", ["TRUE", "false", None]),
    ):
        assert encode(found, Frame((column,))).tolist() == [[1], [0], [0.5]]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (categories("n", ["a", "b"]), "the column 'n' holds text: numbers are needed"),
        (numbers("b", [1, 2]), "row 2: 'b' is 2: true or false is needed"),
        (categories("b", ["true", "maybe"]), "row 2: 'b' is \"maybe\": true or false is needed"),
        (categories("c", ["x", "z"]), "row 2: 'c' is 'z', which training has not seen"),
        (categories("c", ["x", None]), "row 2: 'c' is missing"),
        (categories("d", ["x", "x"]), "there is no column 'c'"),
    ],
)
def test_other_frames_that_do_not_suit(column: Column, message: str) -> None:
    """A column of another kind, an unseen category or a gap is refused by row and name."""
    frame = Frame((numbers("n", [1, 2]), booleans("b", [True, False]), categories("c", ["x", "y"])))
    found = _fit(frame, unknown_categories="error", categorical_missing="error")
    columns = {c.name: c for c in frame.columns}
    if column.name == "d":
        columns.pop("c")
    other = Frame(tuple((columns | {column.name: column}).values()))
    with pytest.raises(InvalidField, match=message):
        encode(found, other)


def test_categories_that_no_row_has_are_not_unknown() -> None:
    """A frame's categories beyond those of its rows are not held against it."""
    found = _fit(Frame((categories("c", ["x", "y"]),)), unknown_categories="error")
    part = Frame((categories("c", ["x", "z", "y"]),)).take(np.array([0, 2]))
    assert encode(found, part).tolist() == [[1, 0], [0, 1]]


def test_answers_of_two_classes() -> None:
    """The second class is answered where its probability is over one half."""
    target = Target(name="y", task="binary", classes=("no", "yes"))
    found = answers(target, np.array([0.25, 0.5, 0.75], np.float32))
    assert found.predictions == ["no", "no", "yes"]
    assert found.probabilities is not None
    assert found.probabilities.tolist() == [0.25, 0.5, 0.75]


def test_answers_of_several_classes() -> None:
    """The most probable class is answered by its label, with every class's probability."""
    target = Target(name="y", task="multiclass", classes=(1, 2, 7))
    found = answers(target, np.array([[0.25, 0.25, 0.5], [0.5, 0.5, 0]], np.float32))
    assert found.predictions == [7, 1]
    assert found.probabilities is not None
    assert found.probabilities.tolist() == [[0.25, 0.25, 0.5], [0.5, 0.5, 0]]


def test_answers_of_a_regression() -> None:
    """Numbers are answered as they are, without probabilities."""
    target = Target(name="y", task="regression", classes=None)
    found = answers(target, np.array([1.5, -2], np.float32))
    assert list(found.predictions) == [1.5, -2.0]
    assert found.probabilities is None


@pytest.mark.parametrize("classes", [(3, 5), (False, True), (0.5, 1.5), ("no", "yes"), (1, 2.5)])
def test_answers_of_many_rows(classes: tuple[Label, ...]) -> None:
    """Many rows are given the classes that each by itself is given, of the same types."""
    target = Target(name="y", task="binary", classes=classes)
    outputs = np.linspace(0, 1, 2 * MANY, dtype=np.float32)
    labels = [answers(target, row).predictions[0] for row in outputs[:, None]]
    told = json.loads(orjson.dumps(answers(target, outputs)[0], option=orjson.OPT_SERIALIZE_NUMPY))
    assert list(map(repr, told)) == list(map(repr, labels))


def test_labels_keep_their_types() -> None:
    """True is not 1 in an answer, also after the card was stored as JSON."""
    target = Target(name="y", task="binary", classes=(False, True))
    again = Target.model_validate(json.loads(target.model_dump_json()))
    assert answers(again, np.array([0.9], np.float32)).predictions[0] is True


SQUARE = DerivedInput(function="square", of=("age",))
PRODUCT = DerivedInput(function="product", of=("smokes", "age"))
SINE = DerivedInput(function="sine", of=("age",))


def test_derived_inputs_follow_those_of_the_features() -> None:
    """Squares, products and sines are of what the features become: filled and standardised."""
    found = _fit(derived=(SQUARE, PRODUCT, SINE))
    plain = encode(_fit(), FRAME)
    encoded = encode(found, FRAME)
    assert found.width == encoded.shape[1] == plain.shape[1] + 3
    assert places_of(found) == places_of(_fit())
    np.testing.assert_array_equal(encoded[:, :-3], plain)
    age, smokes = plain[:, 0].astype(float), plain[:, 1].astype(float)
    expected = np.stack([age**2, smokes * age, np.sin(np.pi * age)], axis=1)
    np.testing.assert_array_equal(encoded[:, -3:], expected.astype(np.float32))
    rows = [list(record.values()) for record in FRAME.records(0, FRAME.rows)]
    np.testing.assert_array_equal(encode_rows(found, rows), encoded)


@given(rows=st.lists(st.tuples(st.floats(-1e30, 1e30), st.floats(-9, 9)), min_size=1, max_size=5))
def test_derived_inputs_are_the_same_on_every_way(rows: list[tuple[float, float]]) -> None:
    """Rows, a matrix and columns of numbers come to the same; too large a square is the largest."""
    features = (NumericFeature(name="a", mean=2, scale=3), NumericFeature(name="b"))
    derived = tuple(
        DerivedInput.model_validate({"function": function, "of": tuple(of)})
        for function, of in (("square", ["a"]), ("product", ["b", "a"]), ("sine", ["b"]))
    )
    preprocessing = Preprocessing(features=features, derived=derived, target=BINARY)
    found = encode_rows(preprocessing, rows)
    assert np.isfinite(found).all()
    matrix, every = np.array(rows), slice(0, len(rows))
    np.testing.assert_array_equal(encode_rows(preprocessing, rows, matrix), found)
    np.testing.assert_array_equal(encode_matrix(preprocessing, matrix, every), found)
    columns = {"a": matrix[:, 0], "b": matrix[:, 1]}
    np.testing.assert_array_equal(encode_columns(preprocessing, columns, every), found)


@pytest.mark.parametrize(
    ("function", "of", "told"),
    [
        ("square", ["a", "b"], "a square is of 1, not 2"),
        ("product", ["a"], "a product is of 2, not 1"),
        ("product", ["a", "a"], "two different features"),
    ],
)
def test_derived_inputs_of_too_few_or_too_many(function: str, of: list[str], told: str) -> None:
    """Each function takes as many features as it has operands."""
    with pytest.raises(ValueError, match=told):
        DerivedInput.model_validate({"function": function, "of": tuple(of)})
