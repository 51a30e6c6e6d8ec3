"""The reference's file, its fit and its thresholds."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from references import MANIFEST, WEIGHTS, population, small_reference, usual
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from export.errors import DatasetRefused
from export.reference.alterations import alter
from export.reference.commands import reference as reference_command
from export.reference.fit import held_out_alarms
from export.reference.population import conformal_quantile, moments
from export.reference.run import run
from service.errors import BundleRefused
from service.network.bundle import DEPTHS, open_bundle
from service.network.gate import open_gate
from service.network.reference import DEPTH_SLICES, load_reference, save_reference
from service.settings import read_settings


@pytest.fixture(scope="module")
def reference():
    return small_reference()


@pytest.fixture
def file(reference, tmp_path):
    path = tmp_path / "reference.npz"
    save_reference(reference, path)
    return path


def test_a_reference_is_read_as_it_was_written(reference, file):
    """Distances and probabilities are the same to the bit."""
    again = load_reference(file, WEIGHTS)
    assert again.record == reference.record
    rows = usual(4, 2)
    for ours, theirs in zip(again.populations, reference.populations, strict=True):
        np.testing.assert_array_equal(ours.distances(rows), theirs.distances(rows))
    along, _ = reference.populations[0].measure(rows)
    np.testing.assert_array_equal(
        again.classifier.probabilities(along), reference.classifier.probabilities(along)
    )


def test_the_same_reference_is_the_same_file(reference, file, tmp_path):
    """Its digest names its content."""
    other = tmp_path / "other.npz"
    save_reference(reference, other)
    assert other.read_bytes() == file.read_bytes()


def test_a_reference_holds_no_image(file):
    """The file has averages, directions and thresholds; nothing in it is as long as the images."""
    with np.load(file) as stored:
        shapes = {name: stored[name].shape for name in stored.files}
    assert all(200 not in shape for shape in shapes.values()), shapes


def test_a_reference_of_other_weights_is_refused(file):
    """The message says which weights it was fitted for and how to fit another."""
    with pytest.raises(BundleRefused, match="fitted for the weights 3c3c3c3c3c3c, not for ffff"):
        load_reference(file, "ff" * 32)


def test_a_damaged_reference_is_refused(file):
    """Cut off, no archive at all, or empty: one sentence, never a traceback."""
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive", b""):
        file.write_bytes(content)
        with pytest.raises(BundleRefused, match="no reference that this service reads"):
            load_reference(file, WEIGHTS)


def test_numbers_that_do_not_fit_together_are_refused(file):
    """A basis of another width or a number that is not finite is damage."""
    with np.load(file) as stored:
        arrays = dict(stored)
    arrays["centre_0"][5] = np.nan
    np.savez(file, **arrays)
    with pytest.raises(BundleRefused, match="is damaged: centre"):
        load_reference(file, WEIGHTS)


def test_another_layout_is_refused(file):
    """A file of a later version says which layout it has."""
    with np.load(file) as stored:
        arrays = dict(stored)
    record = json.loads(str(arrays["record"])) | {"layout": 99}
    np.savez(file, **arrays | {"record": np.array(json.dumps(record))})
    with pytest.raises(BundleRefused, match="has layout 99"):
        load_reference(file, WEIGHTS)


def test_distances_are_those_of_scikit_learns_covariance():
    """With all directions kept, a depth's squared distance is scikit-learn's Mahalanobis distance
    with Ledoit and Wolf's covariance, to 1e-3."""
    features = usual(120, 3)
    fitted = moments(features).population
    ours = fitted.squared_distances(usual(3, 4))
    roots = (np.sqrt(features) - fitted.centre) * fitted.inverse_scale
    rows = (np.sqrt(usual(3, 4)) - fitted.centre) * fitted.inverse_scale
    for depth, part in enumerate(DEPTH_SLICES):
        covariance = LedoitWolf(assume_centered=True).fit(roots[:, part])
        eigenvalues, vectors = np.linalg.eigh(covariance.covariance_)
        kept = len(fitted.basis)
        eigenvalues[:-kept] = eigenvalues[:-kept].mean()
        inverse = vectors @ np.diag(1 / eigenvalues) @ vectors.T
        theirs = [mahalanobis(row[part], np.zeros(DEPTHS[depth]), inverse) ** 2 for row in rows]
        np.testing.assert_allclose(ours[:, depth], theirs, rtol=1e-3)


def test_a_threshold_is_a_conformal_quantile():
    """Of 99 values one more exceeds the largest once in a hundred times; of 199 the second."""
    assert conformal_quantile(np.arange(99.0), 0.01) == 98
    assert conformal_quantile(np.arange(199.0), 0.01) == 197
    assert conformal_quantile(np.arange(20.0), 0.01) == 19


def test_alarms_on_held_out_images_are_near_the_rate():
    """Fitted on half of the images, about the stated share of the others is not usual."""
    images = [population("first", 400, 1)]
    rates = [held_out_alarms(images, MANIFEST, 0.05, seed, 0.5) for seed in range(4)]
    assert 0.01 <= np.mean(rates) <= 0.1


def test_turns_are_clockwise():
    """What stood at the top stands at the right after a quarter turn."""
    image = np.zeros((1, 1, 4, 4), np.float32)
    image[0, 0, 0] = 1
    np.testing.assert_array_equal(alter(image, "turned_90")[0, 0, :, 3], np.ones(4))
    np.testing.assert_array_equal(alter(image, "turned_180")[0, 0, 3], np.ones(4))
    np.testing.assert_array_equal(alter(image, "turned_270")[0, 0, :, 0], np.ones(4))
    np.testing.assert_array_equal(alter(image, "inverted")[0, 0, 0], np.zeros(4))


def test_a_reference_is_fitted_on_a_folder(demo_bundle, tmp_path, phantom_png, monkeypatch):
    """`cxr reference` writes a file that the service of the same bundle takes, and says how stable
    it is; a file that is no radiograph is left out with the reason."""
    folder = tmp_path / "radiographs"
    folder.mkdir()
    for seed in range(20):
        (folder / f"{seed}.png").write_bytes(phantom_png(seed, opacity=seed % 2 == 0))
    (folder / "notes.txt").write_text("no image")
    out = tmp_path / "site.npz"
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    done = CliRunner().invoke(reference_command, [str(folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "radiographs: 20 images" in done.stdout
    assert "of the other half are not usual" in done.stdout
    assert "notes.txt: " in done.stderr
    assert "20 images are few" in done.stderr
    gate = open_gate(open_bundle(demo_bundle), out, "refuse")
    assert gate.reference.record.populations[0].images == 20


def test_too_few_images_are_refused_with_the_number_that_is_needed(demo_bundle, tmp_path):
    """An empty folder makes no reference."""
    settings = read_settings(bundle=str(demo_bundle))
    with pytest.raises(DatasetRefused, match="0 images are too few: a reference needs at least 20"):
        run([str(tmp_path)], None, tmp_path / "out.npz", 0.01, settings)


def test_the_demo_bundle_has_a_reference_of_its_own(demo_bundle):
    """Radiographs of children and drawn phantoms are its populations."""
    gate = open_gate(open_bundle(demo_bundle), None, "refuse")
    names = [each.name for each in gate.reference.record.populations]
    assert names == ["radiographs of children", "drawn phantoms"]
