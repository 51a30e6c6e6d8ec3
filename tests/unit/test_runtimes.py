"""The runtime seam: which variant runs here, and that each one answers for itself alone."""

import json
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from export.demo.phantom import make_phantom
from service.errors import BundleRefused
from service.network.bundle import MachineRecord, Measurement, SpeedTable, Variant, open_bundle
from service.network.predictor import open_predictor
from service.network.runtime import (
    Runtime,
    batch_sizes,
    golden_check,
    load_runtime,
    open_runtime,
    prove,
    unavailable_reason,
)
from service.network.runtime.machine import (
    cpu_flags,
    cpu_name,
    instructions,
    missing_instructions,
)
from service.network.runtime.openvino_runtime import batch_sizes_up_to
from service.network.runtime.selection import select
from service.network.scores import sigmoid
from service.network.variant_speed import (
    choice_warning,
    faster_than_chosen,
    measure,
    overall,
    rank,
    this_machine,
)
from service.settings import read_settings

VARIANTS = [
    "onnxruntime-float32",
    "torchscript-float32",
    "openvino-float32",
    "openvino-bfloat16",
    "openvino-int8",
    "openvino-int8w7",
]


@pytest.fixture(scope="module")
def bundle(demo_bundle):
    return open_bundle(demo_bundle)


@pytest.fixture(scope="module")
def images():
    pairs = [make_phantom(seed, opacity=seed % 2 == 0).pixels for seed in range(20, 23)]
    return np.stack(pairs)[:, None]


@pytest.fixture(scope="module")
def runtime_of(bundle):
    """Open a variant by its name, once, on one thread.

    Also one that is never served here, because the processor lacks an instruction set: it is less
    exact then, and all else that holds of it holds here too.
    """
    opened = {}

    def give(name) -> Runtime:
        if name not in opened:
            variant = _variant(bundle, name)
            opened[name] = (
                _unguarded(bundle, variant)
                if unavailable_reason(variant)
                else open_runtime(bundle, variant, threads=1)
            )
        return opened[name]

    return give


def _variant(bundle, name) -> Variant:
    return bundle.manifest.variant(*name.split("-"))


def _unguarded(bundle, variant) -> Runtime:
    """A variant as it runs where the processor lacks what it needs; skip where it does not run."""
    try:
        return load_runtime(bundle.folder, variant.model_copy(update={"needs": None}), threads=1)
    except BundleRefused:  # OpenVINO has no bfloat16 without AVX-512
        pytest.skip(f"OpenVINO compiles nothing in {variant.precision} on this processor")


@pytest.mark.parametrize("name", VARIANTS)
def test_a_rows_answer_is_its_own(runtime_of, images, name):
    """Alone or among neighbours, an image gets the same logits and maps from every variant."""
    runtime = runtime_of(name)
    together = runtime.run(images)
    for row, image in enumerate(images):
        alone = runtime.run(image[None])
        np.testing.assert_allclose(alone.logits[0], together.logits[row], atol=1e-5)
        np.testing.assert_allclose(alone.cams[0], together.cams[row], atol=1e-4)


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        (1, (1,)),
        (2, (1, 2)),
        (3, (1, 3)),
        (4, (1, 4)),
        (8, (1, 4, 8)),
        (12, (1, 4, 8, 12)),
        (64, (1, 4, 8, 16, 32, 64)),
    ],
)
def test_openvino_is_compiled_for_the_largest_batch_that_is_asked_for(most, sizes):
    """The limit itself is a size, whatever it is, beside those below it that pay."""
    assert batch_sizes_up_to(most) == sizes


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("openvino-float32", 1e-5),
        ("openvino-bfloat16", 0.02),
        ("openvino-int8", 1e-5),
        ("openvino-int8w7", 1e-5),
    ],
)
def test_a_batch_of_the_size_that_was_set_runs_at_once(bundle, images, runtime_of, name, bound):
    """With CXR_MAX_BATCH=3 the service's runtime takes three images, and each gets its answer."""
    runtime_of(name)
    precision = name.split("-")[1]
    settings = read_settings(
        bundle=str(bundle.folder), runtime="openvino", precision=precision, threads=1, max_batch=3
    )
    runtime = open_predictor(settings).runtime
    assert batch_sizes(runtime, settings.max_batch) == (1, 3)
    expected = runtime_of(name).run(images)
    found = runtime.run(images)
    np.testing.assert_allclose(found.logits, expected.logits, atol=bound)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_map_explains_its_logit_in_every_variant(bundle, runtime_of, images, name):
    """The mean of a class activation map and the bias are the logit, whatever the precision."""
    outputs = runtime_of(name).run(images)
    rest = outputs.logits - outputs.cams.mean(axis=(2, 3))
    pneumonia = bundle.manifest.labels.index("Pneumonia")
    assert np.ptp(rest[:, pneumonia]) < (0.02 if "bfloat16" in name else 1e-4)


