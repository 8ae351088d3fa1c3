"""Harnesses for tests: an engine and its peer in virtual time (``pair``), and a model of the server (``model``)."""
