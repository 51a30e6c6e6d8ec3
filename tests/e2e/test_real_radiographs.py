"""Real radiographs through the served process; only where CXR_XRAYS names a folder of them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from export.bundle.check_images import folder
from export.checkpoints.eager import eager_network, run_eager
from export.checkpoints.weights import load_weights


def test_served_scores_separate_as_well_as_the_eager_model(client, radiographs, capsys):
    """The AUC of served scores is at least 0.97 of what the eager library network reaches."""
    paths = sorted((radiographs / "dev").rglob("*.jpeg"))
    labels = [path.parent.name == "PNEUMONIA" for path in paths]
    assert len(paths) >= 100

    def score(path):
        files = {"image": path.read_bytes()}
        return client.post("/predict", files=files).raise_for_status().json()["score"]

    with ThreadPoolExecutor(4) as callers:
        served = roc_auc_score(labels, list(callers.map(score, paths)))
    evidence = folder(radiographs / "dev")
    network = eager_network(load_weights("demo"))
    eager_scores = np.concatenate(
        [run_eager(network, batch).scores[:, 8] for batch in evidence.batches(16)]
    )
    eager = roc_auc_score([name.startswith("PNEUMONIA") for name in evidence.names], eager_scores)
    with capsys.disabled():
        print(f"\nAUC on {len(paths)} radiographs: served {served:.4f}, eager {eager:.4f}")
    assert served >= 0.97 * eager


@pytest.mark.parametrize("name", ["nih-00000001_000.png", "padchest-16747_3_1.jpg"])
def test_samples_are_answered(client, radiographs, name):
    """Files as users have them get a score and a heat map of their own size."""
    data = (radiographs / "samples" / name).read_bytes()
    answer = client.post("/predict", files={"image": data})
    assert answer.status_code == 200
    assert client.post("/gradcam", files={"image": data}).status_code == 200
