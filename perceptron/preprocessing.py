"""The one path from a table's values to the network's input, and from its output to answers."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
import numpy.typing as npt

from perceptron.frames import FLOAT32_MAX, TRUTHS, Column, Frame, as_number, moments, spelled
from perceptron.layers import FloatArray
from perceptron.tensors import Values
from schemas.dataset import Cell, ColumnKind, ToldCell
from schemas.errors import InvalidField
from schemas.preprocessing import (
    BooleanFeature,
    CategoricalFeature,
    CategoricalMissing,
    Feature,
    Label,
    NumericFeature,
    NumericMissing,
    Preprocessing,
    PreprocessingConfig,
    Target,
    feature_width,
)

Row = Sequence[Cell] | Mapping[str, Cell]
Refuse = Callable[[int, str], InvalidField]
"""Makes the error for a row's value, and what is wrong with it."""

Scaling = tuple[Sequence[float], Sequence[float]]
"""Means and scales, one of each for a feature."""
NUMBERS = frozenset((int, float))
SEQUENCES = frozenset((list, tuple))
NO_PLACE = -1
"""What stands for a category that is none of the places."""

Labels = npt.NDArray[Any] | list[Label]
MANY = 100
"""Labels that are faster looked up in an array."""

BOOLEANS: Mapping[Cell, float] = {1.0: 1.0, 0.0: 0.0, **{t: float(b) for t, b in TRUTHS.items()}}
"""What counts as true and as false; True and False equal 1 and 0."""


class Answers(NamedTuple):
    """What clients see of a network's output."""

    predictions: Labels
    """Shape (rows,)."""
    probabilities: FloatArray | None
    """Of the second class, (rows,), or of each one, (rows, classes); None for regression."""


# Fitting


def fit(
    frame: Frame,
    features: Sequence[str],
    target: Target,
    config: PreprocessingConfig,
    *,
    standardise: bool,
) -> Preprocessing:
    """
    Learn from the training rows what their features need.

    Raises: InvalidField where a policy does not suit its column, or its column has no values.
    """
    fitted = [
        _fit_feature(frame.column(name), config, standardise=standardise) for name in features
    ]
    return Preprocessing(features=tuple(fitted), derived=config.derived, target=target)


def _fit_feature(column: Column, config: PreprocessingConfig, *, standardise: bool) -> Feature:
    policy = missing_policy(column.name, column.kind, config)
    if policy == "error" and column.missing.any():
        raise no_policy(column.name, column.kind, int(column.missing.sum()), config)
    if not (~column.missing).any():
        raise InvalidField(
            f"no training row has a value of {column.name!r}: leave it out", "dataset"
        )
    if column.kind == "numeric":
        return _fit_numeric(column, policy, standardise=standardise)
    if column.kind == "boolean":
        return _fit_boolean(column, policy)
    return _fit_categorical(column, policy, config)


def missing_policy(
    name: str, kind: ColumnKind, config: PreprocessingConfig
) -> NumericMissing | CategoricalMissing:
    """
    Say what stands in for a column's missing values.

    Raises: InvalidField where the policy that is asked for suits other kinds of columns only.
    """
    is_numeric = kind == "numeric"
    policy = config.missing.get(
        name, config.numeric_missing if is_numeric else config.categorical_missing
    )
    suited = get_args(NumericMissing if is_numeric else CategoricalMissing)
    if policy not in suited:
        raise InvalidField(
            f"{policy!r} does not suit the {kind} column {name!r}: choose {', '.join(suited)}",
            "preprocessing",
            "missing",
            name,
        )
    return policy


def no_policy(name: str, kind: ColumnKind, rows: int, config: PreprocessingConfig) -> InvalidField:
    """Say that rows without a value are refused, where the request asks for that."""
    detail = f"rows without a value of {name!r}: {rows}, and its policy for those is `error`"
    if name in config.missing:
        return InvalidField(detail, "preprocessing", "missing", name)
    group = "numeric_missing" if kind == "numeric" else "categorical_missing"
    return InvalidField(detail, "preprocessing", group)


