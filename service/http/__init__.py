"""The HTTP edge: what a request must be before it is worked on, and the form of every answer."""
