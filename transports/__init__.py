"""Runtimes for streamcore: asyncio, trio, anyio and threads; with servers for tests, integrations and a command."""
