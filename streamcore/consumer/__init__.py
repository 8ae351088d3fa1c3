"""Reading streams without a group (``XREAD``)."""
