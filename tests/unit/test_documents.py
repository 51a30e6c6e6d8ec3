"""The documents say what the code does: made pages, links, files and functions that are named."""

import ast
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from service import metrics
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / "deploy" / name for name in ("README.md", "RUNBOOK.md")),
    ROOT / "models" / "README.md",
)

ARCHITECTURE = ROOT / "docs" / "architecture.md"

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:service|export|bench|tests|deploy|docs)/[\w./-]*)`")

by_name = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def anchors(document: Path) -> set[str]:
    """The fragments that lead to a document's headings, as GitHub makes them of their words."""
    prose = _FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@cache
def defined(file: Path) -> frozenset[str]:
    """The functions and classes of a module, methods as Class.method."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{each.name}" for each in node.body if hasattr(each, "name")}
    return frozenset(names)


def rows(document: Path) -> list[list[str]]:
    """The cells of every row of every table."""
    lines = document.read_text(encoding="utf-8").splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if line.startswith("| ")
    ]


def section(document: Path, heading: str) -> str:
    """The text under a heading, up to the next of its level."""
    text = document.read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def test_the_pages_that_are_made_from_the_code_are_up_to_date(monkeypatch):
    """docs/settings.md and docs/errors.md are what docs/generate.py would write."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, generate)  # dataclasses look their module up
    spec.loader.exec_module(generate)
    generate.main(["--check"])


@by_name
def test_links_lead_somewhere(document):
    """A relative link leads to a file, and its fragment to a heading of that file."""
    broken = []
    for link in _LINK.findall(_FENCE.sub("", document.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert broken == []


@by_name
def test_files_that_are_named_exist(document):
    """A path in backticks that begins with a folder of the repository is there."""
    named = _PATH.findall(document.read_text(encoding="utf-8"))
    bases = {ROOT, document.parent}
    assert [path for path in named if not any((base / path).exists() for base in bases)] == []


def test_every_document_is_linked_from_the_readme():
    """A reader of README.md gets to every document of docs/ in one step."""
    linked = _LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages - set(linked) == set()


def test_the_readme_is_short():
    """README.md has at most 150 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_functions_on_the_way_of_a_request_exist():
    """Each step of docs/architecture.md names a function or class of the file beside it."""
    steps = [row for row in rows(ARCHITECTURE) if len(row) == 3 and row[1].startswith("`")]
    assert len(steps) > 50
    missing = [
        f"{file}: {name}"
        for file, name in ((row[1].strip("`"), row[2].strip("`")) for row in steps)
        if name not in defined(ROOT / file)
    ]
    assert missing == []


@pytest.mark.parametrize("package", ["service", "export"])
def test_layers_are_those_of_the_contract(package):
    """docs/architecture.md lists the layers of import-linter's contract, in its order."""
    tomllib = pytest.importorskip("tomllib")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (
        contract["layers"]
        for contract in contracts["contracts"]
        if contract["name"] == f"layers of {package}"
    )
    listed = [
        [path.removesuffix(".py").strip("/").replace("/", ".") for path in _PATH.findall(line)]
        for line in re.findall(
            r"^\| (`.*?) \|", section(ARCHITECTURE, f"Layers of {package}"), re.MULTILINE
        )
    ]
    assert listed == [layer.split(" | ") for layer in layers]


def test_settings_that_are_named_exist():
    """A document names no environment variable that is no setting."""
    settings = {f"CXR_{name.upper()}" for name in Settings.model_fields}
    read_by_tests = {"CXR_XRAYS"}
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"CXR_[A-Z_]*[A-Z]", document.read_text(encoding="utf-8"))
    }
    assert named - settings - read_by_tests == set()


def test_every_metric_is_described():
    """docs/operations.md lists each metric as Prometheus names it, with its labels."""
    exported = {
        (metric._name + ("_total" if isinstance(metric, Counter) else ""), metric._labelnames)
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    }
    assert exported
    described = {
        (row[0].strip("`"), tuple(re.findall(r"`(\w+)`", row[1])))
        for row in rows(ROOT / "docs" / "operations.md")
        if row[0].startswith("`cxr_")
    }
    assert exported - described == set()
