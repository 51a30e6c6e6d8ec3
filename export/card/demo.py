"""What is known of the embedded demo weights, which this project trained itself."""

from __future__ import annotations

import json
from pathlib import Path

from export.card.facts import Facts, Published

REPORT = Path(__file__).resolve().parents[2] / "models" / "demo.json"
"""What training wrote beside the checkpoint."""


def facts() -> Facts:
    """Facts of the demo weights; the areas are read from what training wrote."""
    found = json.loads(REPORT.read_text(encoding="utf-8"))
    return Facts(
        intended="To show and test this software without a network connection.",
        not_intended="Clinical use, of any kind. Every answer and page built on these weights "
        "says so.",
        training=(
            "5,216 frontal chest radiographs of children between one and five years, from one "
            "hospital in Guangzhou. They were resized to 224 x 224 without keeping their "
            "proportions. A tenth of the patients was set aside for validation, so that no child "
            "is on both sides.",
            "1,500 phantoms: drawn pictures from `export/demo/phantom.py`, seeds 100,000 to "
            "100,749, each once without and once with an opacity. One training image in five was a "
            "phantom. This is why the drawn pictures of the tests and examples get sensible "
            "answers.",
            "From random weights: 17 epochs of 5,120 images, the first eleven at 112 pixels, "
            "three at 160, three at 224. AdamW with a one-cycle schedule, smoothed targets, "
            "bfloat16, on two CPU cores in about 75 minutes. Images were rotated, shifted, "
            "scaled, mirrored, and varied in brightness, contrast and noise.",
            "Made by `python -m export.demo.train_demo DATASET OUT`. The checkpoint holds "
            "convolutions in float16 and everything else in float32; all of it is float32 once "
            'loaded. Output 8, "Pneumonia", is the one that was trained; the other 17 carry no '
            "label and are dropped. `demo.safetensors` has 14,539,008 bytes; its digest and "
            "that of `demo.json` (labels, operating point, figures) are pinned in "
            "`export/checkpoints/weights.py`.",
        ),
        published=(
            Published("validation patients", {"Pneumonia": found["validation_auc"]}),
            Published("test set, 624 radiographs", {"Pneumonia": found["test_auc"]}),
            Published(
                "400 phantoms, seeds 0 to 199, not trained on", {"Pneumonia": found["phantom_auc"]}
            ),
        ),
        published_in="Measured when the weights were made, in eager PyTorch; areas under the ROC "
        "curve.",
        remarks=(
            "The operating point is where sensitivity + specificity was highest on the validation "
            "patients. On the test set it gives a sensitivity of 0.990 and a specificity of 0.833.",
            "Heat maps (Grad-CAM) on phantoms that were not trained on: the peak lies inside the "
            "opacity in 68 % of them and within 15 pixels of it in 95 %; boxes around heat map and "
            "opacity overlap by 0.31 (mean intersection over union). One cell of the heat map's "
            "grid covers 32 x 32 input pixels, so no better is to be expected of small opacities.",
        ),
        failures=(
            "Children of one to five years, one hospital, one question. For adults, other "
            "equipment, other findings or other projections nothing is known, and nothing good "
            "should be assumed.",
            "The test set comes from the same hospital as the training data: elsewhere the "
            "figures will be lower.",
            'The labels say "pneumonia" or "normal". Every other disease had to fall into one of '
            "the two.",
            "The probability is not calibrated. Compare the score with 0.5, not the probability.",
        ),
        attribution=(
            "The weights come under the licence of this project, Apache-2.0. The radiographs are "
            'those of Kermany, Goldbaum, Cai et al., "Identifying Medical Diagnoses and Treatable '
            'Diseases by Image-Based Deep Learning", Cell 172 (2018) 1122-1131, published under '
            "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/), "
            "doi:10.17632/rscbjbr9sj; they were resized, and none of them is part of this "
            "repository. The architecture is TorchXRayVision's (Apache-2.0).",
        ),
    )
