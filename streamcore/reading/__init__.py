"""The parts that readers of streams share, with a group and without.

Reading ahead and its bounds, the end of a read that blocks, the history of a stream and its continuity.
"""
