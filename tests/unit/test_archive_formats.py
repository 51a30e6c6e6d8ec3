"""Rows as CSV, JSON lines and Parquet."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest

from service.archive.formats import ROWS_A_GROUP, write
from service.archive.reports import report_name
from service.archive.rows import Column, columns, printable, refused, to_line
from service.archive.sources import Source
from service.errors import NotAnImage
from service.network.answer import ModelAnswer

MODEL = ModelAnswer(
    name="demo",
    version="1",
    weights="demo",
    weights_sha256="00",
    runtime="openvino",
    precision="int8",
    demo=True,
)
COLUMNS = (
    Column("path", "text"),
    Column("p", "number"),
    Column("width", "count"),
    Column("positive", "decision"),
    Column("warnings", "texts"),
)
ROWS = [
    {"path": "a.png", "p": 0.1, "width": 224, "positive": False, "warnings": ["one", "two"]},
    {"path": "ä,b\n.png", "p": 1e-8, "width": 3, "positive": True, "warnings": []},
    {"path": "gone.png"},
]


def written(form, rows=ROWS, columns=COLUMNS):
    out = io.BytesIO()
    write(form, [to_line(row, columns) for row in rows], columns, out)
    return out.getvalue()


def test_csv_is_read_back_by_a_csv_reader():
    """Cells are quoted where they must be; what is not there is empty."""
    rows = list(csv.reader(io.StringIO(written("csv").decode(), newline="")))
    assert rows == [
        ["path", "p", "width", "positive", "warnings"],
        ["a.png", "0.1", "224", "false", "one | two"],
        ["ä,b\n.png", "1e-08", "3", "true", ""],
        ["gone.png", "", "", "", ""],
    ]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_holds_no_formula(first):
    """Text that a spreadsheet would run gets an apostrophe in front."""
    data = written("csv", [{"path": f"{first}cmd|' /C calc'!A0", "warnings": [f"{first}1"]}])
    (row,) = list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]
    assert row == [f"'{first}cmd|' /C calc'!A0", "", "", "", f"'{first}1"]


def test_json_lines_have_every_column():
    """A row is one object with all columns, null where there is nothing."""
    rows = [json.loads(line) for line in written("jsonl").decode().split("\n")[:-1]]
    assert rows == [{name: row.get(name) for name in rows[0]} for row in ROWS]
    assert list(rows[2]) == [column.name for column in COLUMNS]


def test_parquet_is_read_back_as_it_was(tmp_path):
    """Columns keep their types, numbers their float32 values, and groups their size."""
    many = [ROWS[number % 3] | {"path": str(number)} for number in range(ROWS_A_GROUP + 2)]
    (tmp_path / "rows.parquet").write_bytes(written("parquet", many))
    file = pq.ParquetFile(tmp_path / "rows.parquet")
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
    assert sizes == [ROWS_A_GROUP, 2]
    assert [str(kind) for kind in file.schema_arrow.types] == [
        "string",
        "float",
        "int32",
        "bool",
        "list<element: string>",
    ]
    found = file.read().to_pylist()
    assert [row["path"] for row in found] == [str(number) for number in range(len(many))]
    assert found[0]["p"] == pytest.approx(0.1, rel=1e-7)
    assert found[2] == {"path": "2", "p": None, "width": None, "positive": None, "warnings": None}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_the_same_rows_are_the_same_bytes(form):
    """Nothing of when or where goes into a file."""
    assert written(form) == written(form)


def test_columns_are_named_for_the_findings():
    """How unusual the image is comes first; then each finding that the weights name has its three
    columns, and spaces become underscores."""
    names = [column.name for column in columns(["Lung Opacity", "", "Pneumonia"])]
    assert names[:9] == [
        "path",
        "status",
        "message",
        "input_verdict",
        "input_distance",
        "input_reasons",
        "Lung_Opacity_probability",
        "Lung_Opacity_score",
        "Lung_Opacity_positive",
    ]
    assert names[11] == "Pneumonia_positive"
    assert names[-1] == "warnings"


def test_a_refused_file_says_why():
    """Its row has the error's code and sentence, and which model it would have been."""
    row = refused(Source("x.png", "/x.png"), NotAnImage("No image."), MODEL)
    assert row == {
        "path": "x.png",
        "status": "not_an_image",
        "message": "No image.",
        "model": "demo",
        "model_version": "1",
        "runtime": "openvino",
        "precision": "int8",
    }


def test_a_name_that_is_no_text_is_written_with_its_bytes():
    """Bytes that are no UTF-8 are escaped, so that every format can hold them."""
    assert printable("caf\udce9.png") == "caf\\xe9.png"


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("a/b.dcm", "a/b.dcm.sr.dcm"),
        ("./a//b", "a/b.sr.dcm"),
        ("../up.dcm", "elsewhere/61adc6a4.sr.dcm"),
        ("/etc/x.dcm", "elsewhere/61adc6a4.sr.dcm"),
        ("y" * 250, "elsewhere/61adc6a4.sr.dcm"),
    ],
    ids=["below", "roundabout", "above", "absolute", "too long"],
)
def test_a_report_stays_in_its_folder(name, report):
    """A report lies where its source lies, or under a digest where that is elsewhere."""
    import hashlib

    digest = hashlib.sha256(b"/src").hexdigest()[:32]
    assert report_name(Source(name, "/src")) == report.replace("61adc6a4", digest)
