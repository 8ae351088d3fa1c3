"""Frames for the decoders: drawn from a seed (``frames``, ``run``), and for coverage-guided fuzzing (``fuzz_decoder``)."""
