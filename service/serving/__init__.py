"""Queues, batches and worker processes."""
