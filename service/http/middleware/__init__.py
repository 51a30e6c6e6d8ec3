"""ASGI middleware that every request passes, one concern a file."""
