import copy
import hashlib
import json
import math
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from checkpoints import Mark

from export.checkpoints import labels
from export.checkpoints.checkpoint import (
    Checkpoint,
    checked_state,
    read_safetensors,
    write_safetensors,
)
from export.checkpoints.eager import eager_network
from export.checkpoints.upstream import OFFICIAL
from export.checkpoints.weights import DEMO_CHECKPOINT, load_demo, load_weights
from export.errors import WeightsRefused

LABELS = [f"Finding {i}" if i != 8 else "Pneumonia" for i in range(17)] + [""]
POINTS = [0.01 * (i + 1) for i in range(17)] + [math.nan]
REPORT = {"labels": LABELS, "op_threshs": [*POINTS[:17], None]}


@pytest.fixture
def state(network):
    """A state dict that may be changed."""
    return dict(network.state_dict())


@pytest.fixture
def save(tmp_path):
    """Write a checkpoint with the report beside it that names its outputs."""

    def write(content, name="mine.pt", report=REPORT, **options):
        path = tmp_path / name
        if path.suffix == ".safetensors":
            safetensors.torch.save_file(content, path, **options)
        else:
            torch.save(content, path, **options)
        if report is not None:
            path.with_suffix(".json").write_text(json.dumps(report))
        return str(path)

    return write


def assert_same(weights, network):
    for name, tensor in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(weights.state[name], tensor), name


def labelled(network):
    """A copy with labels and operating points, as the library sets them."""
    one = copy.deepcopy(network)
    one.targets = one.pathologies = LABELS
    one.op_threshs = torch.tensor(POINTS)
    return one


def test_a_whole_module_brings_its_labels(network, save):
    """A pickled module that is trusted gives its own labels, operating points and tensors."""
    path = save(labelled(network), report=None)
    weights = load_weights(path, trust_unknown_pickle=True)
    assert_same(weights, network)
    assert weights.labels == tuple(LABELS)
    np.testing.assert_array_equal(
        np.float32(weights.operating_points), np.array(POINTS, np.float32)
    )
    assert (weights.name, weights.source, weights.url) == ("mine", "file", None)
    with open(path, "rb") as file:  # noqa: PTH123
        assert weights.sha256 == hashlib.sha256(file.read()).hexdigest()
    assert eager_network(weights).targets == LABELS


def test_the_modules_of_older_versions_are_read(network, save):
    """Modules pickled before PyTorch 1.6, without some attributes and in its old format."""
    old = labelled(network)
    for module in old.modules():
        del module.__dict__["_non_persistent_buffers_set"]
    path = save(old, report=None, _use_new_zipfile_serialization=False)
    assert_same(load_weights(path, trust_unknown_pickle=True), network)


def test_a_parallel_module_is_unwrapped(network, save):
    """torch.nn.DataParallel around the network changes nothing."""
    path = save(torch.nn.DataParallel(labelled(network)), report=None)
    assert_same(load_weights(path, trust_unknown_pickle=True), network)


def test_an_unknown_pickle_is_not_run(tmp_path, save):
    """Without a flag or a digest nothing that a file brings along is executed."""
    mark = tmp_path / "unpickled"
    path = save({"mark": Mark(mark)})
    with pytest.raises(WeightsRefused, match="--trust-pickle") as refusal:
        load_weights(path)
    assert refusal.value.code == "pickle_not_trusted"
    with pytest.raises(WeightsRefused, match="expected 0000") as refusal:
        load_weights(path, sha256="0" * 64, trust_unknown_pickle=True)
    assert refusal.value.code == "wrong_digest"
    assert not mark.exists()


def test_a_digest_that_matches_is_trust(network, published):
    """A whole module whose digest the caller names needs no flag, in either case of letters."""
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    name = "densenet121-res224-chex"
    weights = load_weights(str(published), sha256=digest.upper(), labels_from=name)
    assert_same(weights, network)
    assert weights.labels == OFFICIAL[name].labels
    np.testing.assert_array_equal(weights.operating_points, OFFICIAL[name].operating_points)