def test_runs_at_the_same_time_do_not_mix(bundle, runtime_of, images):
    """Threads that share the chosen runtime each get the answer to their own image."""
    runtime = runtime_of(bundle.manifest.chosen)
    expected = [runtime.run(image[None]).logits for image in images]
    found = {}

    def ask(row):
        for _ in range(3):
            found.setdefault(row, []).append(runtime.run(images[[row]]).logits)

    threads = [threading.Thread(target=ask, args=(row,)) for row in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for row, answers in found.items():
        for answer in answers:
            np.testing.assert_array_equal(answer, expected[row])


def test_the_golden_tolerance_is_tight_for_each_variant(bundle):
    """A float32 variant is held to 1e-4, the others to what the drift gate would let through."""
    for variant in bundle.manifest.variants:
        if variant.precision == "float32":
            assert variant.golden_tolerance == 1e-4
        else:
            assert 0 < variant.golden_tolerance < 0.03


def test_a_variant_that_answers_otherwise_is_refused(bundle, runtime_of):
    """Eight bits under a float32 tolerance are caught by the golden pair, with the figure."""
    name = "openvino-int8"
    variant = _variant(bundle, name).model_copy(update={"golden_tolerance": 1e-6})
    with pytest.raises(BundleRefused, match=r"openvino-int8 answers the golden .* over 1e-06"):
        prove(runtime_of(name), bundle, variant)


def test_steps_make_a_runtime_whole(bundle, images):
    """Staged, a runtime answers before its steps are done, and the same after; a step whose model
    answers the golden input otherwise leaves it as it is."""
    variant = bundle.manifest.variant("openvino", "float32")
    runtime = open_runtime(bundle, variant, 2, max_batch=4, staged=True)
    before = runtime.run(images).logits
    assert (runtime.batches, len(runtime.steps)) == ((1,), 2)
    largest, wide = runtime.steps
    with pytest.raises(BundleRefused, match="answers the golden input"):
        largest(golden_check(bundle, variant.model_copy(update={"golden_tolerance": -1.0})))
    assert runtime.batches == (1,)
    for step in (largest, wide):
        step(golden_check(bundle, variant))
    assert runtime.batches == (1, 4)
    np.testing.assert_allclose(runtime.run(images).logits, before, atol=1e-5)


def test_a_variant_that_fails_here_is_replaced_by_the_next(bundle, tmp_path, caplog):
    """The golden pair has the last word: the log has an error, and the next variant answers; one
    that was asked for is refused."""
    folder = _copy(bundle, tmp_path)
    record = json.loads((folder / "manifest.json").read_text())
    order = ["openvino-int8w7", "openvino-float32"]
    record.update(chosen=order[0], ranking=order)
    for variant in record["variants"]:
        if variant["name"] == order[0]:
            variant["golden_tolerance"] = 1e-6
    (folder / "manifest.json").write_text(json.dumps(record))
    predictor = open_predictor(read_settings(bundle=str(folder), threads=1))
    assert (predictor.model.runtime, predictor.model.precision) == ("openvino", "float32")
    assert "openvino-int8w7 answers the golden input with a probability" in predictor.note
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.message.endswith("not to be trusted here; the next variant is tried")
    with pytest.raises(BundleRefused, match="not to be trusted here"):
        open_predictor(read_settings(bundle=str(folder), threads=1, precision="int8w7"))


def test_without_a_wish_the_recorded_choice_runs(bundle):
    """The bundle's own choice is taken where it can run, without a note."""
    chosen = select(bundle.manifest)
    assert (chosen.variant.name, chosen.note) == (bundle.manifest.chosen, None)


def test_what_was_asked_for_is_what_runs(demo_bundle):
    """A runtime and a precision that are asked for are the ones that answer."""
    predictor = open_predictor(
        read_settings(bundle=str(demo_bundle), runtime="openvino", precision="float32")
    )
    assert (predictor.model.runtime, predictor.model.precision) == ("openvino", "float32")


def test_a_processor_without_vnni_gets_the_next_variant(bundle, tmp_path, monkeypatch):
    """Without VNNI the 8-bit choice is replaced by the next that runs, and the log is told why."""
    plain = tmp_path / "cpuinfo"
    plain.write_text("model name\t: Old\nflags\t\t: sse4_1 avx2\n")
    monkeypatch.setattr(
        "service.network.runtime.missing_instructions",
        lambda needs: missing_instructions(needs, plain),
    )
    manifest = bundle.manifest.model_copy(
        update={"chosen": "openvino-int8", "ranking": ("openvino-int8", "openvino-int8w7")}
    )
    chosen = select(manifest)
    assert chosen.variant.name == "openvino-int8w7"
    assert "openvino-int8: this processor has no VNNI" in chosen.note
    with pytest.raises(BundleRefused, match="has no VNNI"):
        select(manifest, "openvino", "int8")


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("cuda", "no CUDAExecutionProvider"),
        ("tensorrt", "no TensorrtExecutionProvider"),
        ("gpu", "OpenVINO finds no GPU here"),
    ],
)
def test_a_device_that_is_not_there_is_refused_by_name(bundle, device, reason):
    """Asking for an accelerator that is absent never falls back to the CPU in silence."""
    if all(unavailable_reason(variant, device) is None for variant in bundle.manifest.variants):
        pytest.skip(f"{device} is here")
    with pytest.raises(BundleRefused, match=reason):
        select(bundle.manifest, device=device)


