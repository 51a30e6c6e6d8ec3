"""The embedded demo model: its phantoms, the samples of the page and its training."""
