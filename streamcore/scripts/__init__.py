"""The Lua that runs in the server. A script is sent as it is, by ``EVAL`` or ``EVALSHA``; what its arguments are stands above it."""