def test_labels_are_never_guessed(published):
    """A module without labels of its own does not get the class's list of 18."""
    with pytest.raises(WeightsRefused, match=r"no labels and operating points\. Give --like") as e:
        load_weights(str(published), trust_unknown_pickle=True)
    assert e.value.code == "labels_unknown"


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state,
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {k: t for k, t in state.items() if not k.endswith("num_batches_tracked")},
        lambda state: {k: t.double() if t.is_floating_point() else t for k, t in state.items()},
    ],
    ids=["plain", "data parallel", "without num_batches_tracked", "float64"],
)
def test_a_state_dict_needs_no_trust(network, state, save, change):
    """A plain state dict is read without running anything, with labels from the file beside it."""
    weights = load_weights(save(change(state)))
    assert_same(weights, network)
    assert weights.labels == tuple(LABELS)
    np.testing.assert_array_equal(weights.operating_points, POINTS)


def test_safetensors_states_its_labels_in_its_metadata(network, state, save):
    """Labels and operating points in the metadata, JSON with null for none, are enough."""
    metadata = {key: json.dumps(value) for key, value in REPORT.items()}
    path = save(state, "mine.safetensors", report=None, metadata=metadata)
    weights = load_weights(path)
    assert_same(weights, network)
    assert weights.labels == tuple(LABELS)
    np.testing.assert_array_equal(weights.operating_points, POINTS)


def test_safetensors_round_trip(state, save):
    """What the conversion writes reads back to the same bits."""
    weights = load_weights(save(state))
    again = read_safetensors(write_safetensors(weights.state), "again").state
    assert list(again) == list(weights.state)
    for name, tensor in weights.state.items():
        assert again[name].dtype == torch.float32
        assert again[name].numpy().tobytes() == tensor.numpy().tobytes(), name


def wrong_shape(state):
    state["classifier.weight"] = torch.zeros(14, 1024)


def missing(state):
    del state["features.norm5.running_var"]


def unknown(state):
    state["head.weight"] = torch.zeros(1)


def integers(state):
    state["classifier.bias"] = torch.zeros(18, dtype=torch.int64)


def not_finite(state):
    state["classifier.bias"] = torch.full((18,), math.nan)


