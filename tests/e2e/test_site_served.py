"""A site file's decision in the outputs of the Open Inference Protocol, as it is served."""

import httpx
import numpy as np
import pytest
from protocol import Rpc, binary_answer, binary_body, json_files, raw_bytes, tensors
from served import free_port, serving
from site_files import site_file

from service.network.bundle import read_manifest

OUTPUTS = ["calibrated_probability", "site_decision", "site_sha256"]


@pytest.fixture(scope="module")
def at_site(demo_bundle, tmp_path_factory):
    """A service with a site file that calls every image uncertain; with it the file's digest."""
    folder, port = tmp_path_factory.mktemp("at-site"), free_port()
    file = site_file(read_manifest(demo_bundle), cut=0.5, lowest_positive=0.0, highest_negative=1.0)
    path = folder / "site.json"
    path.write_text(file.model_dump_json())
    with serving(demo_bundle, folder, CXR_SITE=str(path), CXR_GRPC_PORT=str(port)) as served:
        yield served.url, port, file.sha256


def test_the_model_names_its_outputs_of_the_site(at_site):
    """They stand behind those that it has without a site file."""
    outputs = httpx.get(f"{at_site[0]}/v2/models/cxr").json()["outputs"]
    assert [each["name"] for each in outputs][-3:] == OUTPUTS


def test_outputs_say_what_predict_says(at_site, phantom_png):
    """Over JSON, binary and gRPC; a file that is refused has no decision."""
    url, port, sha256 = at_site
    data = phantom_png(1)
    told = httpx.post(f"{url}/predict", files={"image": data}).json()
    (wanted,) = told["pathologies"].values()
    assert (wanted["site"]["decision"], told["site"]["sha256"]) == ("uncertain", sha256)
    as_json = httpx.post(f"{url}/v2/models/cxr/infer", json=json_files(data, b"no image")).json()
    found = {each["name"]: each["data"] for each in as_json["outputs"]}
    assert found["calibrated_probability"] == [
        pytest.approx(wanted["site"]["calibrated_probability"], abs=1e-7),
        None,
    ]
    assert found["site_decision"] == ["uncertain", ""]
    assert found["site_sha256"] == [sha256, ""]
    body, headers = binary_body("image", "BYTES", [1], raw_bytes(data))
    sent = httpx.post(f"{url}/v2/models/cxr/infer", content=body, headers=headers)
    rpc = Rpc(f"127.0.0.1:{port}", None)
    for answer in (binary_answer(sent), tensors(rpc.files(data))):
        (calibrated,) = np.ravel(answer["calibrated_probability"])
        assert calibrated == np.float32(wanted["site"]["calibrated_probability"])
        assert list(answer["site_decision"]) == [b"uncertain"]
        assert list(answer["site_sha256"]) == [sha256.encode()]
    rpc.channel.close()
