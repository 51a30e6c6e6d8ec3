"""The drift gate and what is calibrated on."""

import numpy as np
import pytest

from export.bundle.calibration import gather_calibration, vary
from export.bundle.check_images import CheckImages, folder
from export.bundle.drift import auc, auc_difference, drift
from export.bundle.quantise import quantisable
from export.bundle.variants import CANDIDATES, golden_tolerance
from export.checkpoints.eager import EagerAnswer
from export.errors import CalibrationRefused
from service.network.runtime import Outputs
from service.network.scores import op_norm, sigmoid

LABELS = ("Pneumonia", "")
POINTS = (0.3, float("nan"))


def _logit(probability):
    return np.log(probability / (1 - probability))


def _compare(eager, variant, features=None, changed=None):
    """Drift of two lists of probabilities of pneumonia, and of features, without phantoms."""

    def columns(probabilities):
        return np.array([[_logit(p), 0.0] for p in probabilities], np.float32)

    theirs = columns(eager)
    probabilities = sigmoid(theirs)
    reference = EagerAnswer(
        theirs,
        probabilities,
        op_norm(probabilities, np.array(POINTS, np.float32)),
        np.ones((len(eager), 1), np.float32) if features is None else features,
    )
    names = tuple(f"image {index}" for index in range(len(eager)))
    evidence = CheckImages(
        np.zeros((len(eager), 1, 1, 1), np.float32), names, positive=(None,) * len(eager)
    )
    logits = columns(variant)
    outputs = Outputs(logits, logits, reference.features if changed is None else changed)
    (found,) = drift(outputs, reference, evidence, LABELS, POINTS)
    return found


def test_a_variant_within_the_limit_passes():
    """Small differences without another decision are no fault, and the figures are exact."""
    found = _compare([0.1, 0.5, 0.9], [0.11, 0.5, 0.88])
    assert found.faults(0.03) == []
    assert found.max_probability == pytest.approx(0.02, abs=1e-6)
    assert found.mean_probability == pytest.approx(0.01, abs=1e-6)
    assert found.changed == ()


def test_a_variant_over_the_limit_is_kept_out():
    """A probability further away than the limit is named with its figure."""
    assert _compare([0.1], [0.14]).faults(0.03) == [
        "radiographs: |probability difference| 0.04 > 0.03"
    ]


def test_a_changed_decision_near_the_operating_point_is_listed_but_no_fault():
    """Nearer than the limit the library itself is a coin toss: counted, named, let through."""
    found = _compare([0.295], [0.31])
    assert found.faults(0.03) == []
    assert [(change.image, change.label) for change in found.changed] == [("image 0", "Pneumonia")]
    assert found.changed[0].distance == pytest.approx(0.005, abs=1e-6)


def test_a_changed_decision_far_from_the_operating_point_is_a_fault():
    """A decision that changes further away than the limit keeps the variant out."""
    faults = _compare([0.2], [0.4]).faults(0.03)
    assert faults[1] == (
        "radiographs: 1 changed decisions further than 0.03 from the operating point, "
        "first Pneumonia on image 0"
    )


def test_noisy_features_keep_a_variant_out():
    """Noise is measured between square roots, of what tells the images apart."""
    features = np.square(np.array([[1], [3]], np.float32))
    quiet = _compare([0.1, 0.1], [0.1, 0.1], features, np.square([[1.05], [3.05]]))
    assert quiet.feature_noise == pytest.approx(0.05)
    assert quiet.faults(0.03) == []
    noisy = _compare([0.1, 0.1], [0.1, 0.1], features, np.square([[1.2], [3.2]]))
    assert noisy.faults(0.03) == ["radiographs: noise of the features 0.2 > 0.1"]


def test_not_a_number_never_passes():
    """A variant that answers NaN is over every limit."""
    assert _compare([0.2], [float("nan")]).faults(1.0)


def test_auc_counts_ties_by_half():
    """The area is the share of pairs in the right order, ties by half."""
    truth = np.array([True, True, False, False])
    assert auc(truth, np.array([3.0, 1.0, 2.0, 0.0])) == 0.75
    assert auc(truth, np.array([1.0, 1.0, 1.0, 1.0])) == 0.5


def test_the_auc_difference_comes_with_its_interval():
    """Two images that trade places cost what the pairs say, inside the interval."""
    eager = np.array([4.0, 3.0, 2.0, 1.0])
    found = auc_difference(eager, np.array([4.0, 2.0, 3.0, 1.0]), (True, True, False, False))
    assert (found.eager, found.difference, found.images) == (1.0, -0.25, 4)
    assert found.low <= -0.25 <= found.high


def test_without_both_classes_there_is_no_auc():
    """Unlabelled images, or labels of one class, give no area."""
    assert auc_difference(np.zeros(2), np.zeros(2), (None, True)) is None


def test_folders_label_their_images(tmp_path, phantom_png):
    """NORMAL and PNEUMONIA in the path are labels; an image elsewhere has none."""
    for name in ("NORMAL", "pneumonia", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.png").write_bytes(phantom_png(3))
    found = folder(tmp_path)
    assert dict(zip(found.names, found.positive, strict=True)) == {
        "NORMAL/one.png": False,
        "other/one.png": None,
        "pneumonia/one.png": True,
    }


def test_a_folder_without_radiographs_is_no_calibration(tmp_path):
    """A folder to calibrate on that holds nothing readable is refused by name."""
    with pytest.raises(CalibrationRefused, match=str(tmp_path)):
        gather_calibration(tmp_path)


def test_varied_images_are_images():
    """Variation keeps the shape, the type and the range, and depends on the seed alone."""
    image = np.linspace(0, 1, 224 * 224, dtype=np.float32).reshape(1, 224, 224)
    for seed in range(12):
        varied = vary(image, np.random.default_rng(seed))
        assert varied.shape == (1, 224, 224)
        assert varied.dtype == np.float32
        assert 0 <= varied.min() <= varied.max() <= 1
        np.testing.assert_array_equal(varied, vary(image, np.random.default_rng(seed)))


def test_zero_lies_on_a_level():
    """Every range holds zero, and zero is one of its 256 levels to the last digit."""
    low, high = quantisable(np.array([0.5, -1.0, -3.0, 0.0]), np.array([1.0, 2.0, -1.0, 0.0]))
    assert (low <= 0).all()
    assert (high >= 0).all()
    steps = -low / ((high - low) / 255)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


@pytest.mark.parametrize("variant", CANDIDATES, ids=lambda variant: variant.name)
def test_the_golden_tolerance_follows_what_was_seen(variant):
    """Float32 keeps 1e-4; the others get a little, and twice what they showed at export."""
    ours, theirs = np.array([[_logit(0.51)]]), np.array([[_logit(0.5)]])
    expected = 1e-4 if variant.precision == "float32" else 0.025
    assert golden_tolerance(variant, ours, theirs) == pytest.approx(expected, abs=1e-5)
