"""Export: proof before publication, all or nothing."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from export.bundle.build import export_bundle
from export.bundle.check_images import folder, phantoms
from export.bundle.emulation import emulate
from export.bundle.graphs import ONNX
from export.bundle.network import ExportableNetwork
from export.bundle.parity import BATCH_SIZES, Deviation, compare, eager_reference
from export.bundle.publish import bento_tag, publish, register, staging
from export.bundle.record import PARITY
from export.bundle.speed import with_unmeasured
from export.bundle.variants import PREFERENCE
from export.checkpoints.eager import eager_network, run_eager
from export.checkpoints.weights import load_weights
from export.demo.phantom import make_phantom
from export.errors import ParityFailed
from service.network.bundle import Manifest, open_bundle, read_manifest
from service.network.runtime import Outputs, load_runtime, unavailable_reason
from service.network.scores import sigmoid


def test_the_exportable_network_answers_as_the_library_does(network):
    """Our wrapper around random weights gives the library's logits, and cams that explain them."""
    pixels = np.random.default_rng(0).random((3, 1, 224, 224), np.float32)
    logits, cams, features = ExportableNetwork(network)(torch.from_numpy(pixels))
    with torch.inference_mode():
        theirs = network(torch.from_numpy(pixels) * 2048 - 1024)
    torch.testing.assert_close(logits, theirs, atol=1e-5, rtol=1e-5)
    averages = cams.mean(dim=(2, 3)) + network.classifier.bias
    torch.testing.assert_close(averages, logits, atol=1e-5, rtol=1e-5)
    theirs = run_eager(network, pixels).features
    apart = np.abs(features.numpy() - theirs).max(axis=1) / theirs.max(axis=1)
    assert apart.max() <= 1e-4  # the bound that an export is held to


def test_parity_of_the_demo_bundle_is_on_record(demo_bundle):
    """parity.json proves both graphs at every batch size: logits to 1e-4, every decision."""
    parity = json.loads((demo_bundle / PARITY).read_text())
    for name in ("onnxruntime-float32", "torchscript-float32"):
        deviations = parity["variants"][name]
        assert [deviation["batch_size"] for deviation in deviations] == list(BATCH_SIZES)
        for deviation in deviations:
            assert deviation["images"] == len(parity["images"]) >= 16
            assert deviation["max_logit"] <= 1e-4
            assert deviation["changed_decisions"] == 0


def test_a_bundle_names_no_folder_of_the_exporting_machine(demo_bundle):
    """No file says where the exporter was installed, nor what it was called by."""
    places = [str(Path(__file__).parents[2]).encode(), str(Path(torch.__file__).parent).encode()]
    for path in demo_bundle.iterdir():
        if path.name != "network.torchscript.pt":
            assert not any(place in path.read_bytes() for place in places), path.name
    with zipfile.ZipFile(demo_bundle / "network.torchscript.pt") as archive:
        for name in archive.namelist():
            assert not any(place in archive.read(name) for place in places), name


def test_the_golden_pair_is_the_librarys_own_answer(demo_bundle):
    """The golden output in the bundle comes from the library, not from a graph."""
    pixels, logits = open_bundle(demo_bundle).golden_pair()
    theirs = run_eager(eager_network(load_weights("demo")), pixels).logits
    np.testing.assert_allclose(logits, theirs, atol=1e-5)


def test_another_processor_exports_the_same_bundle(demo_bundle, tmp_path):
    """A machine without VNNI and bfloat16 publishes the same variants in files of the same bytes,
    so under the same version; parity.json says which it emulated."""
    flags = tmp_path / "cpuinfo"
    flags.write_text("model name\t: Old\nflags\t\t: sse4_1 fma avx2\n")
    hidden = ["unshare", "--mount", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*hidden, "true"], check=False).returncode:
        pytest.skip("no mount namespace can be had here, in which to hide the processor's flags")
    script = f'mount --bind {flags} /proc/cpuinfo && exec "$@"'
    command = [Path(sys.executable).with_name("cxr"), "export", "--weights", "demo"]
    subprocess.run(
        [*hidden, "sh", "-c", script, "sh", *command, "--out", tmp_path],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "BENTOML_HOME": str(tmp_path / "bentoml")},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    theirs, ours = read_manifest(tmp_path / "demo"), read_manifest(demo_bundle)
    assert theirs.speed.machine.processor == "Old"
    assert theirs.version == ours.version
    names = [variant.name for variant in ours.variants]
    assert [variant.name for variant in theirs.variants] == names
    assert set(theirs.ranking) == set(ours.ranking) == set(names) - {"torchscript-float32"}
    assert theirs.chosen == "openvino-int8"
    emulated = json.loads((tmp_path / "demo" / PARITY).read_text())["emulated"]
    assert set(emulated) == {"openvino-int8", "openvino-bfloat16"}


def test_what_is_not_measured_is_ranked_behind_what_is_preferred_to_it():
    """A variant without a figure stands behind the next better one of its kind, or at the front."""
    names = ("onnxruntime-float32", "openvino-float32", *PREFERENCE[:3])
    measured = ("openvino-int8w7", "onnxruntime-float32", "openvino-float32")
    expected = (*PREFERENCE[:3], "onnxruntime-float32", "openvino-float32")
    assert with_unmeasured(measured, names) == expected
    fast = ("openvino-bfloat16", "openvino-int8", "openvino-float32", "onnxruntime-float32")
    assert with_unmeasured(fast, names) == (*fast[:2], "openvino-int8w7", *fast[2:])


