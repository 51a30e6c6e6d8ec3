"""The OpenAPI document and the service agree, as schemathesis sees it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.http.uploads import FILE_TYPES

HERE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="schemathesis is not made for this Python")
@pytest.mark.parametrize(
    ("files", "examples", "excluded"),
    [
        ("radiographs", 6, []),
        # That a file is a radiograph is nothing that a schema can say, so junk is valid to it.
        ("junk", 25, ["--exclude-checks", "positive_data_acceptance"]),
    ],
    ids=["radiographs", "junk"],
)
def test_every_check_of_schemathesis_holds(served, tmp_path, files, examples, excluded):
    """What the document allows is accepted, what it does not is refused, each as it says."""
    path = os.pathsep.join((str(HERE), str(HERE.parent.parent)))
    done = subprocess.run(
        [
            SCHEMATHESIS,
            "run",
            f"{served.url}/docs.json",
            "--checks=all",
            *excluded,
            f"--max-examples={examples}",
            "--generation-deterministic",
            "--workers=1",
            # How long an answer takes is no test's business; ten seconds are the default of both.
            "--request-timeout=90",
            "--max-response-time=90",
            "--no-color",
        ],
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "CXR_TEST_FILES": files, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "9 selected / 9 total" in done.stdout


@pytest.mark.parametrize("path", ["/predict", "/preview"])
def test_a_body_that_is_the_file_is_described_and_taken(client, phantom_png, path):
    """Beside the form the document says in words that the body may be the file itself; of each
    type that it names, it is answered."""
    body = client.get("/docs.json").json()["paths"][path]["post"]["requestBody"]
    assert list(body["content"]) == ["multipart/form-data"]
    assert f"of the type {', '.join(FILE_TYPES)} or any image/ type" in body["description"]
    for media_type in (*FILE_TYPES, "image/png"):
        headers = {"content-type": media_type}
        assert client.post(path, content=phantom_png(1), headers=headers).status_code == 200
