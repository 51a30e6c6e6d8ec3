"""Which files an archive is made of."""

import os

import pytest

from service.archive.listing import read_listing, tasks, write_listing
from service.archive.sources import list_sources
from service.errors import ArchiveRefused


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A folder of five files, two of them below, and one hidden."""
    folder = tmp_path / "archive"
    for name in ("b.png", "a.dcm", "IM0001", "deep/er/x.png", "deep/y.png", ".hidden", ".git/z"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    return folder


FIVE = ["IM0001", "a.dcm", "b.png", "deep/y.png", "deep/er/x.png"]


def names(*paths, **options):
    return [source.name for source in list_sources([str(path) for path in paths], **options)]


def test_a_folder_is_every_file_in_it_and_below_but_hidden_ones(archive):
    """Files come by name, those of a folder before those below it, named as below the folder."""
    assert names(archive) == FIVE
    assert [os.path.relpath(s.path, archive) for s in list_sources([str(archive)])] == FIVE


def test_where_several_paths_are_named_each_stands_in_front(archive):
    """Names stay unique: a PATH is part of them where there is more than one."""
    assert names("archive/deep", "archive/b.png") == [
        "archive/deep/y.png",
        "archive/deep/er/x.png",
        "archive/b.png",
    ]


def test_a_pattern_that_the_shell_left_is_expanded(archive):
    """`**` matches at any depth, and what is matched comes in order."""
    assert names("archive/**/*.png") == [
        "archive/b.png",
        "archive/deep/er/x.png",
        "archive/deep/y.png",
    ]


def test_a_file_whose_name_is_a_pattern_is_itself(archive):
    """A PATH that is there is never taken for a pattern."""
    (archive / "[b].png").write_text("x")
    assert names("archive/[b].png") == ["archive/[b].png"]


def test_a_csv_file_lists_files_relative_to_itself(archive):
    """The column `path` names the files, in the file's order, whether they are there or not."""
    (archive / "list.csv").write_text('label,path\n1,b.png\n0,"deep/y.png"\n0,gone.png\n')
    found = list(list_sources(["archive/list.csv"]))
    assert [source.name for source in found] == ["b.png", "deep/y.png", "gone.png"]
    assert [source.path for source in found] == [
        str(archive / name) for name in ("b.png", "deep/y.png", "gone.png")
    ]


def test_each_file_comes_once_under_its_first_name(archive):
    """A file named twice, listed, linked or below a folder that is named too comes once."""
    (archive / "link.png").symlink_to("b.png")
    (archive / "list.csv").write_text("path\nb.png\n./b.png\n")
    found = names("archive/deep/y.png", "archive/list.csv", "archive", "archive/deep", archive)
    assert found == [
        "archive/deep/y.png",
        "archive/b.png",
        "archive/IM0001",
        "archive/a.dcm",
        "archive/list.csv",
        "archive/deep/er/x.png",
    ]


def test_a_loop_of_links_is_walked_once(archive):
    """Links to a folder above and to themselves end nothing and repeat nothing."""
    (archive / "deep" / "up").symlink_to(archive, target_is_directory=True)
    (archive / "self").symlink_to("self")
    assert names(archive) == ["IM0001", "a.dcm", "b.png", "self", *FIVE[3:]]


def test_a_dicomdir_stands_for_its_folder(archive):
    """The index of a DICOM medium is no image: below a folder it is left out and told, named
    itself it is its folder."""
    (archive / "DICOMDIR").write_text("index")
    told = []
    assert names(archive, on_skipped=told.append) == FIVE
    assert told == ["DICOMDIR"]
    assert names("archive/DICOMDIR") == FIVE


def test_what_is_written_is_not_read(archive):
    """Results below the folder that is scored are no part of it."""
    partial = archive / "deep"
    assert names(archive, left_out=[partial, archive / "b.png"]) == ["IM0001", "a.dcm"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("absent", "absent: no such file or folder, and no file matches it"),
        ("archive/*.tif", r"archive/\*.tif: no such file or folder, and no file matches it"),
        ("no_column.csv", "no_column.csv: a CSV file of files needs a column 'path'"),
        ("gap.csv", "gap.csv: line 3 names no file"),
        ("bytes.csv", "bytes.csv is no CSV file in UTF-8"),
    ],
    ids=["absent", "pattern", "no column", "gap", "bytes"],
)
def test_a_path_that_leads_nowhere_is_refused(archive, tmp_path, path, reason):
    """A PATH that names no files ends the listing with the reason."""
    (tmp_path / "no_column.csv").write_text("file\nb.png\n")
    (tmp_path / "gap.csv").write_text("path,label\na,1\n,0\n")
    (tmp_path / "bytes.csv").write_bytes(b"path\n\xff\xfe\n")
    with pytest.raises(ArchiveRefused, match=f"^{reason}$"):
        names(path)


def test_a_listing_holds_any_name(archive, tmp_path):
    """Names of line feeds and of bytes that are no text come back from a listing as they were."""
    (archive / "two\nlines").write_text("x")
    (archive / os.fsdecode(b"latin-\xe9")).write_text("x")
    sources = list(list_sources([str(archive)]))
    listing = write_listing(tmp_path / "list", sources)
    assert list(listing) == sources
    assert read_listing(tmp_path / "list") == listing
    assert listing.count == 7


def test_tasks_are_whole_shards_less_those_that_are_done(archive, tmp_path):
    """A listing is cut at fixed places, whatever is done already."""
    listing = write_listing(tmp_path / "list", list_sources([str(archive)]))
    found = {task.number: [s.name for s in task.sources] for task in tasks(listing, 2)}
    assert found == {0: FIVE[:2], 1: FIVE[2:4], 2: FIVE[4:]}
    assert [task.number for task in tasks(listing, 2, frozenset({1}))] == [0, 2]
