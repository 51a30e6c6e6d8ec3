"""Where the figures of a bench run go."""

import json
import sys
from pathlib import Path

import pytest

from bench.published import publish

REPORT = {"figure": 1.5}


@pytest.mark.parametrize("kept", [True, False], ids=["json kept", "json not kept"])
def test_tables_are_printed_and_written_beside_their_plot(tmp_path, capsys, kept):
    """The plot is drawn from the report, whether or not the report itself is wanted."""
    out = tmp_path / "report.json" if kept else None
    # Python's own json.tool takes what a plot takes: a file to read and a file to write.
    publish(REPORT, "| a |", "json.tool", out, tmp_path / "table.md", Path(sys.executable))
    assert capsys.readouterr().out == "| a |\n"
    assert (tmp_path / "table.md").read_text() == "| a |"
    assert json.loads((tmp_path / "table.svg").read_text()) == REPORT
    assert (tmp_path / "report.json").exists() == kept


def test_nothing_is_written_that_is_not_wanted(tmp_path, capsys):
    """Without a place to write to, the tables are printed and that is all."""
    publish(REPORT, "| a |", "json.tool", None, None, tmp_path / "no-python")
    assert capsys.readouterr().out == "| a |\n"
    assert list(tmp_path.iterdir()) == []
