"""Model cards: what a set of weights is, was trained on, is known to do, and gets wrong."""
