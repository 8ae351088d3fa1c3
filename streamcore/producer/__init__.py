"""Appending to streams (``XADD``)."""