def _fit_numeric(column: Column, policy: str, *, standardise: bool) -> NumericFeature:
    present = column.values[~column.missing]
    fills: Mapping[str, Callable[[], float | None]] = {
        "mean": lambda: moments(present)[0],
        "median": lambda: float(np.median(present)),
        "zero": lambda: 0.0,
        "error": lambda: None,
    }
    fill = fills[policy]()
    if not standardise:
        return NumericFeature(name=column.name, fill=fill)
    filled = column.values if fill is None else np.where(column.missing, fill, column.values)
    mean, deviation = moments(filled)
    return NumericFeature(name=column.name, mean=mean, scale=deviation or 1.0, fill=fill)


def _fit_boolean(column: Column, policy: str) -> BooleanFeature:
    """Fit true and false; where missing is a value of its own, it is halfway between them."""
    present = column.values[~column.missing]
    fills = {"category": 0.5, "most_frequent": float(present.mean() > 0.5)}
    return BooleanFeature(name=column.name, fill=fills.get(policy))


def _fit_categorical(
    column: Column, policy: str, config: PreprocessingConfig
) -> CategoricalFeature:
    present = column.values[~column.missing]
    counts = np.bincount(present, minlength=len(column.categories))
    known = zip(column.categories, counts.tolist(), strict=True)
    missing: Mapping[str, Literal["place", "zeros", "fill", "error"]] = {
        "category": "place" if len(present) < len(column.values) else "zeros",
        "most_frequent": "fill",
        "error": "error",
    }
    return CategoricalFeature(
        name=column.name,
        categories=tuple(text for text, rows in known if rows),
        missing=missing[policy],
        fill=column.categories[int(counts.argmax())] if policy == "most_frequent" else None,
        unknown=config.unknown_categories,
    )


# From columns to numbers


def places_of(preprocessing: Preprocessing) -> tuple[slice, ...]:
    """Say which of the network's inputs each feature becomes; behind them are derived ones."""
    ends = np.cumsum([feature_width(feature) for feature in preprocessing.features]).tolist()
    return tuple(slice(start, end) for start, end in pairwise([0, *ends]))


def places_by_name(preprocessing: Preprocessing) -> dict[str, slice]:
    """Say which of the network's inputs each feature becomes, by the feature's name."""
    return dict(zip(preprocessing.feature_names, places_of(preprocessing), strict=True))