@pytest.mark.parametrize(
    ("name", "bound"), [("int8", 0.005), ("int8w7", 0.005), ("bfloat16", 0.01)]
)
def test_an_emulated_variant_answers_nearly_as_the_processor_does(demo_bundle, name, bound):
    """What a processor has no instructions for is held against the library by the same numbers, but
    for how sums are rounded."""
    variant = read_manifest(demo_bundle).variant("openvino", name)
    if reason := unavailable_reason(variant):
        pytest.skip(reason)
    pixels = np.stack([make_phantom(seed, opacity=seed % 2 == 0).pixels for seed in range(4)])
    runtime, _ = emulate(demo_bundle, variant, eager_network(load_weights("demo")))
    native = load_runtime(demo_bundle, variant, threads=1)
    emulated, real = (sigmoid(one.run(pixels[:, None]).logits) for one in (runtime, native))
    pneumonia = read_manifest(demo_bundle).labels.index("Pneumonia")
    assert np.abs(emulated - real)[:, pneumonia].max() <= bound


class _Shifted:
    """A runtime that answers as the library does, but for a shift of every logit."""

    def __init__(self, library, shift: float) -> None:
        self._library, self._shift = library, shift

    def run(self, pixels: np.ndarray) -> Outputs:
        answer = run_eager(self._library, pixels)
        logits = answer.logits + np.float32(self._shift)
        cams = np.broadcast_to(logits[:, :, None, None], (*logits.shape, 7, 7))
        return Outputs(logits, cams, answer.features)


@pytest.mark.parametrize(
    ("shift", "named"),
    [(0.0, []), (2e-3, ["logit difference"]), (3.0, ["logit difference", "changed decisions"])],
    ids=["exact", "drifted", "another decision"],
)
def test_parity_names_the_figure_that_is_out_of_tolerance(shift, named):
    """A graph that drifts is caught, and the fault says by how much and at which batch size."""
    weights = load_weights("demo")
    library = eager_network(weights)
    evidence = phantoms(range(90_000, 90_001))
    reference = eager_reference(library, evidence)
    deviation = compare(
        _Shifted(library, shift),
        reference,
        evidence,
        weights.labels,
        weights.operating_points,
        np.zeros(18, np.float32),
        3,
    )
    faults = deviation.faults(1e-4)
    assert len(faults) == len(named)
    for fault, name in zip(faults, named, strict=True):
        assert fault.startswith("batch size 3: ")
        assert name in fault


def test_a_figure_that_is_not_a_number_is_out_of_tolerance():
    """NaN never passes for parity."""
    deviation = Deviation(1, 1, float("nan"), float("nan"), 0.0, 0.0, 0, 0.0, 0.0)
    assert deviation.faults(1e-4) == ["batch size 1: |logit difference| nan > 0.0001"]


def test_out_of_tolerance_publishes_nothing(tmp_path):
    """Where parity fails the old bundle stays as it was and nothing is left beside it."""
    old = tmp_path / "demo"
    old.mkdir()
    (old / "manifest.json").write_text("old")
    weights = load_weights("demo")
    with pytest.raises(ParityFailed, match=r"onnxruntime-float32, batch size 1: \|logit"):
        export_bundle(weights, tmp_path, None, lambda _line: None, limit=1e-9)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    assert (old / "manifest.json").read_text() == "old"


def test_publishing_exchanges_the_folders(tmp_path, demo_bundle):
    """A published bundle replaces the old one whole: no file of the old one is left."""
    manifest = read_manifest(demo_bundle)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "leftover").write_text("old")
    with staging(tmp_path, "demo") as staged:
        (staged / ONNX).write_bytes(b"graph")
        target = publish(staged, manifest, tmp_path)
    assert sorted(path.name for path in target.iterdir()) == ["manifest.json", ONNX]
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_the_model_store_holds_the_bundle_under_its_exact_tag(demo_bundle):
    """Registering copies the bundle under cxr-NAME:VERSION; doing it again changes nothing."""
    import bentoml

    manifest: Manifest = read_manifest(demo_bundle)
    tag = register(demo_bundle, manifest)
    assert tag == bento_tag(manifest) == f"cxr-demo:{manifest.version}"
    assert register(demo_bundle, manifest) == tag
    stored = open_bundle(Path(bentoml.models.get(tag).path))
    assert stored.manifest == manifest


def test_evidence_names_the_files_that_it_could_not_read(tmp_path, phantom_png):
    """Comparison images come through the service's own decoder; others are listed, not lost."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "good.png").write_bytes(phantom_png(1))
    (tmp_path / "notes.txt").write_text("no image")
    evidence = folder(tmp_path)
    assert evidence.names == ("a/good.png",)
    assert evidence.pixels.shape == (1, 1, 224, 224)
    assert [refused.split(":")[0] for refused in evidence.refused] == ["notes.txt"]


def test_random_weights_of_upstreams_pickle_export(tmp_path, published):
    """A whole pickled module of random weights becomes a bundle with labels of its own kind."""
    weights = load_weights(
        str(published), trust_unknown_pickle=True, labels_from="densenet121-res224-all"
    )
    exported = export_bundle(weights, tmp_path, None, lambda _line: None)
    manifest = read_manifest(exported.folder)
    assert manifest.named()[8] == "Pneumonia"
    assert len(manifest.named()) == 18
    assert not manifest.weights.demo
