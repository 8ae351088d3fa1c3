"""A primary that changes, and Sentinels that tell where it is.

Engines know nothing of it: they ask their router for links (``engine.router``), and all of these lead to the primary.
"""
