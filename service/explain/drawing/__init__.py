"""Heat maps as images: the overlay, its caption and the colour map."""
