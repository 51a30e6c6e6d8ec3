"""`cxr score --engine ray`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from archives import draw_archive
from click.testing import CliRunner

from service.archive.shards import Scoring
from service.cli import cxr
from service.errors import ArchiveRefused
from service.network.predictor import open_predictor
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_ray_gives_the_rows_of_the_local_engine(demo_bundle, tmp_path):
    """Results that a worker of Ray made are the bytes of those made here, and it leaves nothing
    else behind in the folder."""
    draw_archive(tmp_path / "archive", 20)
    options = ["score", "archive", "--keep-every", "8", "--bundle", str(demo_bundle)]
    code = "from service.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *options, "--out", "ray.jsonl", "--engine", "ray"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "20 scored, 5 refused" in done.stdout
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"archive", "ray.jsonl", "ray.jsonl.run.json"}
    local = [*options[:1], str(tmp_path / "archive"), *options[2:]]
    here = CliRunner().invoke(cxr, [*local, "--out", str(tmp_path / "local.jsonl")])
    assert here.exit_code == 0
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()


def test_a_worker_with_other_code_is_refused(demo_bundle):
    """A machine of a cluster that has other code under the same version scores nothing."""
    from service.archive.ray_engine import Worker

    settings = {"bundle": str(demo_bundle)}
    model = open_predictor(Settings(**settings)).model
    with pytest.raises(ArchiveRefused, match=r"a worker has .* of this software, not 0\.1\.0\+old"):
        Worker(settings, Scoring(1, 8), model, "0.1.0+old")
