"""Online work: from a verified model bundle to answers."""
