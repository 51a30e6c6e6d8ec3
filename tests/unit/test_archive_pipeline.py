"""Files in, outcomes out: in order, one each, whatever is in them."""

import os
from dataclasses import replace

import numpy as np
import pytest
from archives import BAD, draw_archive

from bench.files import raster
from service.archive.pipeline import read_file, score_each
from service.errors import InferenceFailed, TooLarge, Unreadable
from service.network.predictor import open_predictor
from service.network.runtime import Outputs, Placement
from service.radiograph.limits import DecodeLimits
from service.settings import read_settings


def marked(pixels):
    """Which images have a white first row: the runtimes below treat them otherwise."""
    return (pixels[:, 0, 0] == 1).all(axis=1)


@pytest.fixture(scope="module")
def predictor(demo_bundle):
    return open_predictor(read_settings(bundle=str(demo_bundle), gate="off"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The paths of 30 good files and of every kind of bad one."""
    folder = tmp_path_factory.mktemp("archive")
    return [folder / name for name in draw_archive(folder, 30)]


class Constant:
    """A runtime that answers everything with 1, and remembers what it was given."""

    slots = 1
    spare = 0
    steps = ()
    batches = None
    placement = Placement(1)

    def __init__(self):
        self.batches = []

    @property
    def low_latency(self):
        return self

    def run(self, pixels):
        self.batches.append(len(pixels))
        images = len(pixels)
        return Outputs(
            np.ones((images, 18), np.float32),
            np.ones((images, 18, 7, 7)),
            np.ones((images, 2560), np.float32),
        )


class Raising(Constant):
    """One that fails on any batch with a marked image in it."""

    def run(self, pixels):
        outputs = super().run(pixels)
        if marked(pixels).any():
            raise RuntimeError("marked")
        return outputs


class NotANumber(Constant):
    """One that answers a marked image with NaN."""

    def run(self, pixels):
        outputs = super().run(pixels)
        outputs.logits[marked(pixels)] = np.nan
        return outputs


def scored(predictor, files, **options):
    return list(score_each(predictor, files, **({"decoders": 2, "max_batch": 8} | options)))


def test_every_file_has_one_outcome_in_order(predictor, archive):
    """What comes out is what went in, with the answer that the file has by itself."""
    found = scored(predictor, archive)
    assert [outcome.path for outcome in found] == archive
    for outcome in found[::7]:
        if outcome.prediction is not None:
            assert outcome.prediction == predictor.predict(outcome.path.read_bytes())


def test_each_kind_of_bad_file_is_an_outcome(predictor, archive):
    """A file that cannot be scored has the fault that the service answers with, or unreadable."""
    found = scored(predictor, archive)
    faults = {one.path.name: one.fault.code for one in found if one.fault is not None}
    assert faults == BAD
    assert all((one.prediction is None) == (one.fault is not None) for one in found)


def test_a_batch_is_made_of_consecutive_files(predictor, archive):
    """Which images share a batch depends on the files alone: of every eight, those that can be
    decoded."""
    runtime = Constant()
    scored(replace(predictor, runtime=runtime), archive)
    bad = [path.name in BAD for path in archive]
    assert runtime.batches == [8 - sum(bad[at : at + 8]) for at in range(0, 32, 8)] + [
        len(bad[32:]) - sum(bad[32:])
    ]


@pytest.mark.parametrize("runtime", [Raising(), NotANumber()], ids=["raising", "not a number"])
def test_a_failure_of_the_network_is_one_images_own(predictor, archive, runtime, tmp_path):
    """Where the runtime fails on one image of a batch, the others have their answers."""
    failing = tmp_path / "failing.png"
    pixels = np.tile(np.linspace(255, 0, 224).astype(np.uint8)[:, np.newaxis], 224)
    failing.write_bytes(raster(pixels, "PNG"))
    good = [path for path in archive if path.name not in BAD]
    files = [*good[:5], failing, *good[5:12]]
    found = scored(replace(predictor, runtime=runtime), files)
    assert [one.fault is None for one in found] == [path != failing for path in files]
    assert isinstance(found[5].fault, InferenceFailed)


def test_no_more_files_are_taken_than_are_in_work(predictor, archive):
    """Memory does not grow with the archive: files are taken as outcomes are."""
    taken = []

    def files():
        for path in [*archive, *archive]:
            taken.append(path)
            yield path

    outcomes = score_each(predictor, files(), decoders=2, max_batch=4, ahead=12)
    for _ in range(5):
        next(outcomes)
    slots = predictor.runtime.slots + predictor.runtime.spare
    batches = max(2 * slots, 12 // 4)  # two a slot at the least
    assert len(taken) == 4 * (batches + 1)  # in work, and the batch that is being taken
    outcomes.close()


def test_a_file_over_the_limit_is_not_read(tmp_path):
    """The size is held against the limit before any byte is read."""
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TooLarge, match="1099511627776 bytes"):
        read_file(large, DecodeLimits())


@pytest.mark.parametrize("kind", ["folder", "pipe", "absent"])
def test_what_is_no_file_is_unreadable_at_once(tmp_path, kind):
    """A folder, a pipe that nobody writes to and a file that is gone are faults, never a wait."""
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(Unreadable):
        read_file(path, DecodeLimits())
