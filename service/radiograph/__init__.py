"""From the bytes of an image file to a radiograph and the network's input."""