def test_a_runtime_that_is_not_installed_is_said_to_be(bundle):
    """A variant whose package is missing names the package, and does not crash the others."""
    script = (
        "import sys; sys.modules['openvino'] = None\n"
        "from pathlib import Path\n"
        "from service.network.bundle import read_manifest\n"
        "from service.network.runtime import unavailable_reason\n"
        "from service.network.runtime.selection import select\n"
        f"manifest = read_manifest(Path({str(bundle.folder)!r}))\n"
        "print(unavailable_reason(manifest.variant('openvino', 'float32')))\n"
        "print(select(manifest).variant.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "openvino is not installed here (openvino)\nonnxruntime-float32\n"


def test_instruction_sets_are_read_from_the_processors_flags(tmp_path):
    """Each of the flags that stand for VNNI or bfloat16 is known; no file means none."""
    for flags, expected in [
        ("avx2 avx512_vnni", ("avx2", "vnni")),
        ("avx_vnni", ("vnni",)),
        ("amx_int8 amx_bf16", ("vnni", "bf16")),
        ("avx512_bf16", ("bf16",)),
        ("avx2", ("avx2",)),
        ("sse4_1", ()),
    ]:
        listed = tmp_path / flags.replace(" ", "-")
        listed.write_text(f"flags\t: {flags}\n")
        assert instructions(listed) == expected
    assert cpu_flags(tmp_path / "absent") == frozenset()


def test_an_arm_processor_gets_a_float32_variant(bundle, tmp_path, monkeypatch):
    """arm64 has none of the instruction sets of x86, whatever the bundle's choice; its processor is
    named by the numbers that Linux knows."""
    graviton = tmp_path / "cpuinfo"
    graviton.write_text(
        "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm bf16\n"
        "CPU implementer\t: 0x41\nCPU part\t: 0xd40\n"
    )
    monkeypatch.setattr(
        "service.network.runtime.missing_instructions",
        lambda needs: missing_instructions(needs, graviton),
    )
    manifest = bundle.manifest.model_copy(update={"chosen": "openvino-int8"})
    chosen = select(manifest)
    assert chosen.variant.precision == "float32"
    assert "openvino-float32 instead" in chosen.note or "onnxruntime-float32 instead" in chosen.note
    with pytest.raises(BundleRefused, match="has no AVX2"):
        select(manifest, precision="int8w7")
    assert cpu_name(graviton).endswith(" 0x41 0xd40")


def _row(variant, batch, rate):
    return Measurement(variant=variant, batch=batch, images_per_second=rate, milliseconds=1.0)


def _table(*rows):
    machine = MachineRecord(processor="P", instructions=(), threads=1)
    return SpeedTable(machine=machine, measurements=rows)


def test_variants_are_ranked_over_both_batch_sizes():
    """The order follows the geometric mean: neither a lone request nor a queue decides alone."""
    rows = [_row("a", 1, 10), _row("a", 8, 40), _row("b", 1, 30), _row("b", 8, 30)]
    assert overall(rows) == pytest.approx({"a": 20.0, "b": 30.0})
    assert rank(rows) == ("b", "a")


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(11.0, None), (20.0, "fast runs 2.00 times as fast as the variant in use, slow")],
    ids=["noise", "twice as fast"],
)
def test_a_choice_that_is_not_the_fastest_is_said(rate, expected):
    """A variant that is faster by more than noise is named with its factor."""
    said = faster_than_chosen(_table(_row("slow", 1, 10), _row("fast", 1, rate)), "slow")
    assert said is None if expected is None else said.startswith(expected)


