"""Many servers that share the slots of a cluster: where a command belongs, and which node serves it now.

Engines know nothing of it: they ask their router for links (``engine.router``).
"""
