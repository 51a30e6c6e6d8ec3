"""The commands of the documents, run as they are printed in a folder with the files they name."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import uid

from bench.files import chest, dicom, stored

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
)

DOWNLOADS = "downloads the weights"
NO_INDEX = "sets up an environment from a package index"
NO_END = "serves until it is stopped; the fixture `served` runs `cxr serve`"
NO_ENGINE = "needs what builds images; tests/unit/test_image.py runs the target with stand-ins"
NO_SITE = "needs a site's patients; tests/unit/test_calibrate.py and test_site_answers.py draw some"
NO_LOG = "needs the log of two days; tests/unit/test_watch.py writes one"
NO_SHADOW = "needs the log of a shadow; tests/unit/test_watch_shadow.py writes one"
NOT_RUN = {
    "make serve": NO_INDEX,
    "make test": "runs these very tests",
    "make test-without-vnni": "runs these very tests",
    "make check": NO_INDEX,
    "make format": NO_INDEX,
    "make clients": NO_INDEX,
    "make bench": NO_INDEX,
    "make image": NO_ENGINE,
    "make image ENGINE=podman": NO_ENGINE,
    "make image WHEELHOUSE=wheels": NO_ENGINE,
    "cxr export --weights densenet121-res224-all": DOWNLOADS,
    "CXR_BUNDLE=models/densenet121-res224-all cxr serve": NO_END,
    "cxr export --weights FILE.pt --sha256 HEX --like densenet121-res224-all": (
        "needs a file of upstream's; tests/unit/test_weights_files.py reads one of random weights"
    ),
    "cxr export --weights demo": "takes a minute; the fixture `demo_bundle` makes the same export",
    "cxr bench runtimes": "measures for minutes; the export measures the same in short turns",
    "cxr score archive --out results.parquet --engine ray --workers 2": (
        "starts a cluster; tests/unit/test_archive_ray.py runs the same command"
    ),
    "cxr export --weights densenet121-res224-all --reference reference.npz": DOWNLOADS,
    "CXR_REFERENCE=reference.npz cxr serve": NO_END,
    "cxr serve --grpc-port 8001": NO_END,
    "CXR_API_KEYS_FILE=api-keys cxr serve --host 0.0.0.0": NO_END,
    "CXR_SITE=site.json cxr serve": NO_END,
    "CXR_MONITORING_LOG=numbers cxr serve": NO_END,
    "cxr watch --reference numbers/day=2026-03-02 --now numbers/day=2026-06-01": NO_LOG,
    "cxr watch --reference march --now june --textfile cxr.prom": NO_LOG,
    "CXR_MONITORING_LOG=numbers CXR_SHADOW=models/next CXR_SHADOW_SHARE=0.1 cxr serve": NO_END,
    "cxr watch --shadow numbers": NO_SHADOW,
    "cxr watch --shadow numbers --agreement 0.99 --textfile shadow.prom": NO_SHADOW,
    "cxr predict FILE --site site.json": NO_SITE,
    "cxr score archive --out results.csv --site site.json": NO_SITE,
    "cxr evaluate datasets/test --site site.json": NO_SITE,
    "cxr card --site site.json": NO_SITE,
    "cxr calibrate table.csv --patient patient_id --sensitivity 0.95": NO_SITE,
    "cxr calibrate fit.csv --judge judge.csv --patient patient_id --cost 9 --prevalence 0.05": (
        NO_SITE
    ),
}
"""Commands that are not run, and why."""


@dataclass(frozen=True)
class Block:
    """A fenced block of shell commands.

    Attributes:
        document: Its path below the root.
        line: Where it begins.
        commands: Each on one line, without comments.
    """

    document: str
    line: int
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks() -> list[Block]:
    """Every block of shell commands in the documents."""
    listed = []
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        for fence in re.finditer(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            lines = fence[1].replace("\\\n", " ").splitlines()
            commands = (re.sub(r"\s+# .*", "", " ".join(line.split())) for line in lines)
            line = text.count("\n", 0, fence.start()) + 1
            listed.append(Block(document, line, tuple(filter(None, commands))))
    return listed


BLOCKS = blocks()
COMMANDS = {command for block in BLOCKS for command in block.commands}
RUN = [block for block in BLOCKS if not NOT_RUN.keys() >= set(block.commands)]


@pytest.fixture
def folder(tmp_path, phantom_png):
    """A working folder with the files and folders that the documents name."""
    radiograph = dicom(
        stored(chest(1, 96, 96), 12),
        12,
        syntax=uid.ExplicitVRLittleEndian,
        SOPInstanceUID="1.2.3.1",
        StudyInstanceUID="1.2.4.1",
    )
    for name in ("FILE.dcm", "archive/study/IM1", "more/study/IM2.dcm"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(radiograph)
    for name in ("FILE", "archive/a.png", "listed.png"):
        (tmp_path / name).write_bytes(phantom_png(1))
    (tmp_path / "radiographs").mkdir()
    for seed in range(20):
        (tmp_path / "radiographs" / f"{seed}.png").write_bytes(phantom_png(seed))
    (tmp_path / "list.csv").write_text("path\nlisted.png\n")
    lines = ["path,Pneumonia,Effusion,sex,age"]
    for positive, kind in enumerate(("NORMAL", "PNEUMONIA")):
        for seed in range(4):
            path = tmp_path / "datasets" / "test" / kind / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(phantom_png(seed, opacity=bool(positive)))
            lines.append(f"{path.relative_to(tmp_path)},{positive},,{'FM'[seed % 2]},{seed + 1}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.timeout(900)  # a block may start the service and half a dozen commands
@pytest.mark.parametrize("block", RUN, ids=str)
def test_commands_do_what_they_are_printed_for(block, folder, demo_bundle, request):
    """Each command of a block ends with exit status 0, in the order of the block."""
    script = "\n".join(command for command in block.commands if command not in NOT_RUN)
    if "localhost:3000" in script:
        script = script.replace("localhost:3000", request.getfixturevalue("served").url)
    tools = Path(sys.executable).parent
    settings = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=folder,
        env=os.environ | settings | {"CXR_BUNDLE": str(demo_bundle), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=840,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_commands_that_are_not_run_are_still_there():
    """A command that this test leaves out, with its reason, stands in some document."""
    assert NOT_RUN.keys() - COMMANDS == set()


def test_no_document_hides_the_reason_of_a_refusal():
    """`curl -f` alone prints no body; the documents use --fail-with-body."""
    calls = [command for command in COMMANDS if command.startswith("curl ")]
    assert calls
    assert [call for call in calls if not call.startswith("curl --fail-with-body -sS ")] == []


def test_the_readme_shows_the_fields_of_an_answer(client, phantom_png):
    """The answer in README.md has the fields of a served one, in its order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = json.loads(re.search(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1])
    served = client.post("/predict", files={"image": phantom_png(1)}).raise_for_status().json()
    assert fields(shown) == fields(served)


def fields(value: object) -> object:
    """The names of an object's fields, and of those of the objects in it."""
    if isinstance(value, dict):
        return [(name, fields(part)) for name, part in value.items()]
    return None
