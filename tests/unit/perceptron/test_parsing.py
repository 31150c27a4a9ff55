"""From files to frames, against the csv module, Polars' writers and numbers by hand."""

import csv
import io
import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perceptron.frames import Column, Frame
from perceptron.parsing import Limits, parse
from schemas.dataset import ColumnKind, DatasetOptions
from schemas.errors import InvalidField
from schemas.media_types import CSV, JSON, NDJSON, PARQUET

LIMITS = Limits(1_000, 50, 1_000_000)


@pytest.fixture
def table(tmp_path: Path) -> Any:
    """Give what writes a file and reads it as a table."""

    def read(
        data: bytes | str,
        media_type: str = CSV,
        limits: Limits = LIMITS,
        charset: str = "utf-8",
        **columns: ColumnKind,
    ) -> Frame:
        path = tmp_path / "table"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return parse(path, media_type, DatasetOptions(name="t", columns=columns), limits, charset)

    return read


def _parquet(columns: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(columns, **options).write_parquet(file)
    return file.getvalue()


def _cells(frame: Frame) -> list[list[Any]]:
    return [column.cells() for column in frame.columns]


def _kinds(frame: Frame) -> list[ColumnKind]:
    return [column.kind for column in frame.columns]


# CSV


def test_numbers_with_leading_zeros_stay_texts(table: Any) -> None:
    """Postal codes keep their zeros; single zeros and decimals are numbers as ever."""
    frame = table("zip,n,x\n00123,0,0.5\n20099,10,01.5\n00123,7,2\n")
    assert _cells(frame) == [["00123", "20099", "00123"], [0, 10, 7], [0.5, 1.5, 2]]
    assert _kinds(frame) == ["categorical", "numeric", "numeric"]
    asked = table("zip,n\n00123,1\n00124,2\n", zip="numeric")
    assert _cells(asked)[0] == [123, 124]


@pytest.mark.parametrize("text", ["n/a", "None", "#N/A", "<NA>", "Null"])
def test_more_words_for_missing(table: Any, text: str) -> None:
    """What other programs write for a missing number leaves the column numeric."""
    frame = table(f"x,y\n1,0\n{text},1\n3,0\n")
    assert _cells(frame)[0] == [1, None, 3]


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (["1", "2", "-", "4"], "numbers but for '-'"),
        (["1,5", "2,25", "1.000,0"], "decimal comma"),
        (["9007199254740993", "9007199254740992"], "beyond 2^53"),
        (["", ""], "no row has a value"),
        (["a", "b"], None),
        (["1", "2.5"], None),
    ],
)
def test_summaries_note_what_may_not_be_meant(
    table: Any, values: list[str], note: str | None
) -> None:
    """A column that is almost one of numbers, or too large to tell apart, says so."""
    rows = "".join(f'"{value}";k\n' for value in values)
    found = table(f"x;y\n{rows}").summaries()[0].note
    assert (found is None) if note is None else (found is not None and note in found)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a,b\r1,2\r", "carriage return"),
        ("a,b\nx\0y,2\n", "NUL character"),
        ("a\0,b\n1,2\n", "NUL character"),
    ],
)
def test_characters_that_cannot_be_stored_are_refused(table: Any, data: str, message: str) -> None:
    """Old Macs' line ends, and NUL in names and cells, are named."""
    with pytest.raises(InvalidField, match=message):
        table(data)


PEOPLE = "age,town,ill,born\n20,Ulm,true,2001-02-03\n,Bonn,false,\n40.5,Ulm,,1980-12-31\n"


def test_kinds_are_inferred(table: Any) -> None:
    """Numbers, words, truths and dates are told apart; what is empty is missing."""
    frame = table(PEOPLE)
    assert frame.names == ("age", "town", "ill", "born")
    assert _kinds(frame) == ["numeric", "categorical", "boolean", "text"]
    assert _cells(frame) == [
        [20, None, 40.5],
        ["Ulm", "Bonn", "Ulm"],
        [True, False, None],
        ["2001-02-03", None, "1980-12-31"],
    ]
    assert frame.column("town").categories == ("Bonn", "Ulm")
    assert Frame.from_bytes(frame.to_bytes()).sha256 == frame.sha256


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", ", "),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
        lambda text: text.replace("\nb", "\n\nb").replace("Ulm", '"Ulm"'),
    ],
    ids=["CRLF", "BOM", "semicolons", "tabs", "blanks", "no newline", "blank lines", "quotes"],
)
def test_dialects_of_csv(table: Any, change: Any) -> None:
    """Other delimiters, line ends, byte order marks, blanks and quotes change nothing."""
    assert table(change(PEOPLE)).to_bytes() == table(PEOPLE).to_bytes()


