"""Harnesses for tests, in virtual time: an engine and a scripted peer (``pair``), or a model of the server (``net``, ``model``)."""