def not_a_tensor(state):
    state["classifier.bias"] = [0.0] * 18


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (wrong_shape, r'"classifier.weight" has the shape \(14, 1024\), expected \(18, 1024\)'),
        (missing, '"features.norm5.running_var" is missing'),
        (unknown, '"head.weight" is no tensor of this network'),
        (integers, '"classifier.bias" holds torch.int64'),
        (not_finite, '"classifier.bias" holds numbers that are not finite'),
        (not_a_tensor, '"classifier.bias" is no dense tensor'),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_tensors_that_do_not_fit_are_named(state, change, said):
    """A checkpoint of another network is refused by the name of the tensor that does not fit."""
    change(state)
    with pytest.raises(WeightsRefused, match=said):
        checked_state(state, "mine.pt")


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({"labels": LABELS}, "no operating points"),
        ({"op_threshs": REPORT["op_threshs"]}, "no labels"),
        ({**REPORT, "labels": LABELS[:17]}, "17 labels for 18 outputs"),
        ({**REPORT, "labels": ["Pneumonia"] * 18}, "a label occurs twice"),
        ({**REPORT, "labels": [*LABELS[:8], "Edema", *LABELS[9:]]}, 'labelled "Pneumonia"'),
        ({**REPORT, "labels": 18}, "not a list of strings"),
        ({**REPORT, "op_threshs": [0.5] * 17}, "17 operating points for 18 outputs"),
        ({**REPORT, "op_threshs": [1.5] * 18}, r"point 0 is 1\.5, not in \(0, 1\)"),
        ({**REPORT, "op_threshs": ["x"] * 18}, "point 0 is not a number"),
        ({**REPORT, "op_threshs": "0.5"}, "not a list"),
        ({**REPORT, "op_threshs": [None] * 18}, "Pneumonia has no operating point"),
        ([], "no JSON object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_labels_that_do_not_fit_are_refused(tmp_path, report, said):
    """Every output has one label, and Pneumonia, which has an operating point, is among them."""
    (tmp_path / "mine.json").write_text(json.dumps(report))
    with pytest.raises(WeightsRefused, match=said):
        labels.of_file(tmp_path / "mine.pt", Checkpoint({}), None)


def test_two_sources_must_agree_on_labels(tmp_path):
    """--like with weights of other labels than the file's own is a mistake, not a choice."""
    read = Checkpoint({}, LABELS, POINTS)
    with pytest.raises(WeightsRefused, match="do not name the same labels"):
        labels.of_file(tmp_path / "mine.pt", read, OFFICIAL["densenet121-res224-all"])


@pytest.mark.parametrize("name", ["mine.pt", "mine.pth", "mine.safetensors"])
@pytest.mark.parametrize(
    "data", [b"", b"hello", b"PK\x03\x04 not a zip"], ids=["empty", "text", "zip"]
)
@pytest.mark.parametrize("trust", [False, True], ids=["", "trusted"])
def test_what_is_no_checkpoint_is_refused(tmp_path, name, data, trust):
    """Damaged files of either kind are refused as such, trusted or not."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsRefused, match="damaged"):
        load_weights(str(tmp_path / name), trust_unknown_pickle=trust)


def test_a_truncated_checkpoint_is_refused(published, tmp_path):
    """Half a file is not half a network."""
    (tmp_path / "half.pt").write_bytes(published.read_bytes()[:10_000_000])
    with pytest.raises(WeightsRefused, match="damaged"):
        load_weights(str(tmp_path / "half.pt"), trust_unknown_pickle=True)


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("densenet121-res224-al", {}, "none of these names: demo, densenet121-res224-all, "),
        ("all", {}, "none of these names: demo"),
        ("missing.pt", {}, '"missing.pt" is no file'),
        ("demo", {"labels_from": "demo"}, '"demo" is no official name'),
        ("demo", {"labels_from": "densenet121-res224-all"}, "--like is for files"),
        ("demo", {"sha256": "0" * 64}, "not 0000"),
        (str(DEMO_CHECKPOINT.with_suffix(".json")), {}, r"neither .safetensors, .pt nor .pth"),
    ],
)
def test_what_is_not_known_is_refused(spec, options, said):
    """A mistyped name is answered with the names that there are; nothing is fallen back to."""
    with pytest.raises(WeightsRefused, match=said):
        load_weights(spec, **options)


def test_the_demo_weights():
    """The embedded weights say what they are: one finding, its operating point, children."""
    weights = load_weights("demo")
    assert (weights.name, weights.source, weights.demo) == ("demo", "demo", True)
    assert weights.sha256 == "3ca767d1e3b5df407569cfa7ace32d3acc2719b53c3d856c34da551cfd903195"
    assert [label for label in weights.labels if label] == ["Pneumonia"]
    assert weights.operating_points[8] == 0.15559694170951843
    assert weights.training_ages == (1, 5)
    assert "CC BY 4.0" in weights.licence
    assert {tensor.dtype for tensor in weights.state.values()} == {torch.float32}


def test_a_copy_of_the_demo_weights_is_still_the_demo(tmp_path):
    """Under another name they do not become weights for use."""
    shutil.copy(DEMO_CHECKPOINT, tmp_path / "ours.safetensors")
    assert load_weights(str(tmp_path / "ours.safetensors")).demo


@pytest.mark.parametrize("part", ["demo.safetensors", "demo.json"])
def test_changed_demo_weights_are_refused(tmp_path, part):
    """Neither the embedded checkpoint nor its operating point can be changed unnoticed."""
    for name in ("demo.safetensors", "demo.json"):
        shutil.copy(DEMO_CHECKPOINT.with_name(name), tmp_path / name)
    data = (tmp_path / part).read_bytes()
    (tmp_path / part).write_bytes(
        data.replace(b"0.1555", b"0.9555") if "json" in part else data[1:]
    )
    with pytest.raises(WeightsRefused, match=part):
        load_demo(tmp_path / "demo.safetensors")


def test_a_file_does_not_take_the_name_of_known_weights(state, save):
    """A file called demo.pt does not become the demo."""
    weights = load_weights(save(state, "demo.pt"))
    assert (weights.name, weights.demo) == ("file-demo", False)


def test_a_file_is_named_after_itself(state, save):
    """Its name is made fit for a folder and a tag."""
    assert load_weights(save(state, "My Weights (2).pt")).name == "my-weights-2"