@pytest.mark.parametrize("marker", ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "?", " NA "])
def test_markers_of_missing_values(table: Any, marker: str) -> None:
    """The usual markers are missing, in numbers, words and truths alike."""
    frame = table(f"n,c,b\n1,x,true\n{marker},{marker},{marker}\n2,y,false\n")
    assert _kinds(frame) == ["numeric", "categorical", "boolean"]
    assert _cells(frame) == [[1, None, 2], ["x", None, "y"], [True, None, False]]


def test_quoted_newlines_and_delimiters(table: Any) -> None:
    """What is quoted may hold delimiters, quotes and newlines."""
    frame = table('a,b\n1,"x, ""y""\nz"\n2,w\n')
    assert _cells(frame) == [[1, 2], ['x, "y"\nz', "w"]]


def test_yes_and_no_are_truths(table: Any) -> None:
    """A column of yes and no is boolean, whatever its case; of three answers it is not."""
    frame = table("a,b\nYes,yes\nno,no\nNO,maybe\n")
    assert _kinds(frame) == ["boolean", "categorical"]
    assert _cells(frame)[0] == [True, False, False]


def test_a_column_without_a_value_is_kept_as_text(table: Any) -> None:
    """It says nothing, and is no feature."""
    frame = table("a,b\n1,\n2,\n")
    assert _kinds(frame) == ["numeric", "text"]
    assert frame.column("b").summary().missing == 2
    assert _kinds(table("a,b\n1,\n2,\n", b="numeric")) == ["numeric", "numeric"]


def test_free_text_has_many_different_values(table: Any) -> None:
    """Over a hundred values, most of them once, are text; a hundred are categories."""
    for different, rows, kind in (
        (100, 100, "categorical"),
        (101, 101, "text"),
        (101, 202, "categorical"),
    ):
        lines = [f"v{number % different}" for number in range(rows)]
        assert _kinds(table("\n".join(["name", *lines]))) == [kind]


def test_one_column_needs_no_delimiter(table: Any) -> None:
    """A file of one column is a table; a blank line is a missing value there."""
    assert _cells(table("x1\n1\n\n3\n")) == [[1, None, 3]]


def test_kinds_may_be_told(table: Any) -> None:
    """Codes stay as they are written, 0 and 1 may be truths, and texts numbers."""
    frame = table(
        "zip,flag,size,note\n007,0,1,a\n42,1, 2,b\n7,,x,a\n".replace("x", ""),
        zip="categorical",
        flag="boolean",
        size="numeric",
        note="text",
    )
    assert _kinds(frame) == ["categorical", "boolean", "numeric", "text"]
    assert _cells(frame) == [
        ["007", "42", "7"],
        [False, True, None],
        [1, 2, None],
        ["a", "b", "a"],
    ]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"c": "numeric"}, "the column 'c' cannot be numeric"),
        ({"c": "boolean"}, "the column 'c' cannot be boolean"),
        ({"n": "boolean"}, "the column 'n' cannot be boolean"),
        ({"d": "numeric"}, "the column 'd' cannot be numeric"),
        ({"x": "numeric"}, "there is no column 'x'"),
    ],
)
def test_kinds_that_do_not_suit(table: Any, told: dict[str, ColumnKind], message: str) -> None:
    """A kind that a column's values are not of is refused by its name."""
    with pytest.raises(InvalidField, match=message) as caught:
        table("c,n,d\nx,1,2020-01-01\n3,2,2020-01-02\n", **told)
    assert caught.value.at == ("columns", *told)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the table is empty"),
        (b"\n\n", "the table is empty"),
        (b"\xef\xbb\xbf", "the table is empty"),
        (b"a,b\n", "the table has no rows"),
        (b"a,b\n\n\n", "the table has no rows"),
        (b"a,,c\n1,2,3\n", "column 2 has no name"),
        (b"a,b, a\n1,2,3\n", "two columns are called 'a'"),
        (b"a," + b"b" * 129 + b"\n1,2\n", "column 2 has more than 128 characters"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 values, the first line 2"),
        (b'a,b\n1,"x\ny"\n3,4,5\n', "line 4 has 3 values, the first line 2"),
        (b'a,b\n1,"x\n', "line 2: unexpected end of data"),
        (b'a,b\n1,"x"y\n', "line 2: ',' expected after '\"'"),
        ("a,b\n1,é\n".encode("latin-1"), "line 2 is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1 is not UTF-8"),
        (b"a,b\n1,2\nx,\xff\n", "line 3 is not UTF-8"),
        (b"a,b\n1,2\ninf,3\n", "row 2 of the column 'a' is infinite"),
        (b"a,b\n1,1e999\n", "row 1 of the column 'b' is infinite"),
        (b"a,b\n1," + b"x" * 200_000 + b"\n", "field larger than field limit"),
    ],
)
def test_csv_that_is_no_table(table: Any, data: bytes, message: str) -> None:
    """Each is refused with what is wrong, and with its line where there is one."""
    with pytest.raises(InvalidField, match=message) as caught:
        table(data)
    assert caught.value.at == ("file",)


