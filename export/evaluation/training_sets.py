"""What the weights were trained on, and whether the evaluated images may have been among it.

Figures on training data say nothing. Nobody published which images were in which split of the
official weights, so every image of a collection that upstream names counts as training data.
"""

from __future__ import annotations

from dataclasses import dataclass

from export.evaluation.records import Training

DEMO = "demo"


@dataclass(frozen=True)
class Collection:
    """One public collection of chest radiographs.

    Attributes:
        key: Short name, for `--dataset`.
        name: As its makers call it, with where to read about it.
        images_of: Key of the collection that its images were taken from; its own otherwise.
    """

    key: str
    name: str
    images_of: str = ""

    @property
    def images(self) -> str:
        return self.images_of or self.key


COLLECTIONS = {
    one.key: one
    for one in (
        Collection("nih", "NIH ChestX-ray14 (Wang et al. 2017)"),
        Collection("rsna", "RSNA Pneumonia Detection Challenge 2018 (Shih et al. 2019)", "nih"),
        Collection("google", "Google's labels of NIH images (Majkowska et al. 2020)", "nih"),
        Collection("siim", "SIIM-ACR Pneumothorax Segmentation 2019", "nih"),
        Collection("padchest", "PadChest, University of Alicante (Bustos et al. 2020)"),
        Collection("chexpert", "CheXpert, Stanford (Irvin et al. 2019)"),
        Collection("mimic", "MIMIC-CXR, MIT (Johnson et al. 2019)"),
        Collection("openi", "Open-i, Indiana University (Demner-Fushman et al. 2016)"),
        Collection("kermany", "Kermany et al. 2018, children of one to five years, Guangzhou"),
        Collection("phantoms", "phantoms drawn by export/demo/phantom.py"),
    )
}
"""Those that a set of weights was trained on, or whose images overlap with one."""

_ALIASES = {
    "chestxray14": "nih",
    "chestxray8": "nih",
    "nihgoogle": "google",
    "pc": "padchest",
    "chex": "chexpert",
    "mimiccxr": "mimic",
    "indiana": "openi",
    "iu": "openi",
    "kermany2018": "kermany",
    "chestxraypneumonia": "kermany",
}

TRAINED_ON: dict[str, tuple[str, ...]] = {
    DEMO: ("kermany", "phantoms"),
    "densenet121-res224-all": ("nih", "padchest", "chexpert", "mimic", "google", "openi", "rsna"),
    "densenet121-res224-nih": ("nih",),
    "densenet121-res224-pc": ("padchest",),
    "densenet121-res224-chex": ("chexpert",),
    "densenet121-res224-rsna": ("rsna",),
    "densenet121-res224-mimic_nb": ("mimic",),
    "densenet121-res224-mimic_ch": ("mimic",),
}
"""Weights to collections: `torchxrayvision.models.model_urls["all"]["description"]` and the
docstring of `torchxrayvision.models.DenseNet`; models/README.md for the demo."""

DEMO_SPLITS = (
    "The demo weights were trained on its training images (5,216); its test images (624) were "
    "kept out, but come from the same hospital."
)


def collection(declared: str) -> Collection:
    """The collection that a name means; an unknown name is a collection of its own."""
    key = "".join(letter for letter in declared.casefold() if letter.isalnum())
    key = _ALIASES.get(key, key)
    return COLLECTIONS.get(key) or Collection(key, declared)


def trained_on(weights: str) -> tuple[str, ...] | None:
    """Names of the collections that weights were trained on, None where that is not known."""
    keys = TRAINED_ON.get(weights)
    return None if keys is None else tuple(COLLECTIONS[key].name for key in keys)


def judge(weights: str, declared: str | None) -> Training:
    """Say whether the weights may have been trained on the evaluated images.

    Args:
        weights: Name of the weights: "demo", an official name, or another.
        declared: The collection that the images are said to be from; None where nobody said.
    """
    known = TRAINED_ON.get(weights)
    if known is None:
        return Training(
            declared=declared and collection(declared).name,
            verdict="unknown",
            words=f"It is not known what the weights {weights} were trained on, so it cannot be "
            "excluded that these images were among it.",
            collections=(),
        )
    names = tuple(COLLECTIONS[key].name for key in known)
    listed = "; ".join(names)
    if declared is None:
        return Training(
            declared=None,
            verdict="unknown",
            words="It was not declared which collection the images are from (--dataset), so it "
            f"cannot be excluded that these weights were trained on them. Trained on: {listed}.",
            collections=names,
        )
    said = collection(declared)
    if said.key in known:
        splits = (
            DEMO_SPLITS
            if weights == DEMO
            else "Which of its images were in the training split is not published, so all of "
            "them are treated as training data."
        )
        return Training(
            declared=said.name,
            verdict="same collection",
            words=f"These weights were trained on {said.name}, which the images are declared to "
            f"be from. {splits} The figures are optimistic; on other images expect worse.",
            collections=names,
        )
    if shared := [one for one in map(COLLECTIONS.__getitem__, known) if one.images == said.images]:
        return Training(
            declared=said.name,
            verdict="shared images",
            words=f"{said.name} shares images with {shared[0].name}, on which these weights were "
            "trained: the images are treated as training data, and the figures are optimistic.",
            collections=names,
        )
    return Training(
        declared=said.name,
        verdict="not named",
        words=f"{said.name}, which the images are declared to be from, is not among what these "
        f"weights are known to have been trained on: {listed}.",
        collections=names,
    )
