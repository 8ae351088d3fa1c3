"""Benchmarks against peers and against the limit, in one run: ``python -m benchmarks --help``."""