CITIES = '도시,말\n서울,똠방각하\n부산,"펲시,\n콜라"\n'


@pytest.mark.parametrize("charset", ["cp949", "utf-16", "utf-16-le", "utf-16-be", "utf-8"])
def test_csv_in_another_charset(table: Any, tmp_path: Path, charset: str) -> None:
    """The same text is the same table, with or without a byte order mark, and nothing is left."""
    expected = table(CITIES).to_bytes()
    for mark in ("", "\ufeff") if charset.startswith("utf-") else ("",):
        assert table((mark + CITIES).encode(charset), charset=charset).to_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


@pytest.mark.parametrize(
    ("charset", "data", "message"),
    [
        (
            "cp949",
            "가,나\n다,라\n".encode("cp949") + b"x,\xff\n",
            "line 3 is not CP949: .* at byte 14$",
        ),
        ("cp949", "가,나\n다,라".encode("cp949")[:-1], "line 2 is not CP949: .* at byte 9$"),
        ("cp949", "가,나\n다,라\n".encode(), "line 1 is not CP949: .* at byte"),
        ("utf-16", "a,나\n다,라\n".encode("utf-16")[:-1], "line 2 is not UTF-16: .* at byte 16$"),
        ("utf-16-le", "a,b\n1,".encode("utf-16-le") + b"\x00\xd8x\0", "line 2 is not UTF-16-LE"),
        ("utf-8", b"a,b\n1,\xff\n", "line 2 is not UTF-8: invalid start byte at byte 6$"),
        ("utf-16", "a,b\n1,2,3\n".encode("utf-16"), "line 2 has 3 values, the first line 2"),
        ("cp949", "가,나\n".encode("cp949") + b"1,2\n" * 1_001, "more than 1000 rows"),
        ("utf-16", ("x" * 1_000_000).encode("utf-16"), "more than 50 columns"),
    ],
)
def test_csv_that_is_not_in_its_charset(
    table: Any, tmp_path: Path, charset: str, data: bytes, message: str
) -> None:
    """What cannot be read is pointed at by line and byte; lines and limits are those of UTF-8."""
    with pytest.raises(InvalidField, match=message) as caught:
        table(data, charset=charset)
    assert caught.value.at == ("file",)
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=5)


@given(data=st.data())
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_the_csv_module_writes_is_read(table: Any, data: st.DataObject) -> None:
    """Numbers come back to the bit, and texts as they were but for blanks at their ends."""
    rows = data.draw(st.integers(1, 5))
    values = data.draw(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=rows, max_size=rows)
    )
    texts = data.draw(st.lists(TEXTS.map(lambda text: f"_{text}_"), min_size=rows, max_size=rows))
    file = io.StringIO()
    csv.writer(file).writerows([("n", "t"), *zip(map(repr, values), texts, strict=True)])
    frame = table(file.getvalue())
    np.testing.assert_array_equal(frame.column("n").values, values)
    assert frame.column("t").cells() == texts


