"""The Lua that runs in the server, by ``EVAL`` or ``EVALSHA``; a comment above each script tells its arguments."""
