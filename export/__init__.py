"""Offline work: from a frozen checkpoint to a verified model bundle."""
