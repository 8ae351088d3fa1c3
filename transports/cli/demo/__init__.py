"""``streamcore demo``: one group shared by three runtimes, a worker and the server killed, nothing lost.

Read ``worker.py`` first: it is what a user would write. ``story.py`` tells the run from its beginning to its end.
"""
