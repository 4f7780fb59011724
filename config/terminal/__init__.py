"""Talking to a companion from a terminal: a client of the public API, and of nothing else."""
