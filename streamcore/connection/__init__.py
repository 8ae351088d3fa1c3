"""The connection to a server.

Handshake, exchanges and pushes of a connection; a link, which dials it, watches it and backs off.
"""
