"""Appending to streams (``XADD``).

The producer, its accumulator, durability, deduplication.
"""
