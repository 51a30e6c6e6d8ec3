"""The network: its bundle, the runtimes that run it, its scores and their answer."""
