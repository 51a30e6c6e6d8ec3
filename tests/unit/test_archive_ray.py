"""`cxr score --engine ray`."""

import os
import subprocess
import sys
from pathlib import Path

from archives import draw_archive

ROOT = Path(__file__).resolve().parents[2]


def test_ray_gives_the_rows_of_the_local_engine(demo_bundle, tmp_path):
    """Results that workers of Ray made are the bytes of those made here."""
    draw_archive(tmp_path / "archive", 20)
    command = [sys.executable, "-c", "from service.cli import main; main()", "score", "archive"]
    environment = os.environ | {"CXR_BUNDLE": str(demo_bundle), "PYTHONPATH": str(ROOT)}
    found = []
    for engine in ("local", "ray"):
        options = ["--out", f"{engine}.jsonl", "--keep-every", "8", "--engine", engine]
        done = subprocess.run(
            [*command, *options],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "20 scored, 5 refused" in done.stdout
        found.append((tmp_path / f"{engine}.jsonl").read_bytes())
    assert found[0] == found[1]
