"""What drifts: the log of numbers of the service, then and now."""
