"""Whole archives: which files, scored how, written where, and continued after a break."""
