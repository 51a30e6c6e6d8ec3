import math

import numpy as np
import pytest
import torch

from export.checkpoints.eager import eager_network, run_eager
from export.checkpoints.upstream import OFFICIAL, library
from export.checkpoints.weights import load_official, load_weights
from export.demo.phantom import make_phantom

NAMES = ["all", "nih", "pc", "chex", "rsna", "mimic_nb", "mimic_ch"]


def test_there_are_seven_official_names():
    """The official names are TorchXRayVision's DenseNet-121 ones, without its ResNet."""
    assert list(OFFICIAL) == [f"densenet121-res224-{name}" for name in NAMES]


def test_the_published_digest_is_pinned():
    """Of the weights whose size and digest are published, both are pinned."""
    pinned = OFFICIAL["densenet121-res224-all"]
    assert pinned.size == 28_382_008
    assert pinned.sha256 == "56524913dd16a906422e8d8b66a7a5c46be1d82eb7ac012d8103776f1aa68899"
    assert pinned.filename.startswith("nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121")


@pytest.mark.parametrize("name", NAMES)
def test_official_facts_are_the_librarys(name):
    """Labels, operating points and address are what the library itself uses."""
    facts, ours = library.models.model_urls[name], OFFICIAL[f"densenet121-res224-{name}"]
    assert list(ours.labels) == facts["labels"]
    np.testing.assert_array_equal(ours.operating_points, facts["op_threshs"])
    assert ours.url == facts["weights_url"]


@pytest.mark.parametrize("name", [*OFFICIAL, "demo"])
def test_operating_points_belong_to_labels(name):
    """In each of the eight sets, outputs with a label, and no others, have an operating point."""
    weights = load_weights("demo") if name == "demo" else OFFICIAL[name]
    assert len(weights.labels) == len(weights.operating_points) == 18
    assert weights.labels[8] == "Pneumonia"
    for label, point in zip(weights.labels, weights.operating_points, strict=True):
        assert 0 < point < 1 if label else math.isnan(point)


@pytest.fixture(scope="module")
def batch():
    return np.stack([make_phantom(seed, bool(seed % 2)).pixels[None] for seed in (3, 4, 5)])


@pytest.fixture(scope="module")
def both(published, tmp_path_factory):
    """The network that the library loads by name from a file, and ours from the same file."""
    official = OFFICIAL["densenet121-res224-rsna"]
    folder = tmp_path_factory.mktemp("cache")
    (folder / official.filename).write_bytes(published.read_bytes())
    theirs = library.models.DenseNet(weights=official.name, cache_dir=str(folder))
    return theirs, eager_network(load_official(official, folder))


def test_the_network_is_the_one_the_library_loads(both):
    """Ours has the class, labels, operating points, resolution and tensors of the library's."""
    theirs, ours = both
    assert type(ours) is type(theirs)
    assert not ours.training
    assert ours.targets == ours.pathologies == theirs.targets
    assert ours.input_resolution == theirs.input_resolution == 224
    assert torch.equal(ours.op_threshs.nan_to_num(-1), theirs.op_threshs.nan_to_num(-1))
    state = ours.state_dict()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(state[name].nan_to_num(-1), tensor.nan_to_num(-1)), name


def test_it_is_run_as_the_library_documents(both, batch):
    """Scores are the library's forward on [-1024, 1024], logits its classifier's output."""
    theirs, ours = both
    answer = run_eager(ours, batch)
    scaled = torch.from_numpy((2 * batch - 1) * np.float32(1024))
    with torch.inference_mode():
        logits = theirs.classifier(theirs.features2(scaled))
        scores = theirs(scaled)
    np.testing.assert_array_equal(answer.logits, logits.numpy())
    np.testing.assert_array_equal(answer.probabilities, torch.sigmoid(logits).numpy())
    np.testing.assert_array_equal(answer.scores, scores.numpy())
    assert answer.scores.shape == (3, 18)
    assert set(answer.scores[:, 0]) == {0.5}  # -rsna names nothing there


def test_a_black_image_is_run_without_chatter(both, capsys):
    """The library's guess that an image is scaled wrongly is not printed where it cannot be."""
    library.utils.warning_log.pop("norm_check", None)
    run_eager(both[1], np.zeros((1, 1, 224, 224), np.float32))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 224, 224), np.float32),
        np.zeros((1, 3, 224, 224), np.float32),
        np.zeros((1, 1, 112, 112), np.float32),
        np.zeros((0, 1, 224, 224), np.float32),
        np.full((1, 1, 224, 224), -0.01, np.float32),
        np.full((1, 1, 224, 224), 255, np.float32),
        np.full((1, 1, 224, 224), np.nan, np.float32),
    ],
    ids=["no channel", "colour", "small", "empty", "below 0", "8 bits", "NaN"],
)
def test_other_pixels_are_refused(both, pixels):
    """The scale and shape of the input are checked, since wrong ones give plausible scores."""
    with pytest.raises(ValueError, match="pixels must"):
        run_eager(both[1], pixels)


def test_the_demo_tells_phantoms_apart(batch):
    """The embedded weights score a phantom with an opacity above the operating point only."""
    scores = run_eager(eager_network(load_weights("demo")), batch).scores[:, 8]
    assert (scores > 0.5).tolist() == [True, False, True]
