"""Scoring archives: listing, engines, output and restart."""
