"""Class activation maps: methods, layers and their computation."""
