"""`cxr score`: what it writes, and what a restart makes of what is there."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from archives import BAD, draw_archive, png, radiograph
from click.testing import CliRunner

from service.archive.journal import Journal
from service.archive.local_engine import LocalEngine, scoring
from service.archive.output import Output
from service.archive.run import RunOptions, score_archive
from service.cli import cxr
from service.errors import ArchiveRefused
from service.network.predictor import open_predictor
from service.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
COUNT = 60
SHARDS = -(-(COUNT + len(BAD)) // 8)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """An archive and the names in it; not to be changed."""
    folder = tmp_path_factory.mktemp("drawn") / "archive"
    return folder, draw_archive(folder, COUNT)


@pytest.fixture(scope="module")
def archive(drawn):
    return drawn[0]


@pytest.fixture(scope="module")
def predictor(demo_bundle):
    return open_predictor(read_settings(bundle=str(demo_bundle)))


@pytest.fixture(scope="module")
def whole(archive, predictor, tmp_path_factory):
    """The bytes of an unbroken run."""
    out = tmp_path_factory.mktemp("whole") / "whole.jsonl"
    score(archive, out, predictor)
    return out.read_bytes()


@pytest.fixture
def run(monkeypatch, demo_bundle, tmp_path):
    """Run `cxr score` in an empty folder as a shell would."""
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cxr, ["score", *map(str, arguments)])


@pytest.fixture
def small(tmp_path):
    """An archive of three files."""
    folder = tmp_path / "small"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number:03}.png").write_bytes(png(number))
    return folder


class Quiet:
    """Follows a run without a word, and knows how many files an earlier one had done and how many
    are kept of this one."""

    found_done = kept = 0

    def say(self, line):
        pass

    def begin(self, total, done):
        self.found_done = done

    def advance(self, files):
        pass

    def keep(self, files):
        self.kept = files


def order(archive, out, **more):
    return RunOptions((str(archive),), Output(out, "jsonl"), keep_every=8, **more)


def score(archive, out, predictor, stop_after=None, **more):
    """Score in this process, given up after some shards; how many files were done before."""
    settings = read_settings(bundle=str(predictor.bundle.folder))
    local = LocalEngine(predictor, scoring(settings, None))

    def engine(tasks, advance):
        for done, shard in enumerate(local(tasks, advance)):
            if done == stop_after:
                raise KeyboardInterrupt
            yield shard

    watch = Quiet()
    score_archive(order(archive, out, **more), predictor, settings, engine, watch)
    return watch.found_done


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def partial(out):
    return out.with_name(out.name + ".partial")


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_row_a_file_in_order(run, drawn, tmp_path):
    """Every file is one row, ok or the code of its error, and the exit status is 0."""
    folder, names = drawn
    done = run(folder, "--out", "results.jsonl")
    assert done.exit_code == 0, done.output
    found = rows(tmp_path / "results.jsonl")
    assert [row["path"] for row in found] == names
    refused = {Path(row["path"]).name: row["status"] for row in found if row["status"] != "ok"}
    assert refused == BAD
    assert f"{COUNT} scored, {len(BAD)} refused: 2 not_an_image, 1 not_frontal" in done.stdout
    assert left_in(tmp_path) == ["results.jsonl", "results.jsonl.run.json"]


def test_a_row_says_what_predict_says(run, archive, tmp_path):
    """The numbers are those of `cxr predict`."""
    run(archive / "one" / "002.png", "--out", "results.jsonl")
    (row,) = rows(tmp_path / "results.jsonl")
    answer = json.loads(
        CliRunner().invoke(cxr, ["predict", "--json", str(archive / "one" / "002.png")]).stdout
    )
    said = answer["pathologies"]["Pneumonia"]
    assert row["Pneumonia_probability"] == pytest.approx(said["probability"], rel=1e-7)
    assert row["Pneumonia_score"] == pytest.approx(said["score"], rel=1e-7)
    assert row["Pneumonia_positive"] == said["positive"]
    assert row["sha256_pixels"] == answer["image"]["sha256_pixels"]
    assert row["warnings"] == answer["warnings"]


@pytest.mark.parametrize("shards", [0, 1, SHARDS // 2, SHARDS - 1])
def test_a_run_that_broke_off_is_continued(archive, predictor, whole, tmp_path, shards):
    """Whatever is done is kept, the rest is scored, and the bytes are those of an unbroken run."""
    out = tmp_path / "results.jsonl"
    with pytest.raises(KeyboardInterrupt):
        score(archive, out, predictor, stop_after=shards)
    assert not out.exists()
    assert score(archive, out, predictor) == 8 * shards
    assert out.read_bytes() == whole
    assert not partial(out).exists()


def test_a_crash_after_the_last_step_but_one_is_mended(archive, predictor, whole, tmp_path):
    """Results whose journal was not yet taken away are finished by the next run."""
    out, kept = tmp_path / "results.jsonl", tmp_path / "kept"

    with pytest.raises(KeyboardInterrupt):
        score(archive, out, predictor, stop_after=SHARDS - 1)
    shutil.copytree(partial(out), kept)
    score(archive, out, predictor)
    shutil.copytree(kept, partial(out))
    out.with_name("results.jsonl.run.json").unlink()
    score(archive, out, predictor)
    assert out.read_bytes() == whole
    assert left_in(tmp_path) == ["kept", "results.jsonl", "results.jsonl.run.json"]


def start(archive, out, bundle, checkout=ROOT):
    """`cxr score` as a process of its own, on one shard of eight files after another."""
    code = "from service.cli import main; main()"
    arguments = ["score", str(archive), "--out", str(out), "--keep-every", "8"]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=checkout,
        env=os.environ | {"CXR_BUNDLE": str(bundle), "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_process_that_is_killed_is_continued(archive, demo_bundle, predictor, whole, tmp_path):
    """After kill -9, Ctrl-C and SIGTERM, each in the middle, the bytes are those of an unbroken
    run; those that can be told of say how to go on, with exit status 130 and 143."""
    out = tmp_path / "results.jsonl"
    journal = partial(out)
    for number, shards in ((signal.SIGKILL, 1), (signal.SIGINT, 3), (signal.SIGTERM, 5)):
        process = start(archive, out, demo_bundle)
        while len(list(journal.glob("shards/*.jsonl"))) < shards and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 128 + number
            assert re.search(
                r"Stopped\. [1-9]\d* of \d+ files are kept\. The same command continues", errors
            )
            assert "Traceback" not in errors
        assert not out.exists()
    assert score(archive, out, predictor) >= 40
    assert out.read_bytes() == whole


def test_a_damaged_shard_is_made_again(archive, predictor, whole, tmp_path):
    """A shard that lost a row is found before results are written, and the next run mends it."""
    out = tmp_path / "results.jsonl"
    with pytest.raises(KeyboardInterrupt):
        score(archive, out, predictor, stop_after=2)
    shard = partial(out) / "shards" / "000000.jsonl"
    shard.write_bytes(b"".join(shard.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(ArchiveRefused, match=r"000000\.jsonl is damaged and was taken away"):
        score(archive, out, predictor)
    assert score(archive, out, predictor) == COUNT + len(BAD) - 8
    assert out.read_bytes() == whole


@pytest.fixture
def begun(tmp_path, predictor):
    """A small archive of which one shard is done, and where its results go."""
    archive, out = tmp_path / "archive", tmp_path / "results.jsonl"
    archive.mkdir()
    for number in range(17):
        (archive / f"{number:03}.png").write_bytes(png(number))
    with pytest.raises(KeyboardInterrupt):
        score(archive, out, predictor, stop_after=1)
    return archive, out


def test_another_bundle_does_not_continue(begun, predictor):
    """Rows of two bundles are never mixed: the run is refused and what is there stays."""
    archive, out = begun
    other = replace(predictor, model=predictor.model.model_copy(update={"version": "other"}))
    with pytest.raises(ArchiveRefused, match=r"model version: .* then, other now"):
        score(archive, out, other)
    assert score(archive, out, predictor) == 8


def test_other_files_do_not_continue(begun, predictor):
    """A folder that changed is told; --as-listed goes on with the files as they were, --restart
    begins anew."""
    archive, out = begun
    (archive / "new.png").write_bytes(png(40))
    with pytest.raises(ArchiveRefused, match=r": 1 added .new\.png.; .*--restart.*--as-listed"):
        score(archive, out, predictor)
    assert score(archive, out, predictor, as_listed=True) == 8
    assert len(rows(out)) == 17
    out.unlink()
    with pytest.raises(KeyboardInterrupt):
        score(archive, out, predictor, stop_after=1)
    (archive / "newer.png").write_bytes(png(41))
    assert score(archive, out, predictor, restart=True) == 0
    assert len(rows(out)) == 19


def test_changed_files_do_not_continue(begun, predictor):
    """Files that were rewritten, added or taken away since the run was started are counted and
    named; --as-listed keeps the rows that are done and goes on."""
    archive, out = begun
    (archive / "000.png").write_bytes(png(50))
    (archive / "001.png").touch()
    (archive / "002.png").unlink()
    for number in range(20, 25):
        (archive / f"{number:03}.png").write_bytes(png(number))
    with pytest.raises(ArchiveRefused) as refusal:
        score(archive, out, predictor)
    assert (
        "2 changed (000.png, 001.png), 5 added (020.png, 021.png, 022.png, …), "
        "1 removed (002.png); give --restart" in refusal.value.message
    )
    assert score(archive, out, predictor, as_listed=True) == 8
    assert [row["status"] for row in rows(out)] == ["ok"] * 17


def test_files_in_another_order_do_not_continue(begun, predictor, tmp_path):
    """A CSV file that lists the same files in another order is told from the first one."""
    archive, _ = begun
    table, out = tmp_path / "list.csv", tmp_path / "listed.jsonl"
    names = [f"{archive.name}/{number:03}.png" for number in range(17)]
    table.write_text("\n".join(["path", *names]))
    with pytest.raises(KeyboardInterrupt):
        score(table, out, predictor, stop_after=1)
    table.write_text("\n".join(["path", *reversed(names)]))
    with pytest.raises(ArchiveRefused, match="with: the same files in another order; give"):
        score(table, out, predictor)


def test_finished_results_of_changed_files_are_not_current(small, predictor, tmp_path):
    """Finished results are refused where a file was rewritten since, not taken for current."""
    out = tmp_path / "results.jsonl"
    score(small, out, predictor)
    (small / "001.png").write_bytes(png(30))
    with pytest.raises(ArchiveRefused, match=r"with something else .files: changed since."):
        score(small, out, predictor)


def test_other_code_does_not_continue(demo_bundle, tmp_path):
    """A checkout whose code changed since, its version being the same, does not continue a run."""
    checkout, archive = tmp_path / "checkout", tmp_path / "archive"
    shutil.copytree(ROOT / "service", checkout / "service")
    archive.mkdir()
    for number in range(200):
        (archive / f"{number:03}.png").write_bytes(png(number))
    process = start(archive, tmp_path / "results.jsonl", demo_bundle, checkout)
    journal = partial(tmp_path / "results.jsonl")
    while not list(journal.glob("shards/*.jsonl")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    with (checkout / "service" / "scores.py").open("a") as code:
        code.write("# changed\n")
    process = start(archive, tmp_path / "results.jsonl", demo_bundle, checkout)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    said = re.search(r"software: ([\d.]+)\+(\w{12}) then, ([\d.]+)\+(\w{12}) now", errors)
    assert said[1] == said[3]
    assert said[2] != said[4]


def test_what_is_kept_is_said_when_a_run_breaks_off(archive, predictor, tmp_path):
    """A run that is stopped tells the files of whole shards: where the next one continues."""
    out, watch = tmp_path / "results.jsonl", Quiet()
    settings = read_settings(bundle=str(predictor.bundle.folder))
    local = LocalEngine(predictor, scoring(settings, None))

    def engine(tasks, advance):
        seen = 0

        def stop_in_the_fifth_shard(files):
            nonlocal seen
            seen += files
            if seen == 37:
                raise KeyboardInterrupt

        yield from local(tasks, stop_in_the_fifth_shard)

    with pytest.raises(KeyboardInterrupt):
        score_archive(order(archive, out), predictor, settings, engine, watch)
    assert watch.kept == 32
    assert score(archive, out, predictor) == 32


def test_reports_of_an_unknown_finding_fail_before_any_file(run, small, tmp_path):
    """A finding that the weights do not name is refused at once, and nothing is left behind."""
    done = run(small, "--out", "reports", "--format", "dicom-sr", "--target", "Gout")
    assert done.exit_code == 1
    assert str(done.exception) == "These weights predict no 'Gout'; they predict Pneumonia."
    assert left_in(tmp_path) == ["small"]


def test_a_file_that_vanished_meanwhile_is_a_row(begun, predictor):
    """With --as-listed, a file that is gone by now has the row of a file that cannot be read."""
    archive, out = begun
    (archive / "016.png").unlink()
    score(archive, out, predictor, as_listed=True)
    assert [row["status"] for row in rows(out)] == ["ok"] * 16 + ["unreadable"]


def test_two_processes_do_not_write_the_same_results(begun, predictor):
    """While one has the journal open, another is refused."""
    archive, out = begun
    journal = Journal(partial(out))
    with pytest.raises(ArchiveRefused, match="is in use: another process writes these results"):
        score(archive, out, predictor)
    journal.close()
    assert score(archive, out, predictor) == 8


def test_a_finished_run_says_so(run, small, tmp_path):
    """The same command again changes nothing and ends with exit status 0."""
    first = run(small, "--out", "results.csv")
    before = (tmp_path / "results.csv").stat()
    again = run(small, "--out", "results.csv")
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert again.stdout.startswith("results.csv is finished: 3 files\n3 scored, 0 refused\n")
    assert (tmp_path / "results.csv").stat().st_mtime_ns == before.st_mtime_ns


def test_results_are_replaced_only_when_told_to(small, predictor, tmp_path):
    """Finished results of other files, and files of others, are left unless it is asked to
    overwrite them; nothing else is left behind."""
    out = tmp_path / "results.jsonl"
    out.write_text("mine")
    with pytest.raises(ArchiveRefused, match="is there and is not of this program"):
        score(small, out, predictor)
    assert left_in(tmp_path) == ["results.jsonl", "small"]
    score(small, out, predictor, overwrite=True)
    (small / "new.png").write_bytes(png(3))
    with pytest.raises(ArchiveRefused, match=r"was made with something else .files: 3 then, 4 now"):
        score(small, out, predictor)
    assert len(rows(out)) == 3
    score(small, out, predictor, overwrite=True)
    assert len(rows(out)) == 4
    assert left_in(tmp_path) == ["results.jsonl", "results.jsonl.run.json", "small"]


def test_results_below_the_folder_are_not_scored(small, predictor):
    """Results may lie in the folder that is scored, while they are made and afterwards."""
    for _ in range(2):
        score(small, small / "results.jsonl", predictor, overwrite=True)
        names = [row["path"] for row in rows(small / "results.jsonl")]
        assert names == ["000.png", "001.png", "002.png"]


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["absent", "--out", "r.csv"], 1, "absent: no such file or folder"),
        (["empty", "--out", "r.csv"], 1, "There are no files to score"),
        (["empty", "--out", "r.xls"], 2, "does not end in .csv, .jsonl or .parquet"),
        (["empty", "--out", "r.csv", "--ray-address", "auto"], 2, "is for --engine ray"),
        (["--out", "r.csv"], 2, "Missing argument"),
    ],
    ids=["absent", "empty", "suffix", "address", "nothing"],
)
def test_what_cannot_be_done_leaves_nothing(run, tmp_path, arguments, status, reason):
    """A run that cannot begin says why and leaves no file."""
    (tmp_path / "empty").mkdir()
    done = run(*arguments)
    assert done.exit_code == status
    assert reason in done.output + str(done.exception)
    assert left_in(tmp_path) == ["empty"]


def test_reports_are_written_beside_dicom_input(run, tmp_path):
    """Each DICOM file has a report of its own study and image; other files say why they have
    none, and a finished run is told."""
    (tmp_path / "study").mkdir()
    for number in range(3):
        (tmp_path / "study" / f"IM{number}").write_bytes(radiograph(number))
    (tmp_path / "study" / "photo.png").write_bytes(png(1))
    done = run("study", "--out", "reports", "--format", "dicom-sr")
    assert done.exit_code == 0, done.output
    found = {row["path"]: row for row in rows(tmp_path / "reports" / "results.jsonl")}
    assert [row["status"] for row in found.values()] == ["ok", "ok", "ok", "not_dicom"]
    for number in range(3):
        report = pydicom.dcmread(tmp_path / "reports" / found[f"IM{number}"]["report"])
        assert report.SOPClassUID.name == "Comprehensive 3D SR Storage"
        assert report.StudyInstanceUID == f"1.2.4.{number + 1}"
        assert numbers(report) == pytest.approx(
            [found[f"IM{number}"][f"Pneumonia_{name}"] for name in ("score", "probability")],
            abs=1e-6,
        )
    assert left_in(tmp_path) == ["reports", "study"]
    assert run("study", "--out", "reports", "--format", "dicom-sr").stdout.startswith(
        "reports is finished: 4 files"
    )


def numbers(dataset):
    """The numeric values of a report, in order."""
    found = []
    for item in dataset.get("ContentSequence", ()):
        if item.ValueType == "NUM":
            found.append(float(item.MeasuredValueSequence[0].NumericValue))
        found += numbers(item)
    return found
