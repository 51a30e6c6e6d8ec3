"""Labelled radiographs: folders and tables."""

import os

import pytest

from export.checkpoints.upstream import OFFICIAL, library
from export.errors import DatasetRefused
from export.evaluation.dataset import read_folders
from export.evaluation.table import PATHOLOGIES, read_table
from export.evaluation.training_sets import TRAINED_ON, judge

NAMED = ("Pneumonia", "Pleural_Thickening")


@pytest.fixture
def table(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_folders_label_at_any_depth(tmp_path):
    """NORMAL and PNEUMONIA label what lies below them, and the rest of the path is a subgroup."""
    for name in ("a/NORMAL/1.png", "a/PNEUMONIA/x/2.png", "b/pneumonia/3.png", "c/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "NORMAL" / ".DS_Store").touch()
    found = read_folders(tmp_path)
    assert [(one.name, one.labels["Pneumonia"], one.groups["folder"]) for one in found.images] == [
        ("a/NORMAL/1.png", False, "a"),
        ("a/PNEUMONIA/x/2.png", True, "a/x"),
        ("b/pneumonia/3.png", True, "b"),
    ]
    assert found.left_out[0].startswith("1 files that lie in no folder")


def test_folders_without_labels_are_refused(tmp_path):
    """A folder in which nothing is labelled is refused by name, with the way out."""
    (tmp_path / "1.png").touch()
    with pytest.raises(DatasetRefused, match="NORMAL or PNEUMONIA; a CSV table can"):
        read_folders(tmp_path)


def test_a_table_has_labels_and_subgroups(table):
    """1, 0 and nothing are labels; spaces, case and underscores of names do not matter; what is
    no pathology makes subgroups; what the weights do not name is left out."""
    path = table(
        "\ufeffPath, pneumonia,Pleural Thickening,Hernia,sex\r\n"
        "a/1.png,1,0.0,1,F\r\n"
        '"b, c/2.png",0,,0,\r\n'
    )
    found = read_table(path, NAMED)
    assert found.pathologies == NAMED
    first, second = found.images
    assert first.labels == {"Pneumonia": True, "Pleural_Thickening": False}
    assert first.groups == {"sex": "F"}
    assert (second.name, second.labels) == ("b, c/2.png", {"Pneumonia": False})
    assert second.path == path.parent / "b, c/2.png"
    assert found.left_out == ("column Hernia: these weights do not predict it",)


def test_absolute_paths_are_read_and_shown_relative(table, tmp_path):
    """Files may lie anywhere; a report shows how to get to them from the table, not where on a
    machine they are."""
    outside = tmp_path.parent / "elsewhere" / "2.png"
    dataset = read_table(table(f"path,Pneumonia\n{tmp_path}/a/1.png,1\n{outside},0\n"), NAMED)
    inside, other = dataset.images
    assert (inside.name, inside.path) == ("a/1.png", tmp_path / "a" / "1.png")
    assert (other.name, other.path) == ("../elsewhere/2.png", outside)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("path,Pneumonia\n", "no line below"),
        ("name,Pneumonia\na,1\n", "no column is called path, file, filename or image"),
        ("path,Hernia\na,1\n", "no column is named as a pathology that these weights predict"),
        ("path,Pneumonia\na,1\nb,-1\n", "line 3, column Pneumonia: '-1' is no label"),
        ("path,Pneumonia\na,1\n\na,0\n", "line 4: a is in line 2 already"),
        ("path,Pneumonia\na,1,2\n", "line 2: 3 cells under 2 columns"),
        ("path,Pneumonia\n,1\n", "line 2: the path is missing"),
        ("path,Pneumonia,pneumonia\na,1,1\n", "the column Pneumonia is there twice"),
        ('path,Pneumonia\n"a,1\n', "is no CSV"),
    ],
    ids=[
        "empty",
        "header only",
        "no path column",
        "no label column",
        "label",
        "twice",
        "cells",
        "no path",
        "column twice",
        "quotes",
    ],
)
def test_a_table_that_cannot_be_read_says_where(table, text, reason):
    """Each fault of a table is refused with its line and column."""
    with pytest.raises(DatasetRefused) as refused:
        read_table(table(text), NAMED)
    assert reason in refused.value.message


def test_a_table_in_another_encoding_is_refused(table):
    """A table that is not UTF-8 is refused, not guessed at."""
    with pytest.raises(DatasetRefused, match="not text in UTF-8"):
        read_table(table("path,Pneumonia\n\xe9.png,1\n", "latin-1"), NAMED)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_table_that_may_not_be_read_is_refused(table):
    """A table without permission is refused with the system's reason."""
    path = table("path,Pneumonia\n")
    path.chmod(0)
    with pytest.raises(DatasetRefused, match="Permission denied"):
        read_table(path, NAMED)


def test_the_pathologies_are_the_librarys():
    """A column named as one of the library's findings is a label, never a subgroup."""
    assert list(PATHOLOGIES) == library.datasets.default_pathologies


def test_every_official_name_has_its_training_sets():
    """The collections of every official name are known, and the demo's."""
    assert set(TRAINED_ON) == {"demo", *OFFICIAL}


def test_the_collections_of_all_are_those_that_upstream_lists():
    """As many collections as the library's description of the weights names."""
    words = library.models.model_urls["all"]["description"].split("datasets: ")[1].split(" ")[0]
    assert len(TRAINED_ON["densenet121-res224-all"]) == len(words.split("-"))


@pytest.mark.parametrize(
    ("weights", "declared", "verdict"),
    [
        ("densenet121-res224-all", "MIMIC-CXR", "same collection"),
        ("densenet121-res224-all", "SIIM", "shared images"),
        ("densenet121-res224-all", "VinDr-CXR", "not named"),
        ("densenet121-res224-all", "kermany", "not named"),
        ("densenet121-res224-all", None, "unknown"),
        ("densenet121-res224-nih", "rsna", "shared images"),
        ("densenet121-res224-chex", "padchest", "not named"),
        ("densenet121-res224-pc", "PC", "same collection"),
        ("demo", "Kermany", "same collection"),
        ("demo", None, "unknown"),
        ("my-weights", "nih", "unknown"),
    ],
)
def test_training_data_are_told(weights, declared, verdict):
    """A named collection is training data in full, one that shares its images too, and what was
    not declared or is not known cannot be excluded."""
    found = judge(weights, declared)
    assert found.verdict == verdict
    if verdict == "unknown":
        assert "cannot be excluded" in found.words