@given(data=st.binary(max_size=60))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("media_type", [CSV, NDJSON, JSON, PARQUET])
def test_any_bytes_are_a_table_or_refused(table: Any, media_type: str, data: bytes) -> None:
    """Whatever is sent, nothing but a frame or InvalidField comes of it."""
    try:
        frame = table(data, media_type)
    except InvalidField:
        return
    assert Frame.from_bytes(frame.to_bytes()).rows == frame.rows >= 1


# Limits


def test_a_million_columns_are_refused(table: Any) -> None:
    """The width is seen before anything is read; a long first line is wide too."""
    wide = ",".join(f"x{number}" for number in range(1_000_000))
    for text in (wide + "\n" + "1," * 999_999 + "1\n", wide, "x" * 10_000_000, "a,b\n" + wide):
        with pytest.raises(InvalidField) as caught:
            table(text)
        assert caught.value.at == ("file",)
    with pytest.raises(InvalidField, match="more than 50 columns"):
        table(wide)
    with pytest.raises(InvalidField, match="line 2 has 1000000 values"):
        table("a,b\n" + wide)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(2, 50, 1_000), "more than 2 rows"),
        (Limits(3, 1, 1_000), "more than 1 columns"),
        (Limits(3, 2, 40), "more than 40 bytes of values"),
    ],
)
@pytest.mark.parametrize("media_type", [CSV, NDJSON, JSON, PARQUET])
def test_limits_of_every_form(table: Any, media_type: str, limits: Limits, message: str) -> None:
    """A table of 3 rows and 2 columns is refused where less is allowed, and taken where not."""
    records = [{"a": 1, "b": 2}] * 3
    data = {
        CSV: b"a,b\n" + b"1,2\n" * 3,
        NDJSON: b"\n".join(json.dumps(record).encode() for record in records),
        JSON: json.dumps(records).encode(),
        PARQUET: _parquet(records),
    }[media_type]
    with pytest.raises(InvalidField, match=message):
        table(data, media_type, limits)
    assert _cells(table(data, media_type, Limits(3, 2, 48))) == [[1, 1, 1], [2, 2, 2]]


def test_a_bomb_of_parquet_is_refused(table: Any) -> None:
    """A hundred million equal rows in some kilobytes are refused by the file's own description."""
    rows = 100_000_000
    data = _parquet({"a": pl.repeat(1, rows, dtype=pl.Int8, eager=True)})
    assert len(data) < 1_000_000
    with pytest.raises(InvalidField, match="more than 1000 rows"):
        table(data, PARQUET)
    with pytest.raises(InvalidField, match="more than 1000000 bytes of values"):
        table(data, PARQUET, Limits(2 * rows, 50, 1_000_000))


# Parquet


def test_types_of_parquet(table: Any) -> None:
    """Every type of single values has its kind."""
    data = _parquet(
        {
            "int": pl.Series([1, None], dtype=pl.Int16),
            "float": [0.5, float("nan")],
            "decimal": [Decimal("1.25"), None],
            "bool": [True, None],
            "text": ["x", None],
            "factor": pl.Series(["u", "v"], dtype=pl.Categorical),
            "date": [date(2020, 1, 2), None],
            "datetime": [datetime(2020, 1, 2, 3, 4), None],  # noqa: DTZ001
            "time": [time(3, 4), None],
            "duration": [timedelta(hours=1), None],
            "null": [None, None],
        }
    )
    frame = table(data, PARQUET)
    assert dict(zip(frame.names, _kinds(frame), strict=True)) == {
        "int": "numeric",
        "float": "numeric",
        "decimal": "numeric",
        "bool": "boolean",
        "text": "categorical",
        "factor": "categorical",
        "date": "text",
        "datetime": "text",
        "time": "text",
        "duration": "text",
        "null": "text",
    }
    assert _cells(frame)[:6] == [
        [1, None],
        [0.5, None],
        [1.25, None],
        [True, None],
        ["x", None],
        ["u", "v"],
    ]
    assert frame.column("date").cells() == ["2020-01-02", None]


