"""Checkpoints for tests: random weights, and a pickle that shows whether it was unpickled."""

import os

import torch

from export.checkpoints.upstream import library


def random_network(seed=5):
    """The library's DenseNet with random weights and batch statistics, as if trained."""
    torch.manual_seed(seed)
    network = library.models.DenseNet(weights=None)
    with torch.no_grad():
        for name, tensor in network.named_buffers():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.1)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
        network.classifier.weight *= 0.01  # logits of a few units, not of a thousand
    return network.eval()


class Mark:
    """Makes the folder `path` as soon as it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))
