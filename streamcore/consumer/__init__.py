"""Reading streams without a group (``XREAD``).

The fan-in of cursors, the reading of streams, starting points, merging by id, gap detection.
"""
