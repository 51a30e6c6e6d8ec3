"""Other projects' tools for drift read the log of numbers, each in an environment of its own."""

import re

import pytest
from drawn_logs import log
from environments import ROOT, interpreter, run

DOCUMENT = ROOT / "docs" / "site.md"


@pytest.mark.parametrize("tool", ["evidently", "nannyml"])
def test_a_tool_reads_the_log_as_it_is(tool, tmp_path):
    """The document's example runs on two logs as the service writes them, and tells the ages that
    moved from the makers that did not."""
    python = interpreter(tool)
    log(tmp_path / "march", seed=0)
    log(tmp_path / "june", seed=1, rows=500, older=10)
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    (code,) = [block for block in blocks if f"from {tool}" in block]
    told = run(python, "-c", code, cwd=tmp_path)
    if tool == "evidently":
        values = dict(re.findall(r"column=(\w+),.*\) ([\d.e-]+)$", told, re.MULTILINE))
        assert float(values["age_decade"]) > 0.1 > float(values["manufacturer"])
        assert (tmp_path / "evidently.html").stat().st_size > 100_000
    else:
        heads, *_, last = told.splitlines()
        assert "age_decade" in heads
        assert "True" in last