def with_derived(
    preprocessing: Preprocessing, encoded: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """
    Put the derived inputs behind those of the features: computed in doubles from what these are.

    One beyond a float32's range counts as its largest. Shapes: (rows, inputs of the features) →
    (rows, width).
    """
    if not preprocessing.derived:
        return encoded
    places = places_by_name(preprocessing)
    found = np.empty((len(encoded), preprocessing.width), np.float32)
    found[:, : encoded.shape[1]] = encoded
    for place, derived in enumerate(preprocessing.derived, encoded.shape[1]):
        values = [encoded[:, places[name].start].astype(np.float64) for name in derived.of]
        with np.errstate(invalid="ignore"):  # what is not finite is refused as the feature's
            is_sine = derived.function == "sine"
            x = np.sin(np.pi * values[0]) if is_sine else values[0] * values[-1]
        found[:, place] = _in_range(x)
    return found


def encode(
    preprocessing: Preprocessing, frame: Frame, *, first_row: int = 0
) -> npt.NDArray[np.float32]:
    """
    Turn the rows of a frame into the network's input.

    Columns are found by their names and categories by their texts, whatever the frame's own order
    of either; categories may stand as numbers, and truths as 0 and 1 or as texts. `first_row` is
    the number of the frame's first row in the table that it is a part of.

    Shapes: → (rows, width). Raises: InvalidField for a column, or a value, that cannot be used.
    """
    encoded = _room(preprocessing, frame.rows)
    for feature, place in zip(preprocessing.features, places_of(preprocessing), strict=True):
        column = frame.column(feature.name)
        refuse = _refuse_row(feature, first_row)
        if isinstance(feature, CategoricalFeature):
            _put_places(_places_of_column(feature, column, refuse), encoded[:, place])
        else:
            values = _values_of_column(feature, column, refuse)
            with np.errstate(over="ignore"):
                encoded[:, place.start] = _numbers(feature, values, refuse)
    return with_derived(preprocessing, encoded)


def _room(preprocessing: Preprocessing, rows: int) -> npt.NDArray[np.float32]:
    """Make room for the inputs that the features become."""
    return np.empty((rows, preprocessing.width - len(preprocessing.derived)), np.float32)


def _values_of_column(
    feature: NumericFeature | BooleanFeature, column: Column, refuse: Refuse
) -> npt.NDArray[np.float64]:
    """Give a column's numbers, or its truths as 0 and 1; NaN where missing. Shape (rows,)."""
    if isinstance(feature, NumericFeature):
        if column.is_coded:
            raise InvalidField(f"the column {column.name!r} holds text: numbers are needed")
        return np.asarray(column.values, np.float64)
    if column.is_coded:
        known = [BOOLEANS.get(text.lower(), -1.0) for text in column.categories]
        values: npt.NDArray[np.float64] = np.array([*known, np.nan])[column.values]
    else:
        values = np.asarray(column.values, np.float64)
    other = np.flatnonzero(~np.isnan(values) & (values != 0) & (values != 1))
    if len(other):
        told = column._replace(values=column.values[other[:1]]).cells()[0]
        raise refuse(int(other[0]), f"is {_quoted(told)}: true or false is needed")
    return values


def _refuse_row(feature: Feature, first_row: int = 0) -> Refuse:
    return lambda row, why: InvalidField(f"row {first_row + row + 1}: {feature.name!r} {why}")


def _numbers(
    feature: NumericFeature | BooleanFeature,
    values: npt.NDArray[np.float64],
    refuse: Refuse,
) -> npt.NDArray[np.float64]:
    """Fill what is missing, and scale. Shape (rows,)."""
    missing = np.isnan(values)
    if missing.any():
        if feature.fill is None:
            raise refuse(int(missing.argmax()), "is missing")
        values = np.where(missing, feature.fill, values)
    if isinstance(feature, NumericFeature):
        return (values - feature.mean) / feature.scale
    return values


def _places_of_column(
    feature: CategoricalFeature, column: Column, refuse: Refuse
) -> npt.NDArray[np.int64]:
    """Give each row's place among the categories, −1 where it has none. Shape (rows,)."""
    values, first_rows, places = np.unique(column.values, return_index=True, return_inverse=True)
    cells = column._replace(values=values).cells()
    find = _finder(feature)
    found = [find(cell, row, refuse) for cell, row in zip(cells, first_rows.tolist(), strict=True)]
    return np.asarray(np.array(found, np.int64)[places], np.int64)


def _finder(feature: CategoricalFeature) -> Callable[[ToldCell, int, Refuse], int]:
    """Give what finds a value's place among the categories, −1: it has none, or refuses it."""
    places = {text: place for place, text in enumerate(feature.categories)}
    places_of_missing: Mapping[str, int] = {
        "place": len(places),
        "zeros": NO_PLACE,
        "fill": places.get(feature.fill or "", NO_PLACE),
    }

    def find(cell: ToldCell, row: int, refuse: Refuse) -> int:
        if cell is None:
            if feature.missing == "error":
                raise refuse(row, "is missing")
            return places_of_missing[feature.missing]
        text = spelled(cell)
        place = places.get(text)
        if place is not None:
            return place
        if feature.unknown == "error":
            raise refuse(row, f"is {text!r}, which training has not seen")
        return NO_PLACE

    return find


def _put_places(places: npt.NDArray[np.int64], encoded: npt.NDArray[np.float32]) -> None:
    """Write a 1 into each row's place, 0 elsewhere. Shapes: (rows,), (rows, places)."""
    encoded[:] = 0
    rows = np.flatnonzero(places >= 0)
    encoded[rows, places[rows]] = 1


# From a request's rows to numbers


def encode_rows(
    preprocessing: Preprocessing,
    rows: Sequence[Row],
    numbers: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float32]:
    """
    Turn the rows of a request, by position or by name, into the network's input.

    `numbers` are the same rows, shape (rows, values), where they are finite numbers throughout and
    that is known already. A number beyond a float32's range counts as its largest. Shapes: → (rows,
    width). Raises: InvalidField that points at the value.
    """
    scaling = preprocessing.scaling
    if scaling is not None and numbers is not None and numbers.shape[1] == len(scaling[0]):
        return with_derived(preprocessing, _scaled(scaling, numbers))
    table = _in_order(preprocessing.feature_names, rows)
    encoded = None if scaling is None else _scaled_rows(scaling, table)
    if encoded is None:
        return _column_by_column(preprocessing, table, rows)
    return with_derived(preprocessing, encoded)


def _scaled_rows(
    scaling: Scaling, table: Sequence[Sequence[Cell]]
) -> npt.NDArray[np.float32] | None:
    """Scale rows that are numbers throughout; None where they are not."""
    if len(table) == 1:
        return _scaled_row(scaling, table[0])
    numbers = as_numbers(table)
    return None if numbers is None or np.isnan(numbers).any() else _scaled(scaling, numbers)


def as_numbers(
    rows: Sequence[Sequence[Any]], *, are_numbers: bool = False
) -> npt.NDArray[np.float64] | None:
    """
    Take rows of one length as an array; None where they are not numbers throughout.

    `are_numbers`: that they hold neither truths nor texts is known already.
    Shapes: → (rows, values).
    """
    cells = chain.from_iterable
    if not (are_numbers or NUMBERS.issuperset(map(type, cells(rows)))):
        return None
    try:
        return np.fromiter(cells(rows), np.float64).reshape(len(rows), -1)
    except OverflowError:  # an integer beyond all floats
        return None


def _scaled_row(scaling: Scaling, cells: Sequence[Cell]) -> npt.NDArray[np.float32] | None:
    """Do as `as_numbers` and `_scaled`, in a third of the time for one row; None for no number."""
    if not NUMBERS.issuperset(map(type, cells)):
        return None
    numbers = cast(Sequence[float], cells)
    try:
        values = [(x - mean) / scale for x, mean, scale in zip(numbers, *scaling, strict=True)]
    except OverflowError:  # an integer beyond all floats
        return None
    if any(map(math.isnan, values)):
        return None
    return np.array([[min(max(x, -FLOAT32_MAX), FLOAT32_MAX) for x in values]], np.float32)


def _scaled(scaling: Scaling, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    means, scales = scaling
    with np.errstate(over="ignore"):
        values = numbers - means
        return _in_range(np.divide(values, scales, values))


def _in_range(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    # As `clip` does, in less time for one row.
    return np.maximum(np.minimum(values, FLOAT32_MAX), -FLOAT32_MAX).astype(np.float32)


def _column_by_column(
    preprocessing: Preprocessing, table: Sequence[Sequence[Cell]], rows: Sequence[Row]
) -> npt.NDArray[np.float32]:
    encoded = _room(preprocessing, len(table))
    columns = zip(*table, strict=True)
    places = places_of(preprocessing)
    for index, (feature, place) in enumerate(zip(preprocessing.features, places, strict=True)):
        refuse = _refuse_input(feature, index, rows)
        _encode_cells(feature, next(columns), refuse, encoded[:, place])
    return with_derived(preprocessing, encoded)


def _encode_cells(
    feature: Feature, cells: Values, refuse: Refuse, encoded: npt.NDArray[np.float32]
) -> None:
    """Write what a feature's values become. Shapes: (rows,), (rows, width of the feature)."""
    if isinstance(feature, CategoricalFeature):
        _put_places(_places_of_cells(feature, cells, refuse), encoded)
    else:
        values = _values_of_cells(feature, cells, refuse)
        with np.errstate(over="ignore"):
            encoded[:, 0] = _in_range(_numbers(feature, values, refuse))


def _refuse_input(feature: Feature, index: int, rows: Sequence[Row]) -> Refuse:
    def refuse(row: int, why: str) -> InvalidField:
        place = feature.name if isinstance(rows[row], Mapping) else index
        return InvalidField(f"the feature {feature.name!r} {why}", "inputs", row, place)

    return refuse


def _places_of_cells(
    feature: CategoricalFeature, cells: Values, refuse: Refuse
) -> npt.NDArray[np.int64]:
    """Give each value's place among the categories; words are not asked for as numbers."""
    if isinstance(cells, np.ndarray):
        return _places_of_array(feature, cells, refuse)
    find = _finder(feature)
    known: dict[tuple[type, Cell], int] = {}
    places = []
    for row, cell in enumerate(cells):
        key = (type(cell), cell)
        if key not in known:
            known[key] = find(cell, row, refuse)
            is_number = isinstance(cell, bool | int | float)
            if is_number and known[key] == NO_PLACE and not _has_numbers(feature):
                raise refuse(row, f"is {_quoted(cell)}: a category is needed, as text")
        places.append(known[key])
    return np.array(places, np.int64)


def _places_of_array(
    feature: CategoricalFeature, values: npt.NDArray[Any], refuse: Refuse
) -> npt.NDArray[np.int64]:
    """Give each value's place, looking only once for those that are equal."""
    different, first_rows, places = np.unique(values, return_index=True, return_inverse=True)
    cells = [None if cell != cell else cell for cell in different.tolist()]  # noqa: PLR0124  # NaN

    def refuse_first(number: int, why: str) -> InvalidField:
        return refuse(int(first_rows[number]), why)

    return _places_of_cells(feature, cells, refuse_first)[places]


def _has_numbers(feature: CategoricalFeature) -> bool:
    """Whether some category is written as a number is."""
    return any(text.lstrip("-").replace(".", "", 1).isdecimal() for text in feature.categories)


def _values_of_cells(
    feature: NumericFeature | BooleanFeature, cells: Values, refuse: Refuse
) -> npt.NDArray[np.float64]:
    """Give a feature's numbers, or its truths as 0 and 1; NaN where missing. Shape (rows,)."""
    if isinstance(cells, np.ndarray):
        if isinstance(feature, NumericFeature) != (cells.dtype == np.bool_):
            return cells.astype(np.float64)
        cells = cells.tolist()
    if isinstance(feature, NumericFeature) and set(map(type, cells)) <= NUMBERS:
        return np.array(cells, np.float64)
    return np.array(
        [_value(feature, cell, row, refuse) for row, cell in enumerate(cells)], np.float64
    )


def _value(feature: NumericFeature | BooleanFeature, cell: Cell, row: int, refuse: Refuse) -> float:
    if cell is None or cell != cell:  # noqa: PLR0124  # NaN
        return math.nan
    if isinstance(feature, BooleanFeature):
        truth = BOOLEANS.get(cell.lower() if isinstance(cell, str) else cell)
        if truth is None:
            raise refuse(row, f"is {_quoted(cell)}: true or false is needed")
        return truth
    if isinstance(cell, str):
        raise refuse(row, f"is the text {cell!r}: a number is needed")
    if isinstance(cell, bool):
        raise refuse(row, f"is {spelled(cell)}: a number is needed")
    return float(cell)


def _quoted(cell: ToldCell) -> str:
    """Write a value as JSON does."""
    return json.dumps(as_number(cell) if isinstance(cell, float) else cell, ensure_ascii=False)


def _in_order(names: Sequence[str], rows: Sequence[Row]) -> Sequence[Sequence[Cell]]:
    """Bring rows or records into the order of the features. Raises: InvalidField."""
    if set(map(type, rows)) <= SEQUENCES and set(map(len, rows)) == {len(names)}:
        return cast(Sequence[Sequence[Cell]], rows)
    known = frozenset(names)
    return [
        _from_record(row, names, known, index)
        if isinstance(row, Mapping)
        else _checked(row, names, index)
        for index, row in enumerate(rows)
    ]


def _checked(row: Sequence[Cell], names: Sequence[str], index: int) -> Sequence[Cell]:
    if len(row) != len(names):
        raise InvalidField(
            f"{len(row)} values for the {len(names)} features {', '.join(names)}", "inputs", index
        )
    return row


def _from_record(
    record: Mapping[str, Cell], names: Sequence[str], known: frozenset[str], index: int
) -> list[Cell]:
    if record.keys() == known:
        return [record[name] for name in names]
    for name in record:
        if name not in known:
            raise InvalidField(f"the model has no feature {name!r}", "inputs", index, name)
    missing = next(name for name in names if name not in record)
    raise InvalidField(f"the feature {missing!r} is missing", "inputs", index, missing)


# From tensors to numbers


def encode_matrix(
    preprocessing: Preprocessing, numbers: npt.NDArray[Any], rows: slice
) -> npt.NDArray[np.float32]:
    """
    Turn some rows of numbers, by the order of features that are all numeric, into the input.

    Shapes: (all rows, features) → (rows, width). Raises: InvalidField for NaN, where nothing
    stands in for a missing value.
    """
    found = numbers[rows].astype(np.float64)
    if math.isnan(np.minimum.reduce(found, axis=None)):  # NaN survives
        _fill(preprocessing, found, rows.start)
    if preprocessing.scaling is None:
        raise ValueError("not all of the features are numbers")
    return with_derived(preprocessing, _scaled(preprocessing.scaling, found))


def _fill(preprocessing: Preprocessing, found: npt.NDArray[np.float64], first: int) -> None:
    """Put in what stands in for missing numbers. Shape (rows, features)."""
    for index in np.flatnonzero(np.isnan(found).any(0)).tolist():
        feature = preprocessing.features[index]
        fill = getattr(feature, "fill", None)
        missing = np.isnan(found[:, index])
        if fill is None:
            raise _refuse_row(feature, first)(int(missing.argmax()), "is missing")
        found[missing, index] = fill


def encode_columns(
    preprocessing: Preprocessing, columns: Mapping[str, Values], rows: slice
) -> npt.NDArray[np.float32]:
    """
    Turn some rows of columns, one for each feature by its name, into the network's input.

    A column is an array, or cells as those of a request's rows. Shapes: → (rows, width).
    Raises: InvalidField.
    """
    encoded = _room(preprocessing, rows.stop - rows.start)
    for feature, place in zip(preprocessing.features, places_of(preprocessing), strict=True):
        refuse = _refuse_row(feature, rows.start)
        _encode_cells(feature, columns[feature.name][rows], refuse, encoded[:, place])
    return with_derived(preprocessing, encoded)


# From the network's output to answers


def answers(target: Target, outputs: FloatArray) -> Answers:
    """
    Say what the network's output means.

    Shapes: outputs (rows,) for one output unit, (rows, classes) for several.
    """
    told = np.ascontiguousarray(outputs)
    if target.classes is None:
        return Answers(told, None)
    return Answers(_labels(target.classes, chosen(target, outputs)), told)


def _labels(classes: tuple[Label, ...], numbers: npt.NDArray[np.int64]) -> Labels:
    """Give each row its class: as an array where there are many of one kind of number."""
    if len(numbers) >= MANY and len(set(map(type, classes))) == 1:
        labels = np.array(classes)
        if labels.dtype.kind in "bif":
            found: npt.NDArray[Any] = labels[numbers]
            return found
    return list(map(classes.__getitem__, numbers.tolist()))


def chosen(target: Target, outputs: FloatArray) -> npt.NDArray[np.int64]:
    """Give the number of the class that each row is taken for. Shape (rows,)."""
    numbers = outputs > 0.5 if target.task == "binary" else outputs.argmax(1)
    return numbers.astype(np.int64)
