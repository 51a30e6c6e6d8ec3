"""Fitting the reference that images are held against."""
