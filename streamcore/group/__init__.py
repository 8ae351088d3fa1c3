"""Reading streams as a member of a consumer group (``XREADGROUP``)."""
