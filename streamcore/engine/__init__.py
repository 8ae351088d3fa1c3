"""The driver contract of engines.

Links, and the router that gives them; timers; scripts and their runner; events; degradation.
"""
