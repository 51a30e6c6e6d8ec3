"""What TorchXRayVision's makers published of their DenseNet-121 weights.

Sources: the library's own source (version 1.5.7), its BENCHMARKS.md (updated 23 July 2023), and
the papers arXiv:2002.02497 and arXiv:2111.00595.
"""

from __future__ import annotations

from export.card.facts import Facts, Published
from export.evaluation.training_sets import TRAINED_ON

ALL = "densenet121-res224-all"

_LABELS_FROM = {
    "densenet121-res224-mimic_ch": "Labels: those that the CheXpert labeller read from reports.",
    "densenet121-res224-mimic_nb": "Labels: those that the NegBio labeller read from reports.",
}

_BENCHMARKS = (
    Published(
        "NIH ChestX-ray14",
        {
            "Atelectasis": 0.76,
            "Cardiomegaly": 0.88,
            "Consolidation": 0.77,
            "Edema": 0.85,
            "Effusion": 0.85,
            "Emphysema": 0.73,
            "Fibrosis": 0.72,
            "Hernia": 0.91,
            "Infiltration": 0.68,
            "Mass": 0.80,
            "Nodule": 0.69,
            "Pleural_Thickening": 0.74,
            "Pneumonia": 0.71,
            "Pneumothorax": 0.75,
        },
    ),
    Published("Google", {"Lung Opacity": 0.92, "Fracture": 0.74, "Pneumothorax": 0.85}),
    Published("RSNA", {"Lung Opacity": 0.88, "Pneumonia": 0.86}),
    Published("SIIM", {"Pneumothorax": 0.79}),
    Published(
        "PadChest",
        {
            "Atelectasis": 0.77,
            "Cardiomegaly": 0.93,
            "Consolidation": 0.88,
            "Edema": 0.97,
            "Effusion": 0.95,
            "Emphysema": 0.87,
            "Fibrosis": 0.94,
            "Fracture": 0.70,
            "Hernia": 0.96,
            "Infiltration": 0.85,
            "Mass": 0.85,
            "Nodule": 0.69,
            "Pleural_Thickening": 0.79,
            "Pneumonia": 0.82,
            "Pneumothorax": 0.81,
        },
    ),
    Published(
        "VinBrain",
        {
            "Atelectasis": 0.67,
            "Cardiomegaly": 0.90,
            "Consolidation": 0.93,
            "Effusion": 0.87,
            "Infiltration": 0.86,
            "Lung Opacity": 0.85,
            "Pleural_Thickening": 0.84,
            "Pneumothorax": 0.93,
        },
    ),
    Published(
        "CheXpert",
        {
            "Atelectasis": 0.91,
            "Cardiomegaly": 0.91,
            "Consolidation": 0.90,
            "Edema": 0.92,
            "Enlarged Cardiomediastinum": 0.78,
            "Fracture": 0.74,
            "Lung Lesion": 0.84,
            "Lung Opacity": 0.87,
            "Effusion": 0.94,
            "Pneumonia": 0.84,
            "Pneumothorax": 0.85,
        },
    ),
)
"""Row `densenet121-res224-all` of every table in BENCHMARKS.md."""

_BENCHMARKS_MD = (
    "TorchXRayVision's BENCHMARKS.md (23 July 2023) gives areas under the ROC curve on 20 % of "
    "each collection, to two digits and without intervals."
)


def facts(name: str) -> Facts:
    """Facts of one of the official names."""
    collections = "all collections named above" if len(TRAINED_ON[name]) > 1 else "that collection"
    training = (
        f"One network was trained by TorchXRayVision's makers on {collections}; which images were "
        "in which split is not published, so every image of them counts as training data.",
        *((_LABELS_FROM[name],) if name in _LABELS_FROM else ()),
    )
    return Facts(
        intended="Research: a starting point, a baseline, or a feature extractor for frontal "
        "chest radiographs. TorchXRayVision's makers mark it as not for medical use.",
        not_intended="Diagnosis, triage or any other clinical decision; lateral views; other "
        "modalities; monitoring of a single patient over time.",
        training=training,
        published=_BENCHMARKS if name == ALL else (),
        published_in=_BENCHMARKS_MD
        if name == ALL
        else "TorchXRayVision's BENCHMARKS.md has no row for these weights: not published there.",
        remarks=(
            "Most of these collections are training data of these weights: the figures are no "
            "measure of how well they do elsewhere. SIIM and VinBrain are not named as training "
            "data; SIIM's images are NIH's.",
        )
        if name == ALL
        else (),
        failures=(
            "Other hospitals. The makers' own study of models across collections (Cohen et al. "
            "2020, arXiv:2002.02497) finds that they do not carry over for every finding, and "
            "blames differences in labels more than in images.",
            "Labels. Those of the large collections were mostly read from reports by programs: "
            "what the network learned to call a finding is what those programs called one.",
            "Shortcuts. Networks of this kind have been shown to tell hospitals, projections and "
            "devices apart and to lean on that (Zech et al. 2018, DeGrave et al. 2021).",
            "Unequal errors. Networks trained on NIH, CheXpert and MIMIC-CXR miss disease more "
            "often in some groups of patients than in others (Seyyed-Kalantari et al. 2021).",
            "Small findings. The network sees 224 x 224 pixels of the centred square.",
            "Probabilities are not calibrated, and the operating points differ by orders of "
            "magnitude between findings. Compare the score with 0.5, not the probability.",
            "Children. Nothing is published on how the weights do on them.",
        ),
        attribution=(
            "Weights and library: TorchXRayVision, Apache-2.0. Cohen, Viviano, Bertin et al., "
            '"TorchXRayVision: A library of chest X-ray datasets and models", arXiv:2111.00595; '
            'Cohen, Hashir, Brooks and Bertrand, "On the limits of cross-domain generalization '
            'in automated X-ray prediction", arXiv:2002.02497.',
            "Every collection has terms of its own, some of which forbid commercial use: read "
            "them before you use weights that were trained on it.",
        ),
    )
