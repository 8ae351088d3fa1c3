"""``streamcore demo``: a group shared by three runtimes, a worker and the server killed, nothing lost.

Read ``worker.py`` first: a user would write the same. ``story.py`` tells the run from its beginning to its end.
"""
