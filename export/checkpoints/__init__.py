"""Checkpoints: download, verification, labels and the library's own network."""
