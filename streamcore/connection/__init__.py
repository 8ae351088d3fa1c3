"""The connection to a server: handshake, exchanges, dialling and its deadlines."""
