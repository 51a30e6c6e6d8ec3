"""Heat maps of one class: which methods and layers there are, and how each is computed."""
