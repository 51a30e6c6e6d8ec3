"""The HTTP interface: requests, answers, middleware and documents."""
