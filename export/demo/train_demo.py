"""Train the demo checkpoint: TorchXRayVision's DenseNet-121, from scratch.

    python -m export.demo.train_demo DATASET OUT

DATASET holds train/{NORMAL,PNEUMONIA} and test/{NORMAL,PNEUMONIA}: the paediatric chest
radiographs of Kermany et al. 2018 (CC BY 4.0), 224 x 224 JPEG, to which phantoms are added. Only
the output "Pneumonia" is trained; the other 17 stay unnamed. OUT receives demo.safetensors and
demo.json, which belong into models/, and last.pt after every epoch. About 75 minutes on two
cores. Needs scikit-learn besides the `export` extra.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score, roc_curve

from export.checkpoints.upstream import library
from export.demo.phantom import make_phantom

PNEUMONIA: int = library.datasets.default_pathologies.index("Pneumonia")
SCHEDULE = [112] * 11 + [160] * 3 + [224] * 3
"""Input resolution of each epoch: coarse first, because that is four times cheaper."""
EPOCH_SIZE, BATCH = 5120, 32
TRAIN_PHANTOMS = range(100_000, 100_750)
"""Seeds, each once without and once with an opacity; those below 100,000 are held out."""


def main(dataset: Path, out: Path) -> None:
    """Train, measure and write the checkpoint and its report."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    out.mkdir(parents=True, exist_ok=True)
    images, labels, patients = load(dataset / "train")
    # Validation takes whole patients: two images of one child are near copies.
    chosen = np.random.default_rng(0).permutation(np.unique(patients))
    held_out = torch.from_numpy(np.isin(patients, chosen[: len(chosen) // 10]))
    validation = images[held_out], labels[held_out]
    network = library.models.DenseNet(weights=None).to(memory_format=torch.channels_last)
    train(network, images[~held_out], labels[~held_out], validation, out)

    false_rate, true_rate, cuts = roc_curve(validation[1], probabilities(network, validation[0]))
    operating_point = float(cuts[np.argmax(true_rate - false_rate)])  # Youden's J
    report = {
        "architecture": "torchxrayvision.models.DenseNet",
        "labels": ["Pneumonia" if i == PNEUMONIA else "" for i in range(18)],
        "op_threshs": [operating_point if i == PNEUMONIA else None for i in range(18)],
        "validation_auc": auc(network, *validation),
        "test_auc": auc(network, *load(dataset / "test")[:2]),
        "phantom_auc": auc(network, *phantoms(range(200))),
    }
    _say(str(report))
    state = {
        name: (tensor.half() if tensor.ndim == 4 else tensor).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(state, out / "demo.safetensors", metadata={"labels": json.dumps(report["labels"])})
    (out / "demo.json").write_text(json.dumps(report, indent=2) + "\n")


def train(
    network: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    validation: tuple[torch.Tensor, torch.Tensor],
    out: Path,
) -> None:
    """Train `network` in place on radiographs and phantoms, four to one, classes balanced.

    Args:
        network: The library's DenseNet.
        images: uint8 (N, 224, 224).
        labels: int64 (N,), 1 for pneumonia.
        validation: Images and labels that are only measured.
        out: Folder for last.pt, the state after the latest epoch.
    """
    rng = torch.Generator().manual_seed(0)
    extra, extra_labels = phantoms(TRAIN_PHANTOMS)
    is_real = torch.cat([torch.ones(len(labels)), torch.zeros(len(extra_labels))])
    images, labels = torch.cat([images, extra]), torch.cat([labels, extra_labels])
    weight = torch.zeros(len(labels))
    for real, share in ((1, 0.8), (0, 0.2)):
        for label in (0, 1):
            group = (is_real == real) & (labels == label)
            weight[group] = share / 2 / group.sum()

    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-3)
    steps = EPOCH_SIZE // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 1.5e-3, total_steps=steps * len(SCHEDULE), pct_start=0.15
    )
    for epoch, resolution in enumerate(SCHEDULE):
        network.train()
        started, total = time.time(), 0.0
        order = torch.multinomial(weight, steps * BATCH, replacement=True, generator=rng)
        for batch in order.split(BATCH):
            pixels = augment(images[batch], resolution, rng)
            target = labels[batch].float() * 0.96 + 0.02  # smoothed, so that logits stay small
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logit = network(pixels.to(memory_format=torch.channels_last))[:, PNEUMONIA]
            loss = F.binary_cross_entropy_with_logits(logit.float(), target)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        line = f"epoch {epoch} at {resolution}: loss {total / steps:.4f}"
        line += f", {time.time() - started:.0f} s"
        if resolution == 224 or epoch % 4 == 3:
            line += f", validation AUC {auc(network, *validation):.4f}"
        _say(line)
        torch.save(network.state_dict(), out / "last.pt")


def load(folder: Path) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Images uint8 (N, 224, 224), labels int64 (N,) and patients (N,) of one split.

    Raises:
        ValueError: A file whose name does not say which patient it shows.
    """
    images, labels, patients = [], [], []
    for label, name in enumerate(("NORMAL", "PNEUMONIA")):
        for path in sorted((folder / name).glob("*.jpeg")):
            patient = re.match(r"person\d+|(?:NORMAL2-)?IM-\d+", path.name)
            if not patient:
                raise ValueError(f"{path.name}: no patient in the name")
            images.append(np.asarray(Image.open(path).convert("L")))
            labels.append(label)
            patients.append(patient[0])
    return torch.from_numpy(np.stack(images)), torch.tensor(labels), np.array(patients)


def phantoms(seeds: Iterable[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images uint8 (N, 224, 224) and labels int64 (N,), two for every seed."""
    pairs = [(make_phantom(seed, bool(label)), label) for seed in seeds for label in (0, 1)]
    images = np.stack([phantom.pixels * 255 for phantom, _ in pairs]).astype(np.uint8)
    return torch.from_numpy(images), torch.tensor([label for _, label in pairs])


def augment(images: torch.Tensor, resolution: int, rng: torch.Generator) -> torch.Tensor:
    """Vary position, size, side, brightness, contrast and noise.

    Args:
        images: uint8 (N, H, W).
        resolution: Side of what is returned.
        rng: Where the variations come from.

    Returns:
        float32 (N, 1, resolution, resolution) in [-1024, 1024].
    """
    count = len(images)

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=rng)

    angle, zoom, aspect = between(-0.17, 0.17), between(0.8, 1.1), between(0.85, 1.15)
    flip = torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)
    c, s = angle.cos() * zoom, angle.sin() * zoom
    across = torch.stack([c * aspect * flip, -s, between(-0.08, 0.08)], 1)
    down = torch.stack([s * flip, c / aspect, between(-0.08, 0.08)], 1)
    theta = torch.stack([across, down], 1)
    grid = F.affine_grid(theta, [count, 1, resolution, resolution], align_corners=False)
    x = images.float().unsqueeze(1) / 255
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    gain, bias, gamma = (
        between(low, high).view(-1, 1, 1, 1)
        for low, high in ((0.85, 1.15), (-0.08, 0.08), (0.8, 1.25))
    )
    x = x.clamp(1e-4, 1) ** gamma * gain + bias
    x = x + 0.01 * torch.randn(x.shape, generator=rng)
    return (x.clamp(0, 1) * 2 - 1) * 1024


@torch.inference_mode()
def probabilities(network: torch.nn.Module, images: torch.Tensor) -> np.ndarray:
    """How likely pneumonia is: float32 (N,) in [0, 1] for uint8 (N, 224, 224)."""
    network.eval()
    answers = []
    for batch in images.split(64):
        pixels = (batch.float().unsqueeze(1) / 255 * 2 - 1) * 1024
        logits = network(pixels.to(memory_format=torch.channels_last))
        answers.append(logits[:, PNEUMONIA].float().sigmoid())
    return torch.cat(answers).numpy()


def auc(network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Area under the ROC curve, to four places."""
    return round(float(roc_auc_score(labels, probabilities(network, images))), 4)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m export.demo.train_demo")
    parser.add_argument("dataset", type=Path, metavar="DATASET")
    parser.add_argument("out", type=Path, metavar="OUT")
    given = parser.parse_args()
    main(given.dataset, given.out)