@pytest.mark.parametrize(
    "values",
    [[[1, 2]], [{"a": 1}], [b"\x00"]],
)
def test_nested_columns_are_refused(table: Any, values: Any) -> None:
    """Lists, structures and bytes are no values of a table."""
    with pytest.raises(
        InvalidField, match="the column 'c' holds lists, records or bytes"
    ) as caught:
        table(_parquet({"n": [1], "c": values}), PARQUET)
    assert caught.value.at == ("file",)


def test_numbers_of_parquet_may_be_codes(table: Any) -> None:
    """Whole numbers become texts without a point, also as floats."""
    data = _parquet({"a": [3.0, None, 10.0], "b": [True, False, None], "c": [0.5, 2.0, 1e300]})
    frame = table(data, PARQUET, a="categorical", b="categorical", c="text")
    assert _cells(frame) == [
        ["3", None, "10"],
        ["true", "false", None],
        ["0.5", "2", "1e+300"],
    ]
    assert frame.column("a").categories == ("10", "3")


@pytest.mark.parametrize("cut", [0, 3, 10, 100, -1])
def test_cut_parquet_is_refused(table: Any, cut: int) -> None:
    """What is no whole file is refused."""
    with pytest.raises(InvalidField) as caught:
        table(_parquet({"a": [1, 2], "b": ["x", "y"]})[:cut], PARQUET)
    assert caught.value.at == ("file",)


def test_infinite_numbers_of_parquet_are_refused(table: Any) -> None:
    """An infinite number is pointed at by its row."""
    with pytest.raises(InvalidField, match="row 2 of the column 'a' is infinite"):
        table(_parquet({"a": [1.0, float("-inf")]}), PARQUET)


# JSON


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_records(table: Any, media_type: str) -> None:
    """Records keep their types; what a record lacks or has as null is missing."""
    records = [
        {"n": 1, "c": "x", "b": True},
        {"n": 2.5, "c": None},
        {"c": "서울", "b": False, "late": 3},
    ]
    text = (
        json.dumps(records)
        if media_type == JSON
        else "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    )
    frame = table(text, media_type)
    assert frame.names == ("n", "c", "b", "late")
    assert _kinds(frame) == ["numeric", "categorical", "boolean", "numeric"]
    assert _cells(frame) == [
        [1, 2.5, None],
        ["x", None, "서울"],
        [True, None, False],
        [None, None, 3],
    ]


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        (JSON, b"[]"),
        (JSON, b"[{}]"),
        (JSON, b"[1, 2]"),
        (JSON, b'[{"a": 1}, 3]'),
        (JSON, b"nope"),
        (JSON, b'[{"a": [1]}]'),
        (JSON, b'[{"a": {"b": 1}}]'),
        (JSON, b'[{"a": "\xff"}]'),
        (JSON, b'[{"": 1}]'),
        (NDJSON, b""),
        (NDJSON, b'{"a": 1}\n[2]\n'),
        (NDJSON, b'{"a": 1}\n{"a": \n'),
        (NDJSON, b'{"a": [1]}\n'),
        (NDJSON, b'{"a": "\xff"}\n'),
    ],
)
def test_json_that_is_no_table(table: Any, media_type: str, data: bytes) -> None:
    """What are no records of single values is refused."""
    with pytest.raises(InvalidField) as caught:
        table(data, media_type)
    assert caught.value.at == ("file",)


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_dates_of_json_are_text(table: Any, media_type: str) -> None:
    """Texts that begin with a date are dates or times; a word among them makes them categories."""
    first = {"day": "2020-01-31", "at": "2020-01-31T10:00:00Z", "word": "2020-01-31"}
    second = {"day": "1999-12-31", "at": "2020-01-31 10:00", "word": "never"}
    lines = [json.dumps(first), json.dumps(second)]
    text = f"[{','.join(lines)}]" if media_type == JSON else "\n".join(lines)
    assert _kinds(table(text, media_type)) == ["text", "text", "categorical"]


def test_codes_are_sorted_as_python_sorts(table: Any) -> None:
    """Categories are in the order of their characters' numbers, beyond the first plane too."""
    texts = ["b", "B", "é", "\U0001f600", "\uffee", "", "a"]
    column: Column = table(json.dumps([{"c": text} for text in texts]), JSON).column("c")
    assert list(column.categories) == sorted(texts)
    assert column.cells() == texts
