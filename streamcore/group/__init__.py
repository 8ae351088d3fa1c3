"""Reading streams as a member of a consumer group (``XREADGROUP``).

The fan-in of members; the read loop and the ack loop; setup, looks at groups and their creation; recovery, audit and
reconciliation; settling, claiming, renewal, redelivery and release; pending entries; stream changes; gap detection; the lease
on a name.
"""
