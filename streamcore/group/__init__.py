"""Reading streams as a member of a consumer group (``XREADGROUP``).

The fan-in of members; the read loop and the ack loop; setup, recovery and audit; claiming, renewal, redelivery and
release; pending entries; stream changes; gap detection; the lease on a name.
"""