def test_on_the_machine_of_the_record_the_record_answers(bundle):
    """Where the bundle was tuned on this kind of machine, its own choice needs no warning."""
    slow, fast = "onnxruntime-float32", "openvino-float32"
    speed = SpeedTable(machine=this_machine(), measurements=(_row(slow, 1, 10), _row(fast, 1, 20)))
    tuned = replace(bundle, manifest=bundle.manifest.model_copy(update={"speed": speed}))
    assert choice_warning(tuned, fast, measured=False) is None
    assert choice_warning(tuned, slow, measured=False).startswith(f"{fast} runs 2.00 times as fast")


def test_measuring_covers_every_runtime_and_batch_size(bundle):
    """Each variant gets a row for each batch size, with a rate and a time."""
    runtime = load_runtime(bundle.folder, bundle.manifest.variant("openvino", "float32"), 1)
    rows = measure({"one": runtime}, batches=(1, 2), seconds=0.01, rounds=1)
    assert [(row.variant, row.batch) for row in rows] == [("one", 1), ("one", 2)]
    assert all(row.images_per_second > 0 and row.milliseconds > 0 for row in rows)


def _copy(bundle, tmp_path):
    return shutil.copytree(bundle.folder, tmp_path / "demo")


FILES = [
    "golden.npz",
    "network.int8.bin",
    "network.int8.xml",
    "network.int8w7.bin",
    "network.int8w7.xml",
    "network.onnx",
    "network.torchscript.pt",
    "parity.html",
    "parity.json",
    "reference.npz",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_file_is_refused_by_name(bundle, tmp_path, name, damage):
    """One flipped byte, a short file or none at all in any file keeps the service from starting."""
    path = _copy(bundle, tmp_path) / name
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(data[:-1])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(BundleRefused, match=name.replace(".", r"\.")):
        open_bundle(path.parent)


def test_every_file_of_a_bundle_is_covered(bundle):
    """The list above and the manifest name every file that is in the folder."""
    held = {path.name for path in bundle.folder.iterdir()} - {"manifest.json"}
    assert set(bundle.manifest.files) == held
    assert held == set(FILES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["weights"].update(sha256="0" * 64), "belongs to other weights"),
        (lambda m: m.update(chosen="openvino-int4"), "chosen variant openvino-int4"),
        (lambda m: m.update(ranking=["nobody"]), "ranked variant nobody"),
        (lambda m: m.update(format=99), "layout 99"),
        (lambda m: m["files"].pop("network.onnx"), "no digest is recorded for network.onnx"),
        (lambda m: m.update(measured=["network.onnx"]), "network.onnx is served and not counted"),
        (lambda m: m.update(surprise=1), "surprise"),
    ],
    ids=[
        "other weights",
        "unknown choice",
        "unknown rank",
        "layout",
        "no digest",
        "not counted",
        "unknown key",
    ],
)
def test_a_manifest_that_disagrees_is_refused(bundle, tmp_path, change, said):
    """A manifest from other weights, or one whose parts do not fit, is refused with the reason."""
    path = _copy(bundle, tmp_path) / "manifest.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(BundleRefused, match=said):
        open_bundle(path.parent)


@pytest.mark.parametrize("name", VARIANTS)
def test_no_variant_changes_a_decision_on_drawn_radiographs(bundle, runtime_of, images, name):
    """Every variant decides as float32 ONNX Runtime does, within the drift that the gate allows; on
    a processor that it needs more of, it is refused by name."""
    variant = _variant(bundle, name)
    if reason := unavailable_reason(variant):
        with pytest.raises(BundleRefused) as refused:
            open_runtime(bundle, variant)
        assert refused.value.message == f"{name} cannot run: {reason}"
        return
    pneumonia = bundle.manifest.labels.index("Pneumonia")
    point = bundle.manifest.thresholds()[pneumonia]
    expected, found = (
        sigmoid(runtime_of(which).run(images).logits[:, pneumonia])
        for which in ("onnxruntime-float32", name)
    )
    assert np.abs(found - expected).max() <= 0.03
    assert ((found > point) == (expected > point)).all()
