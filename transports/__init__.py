"""Runtimes for streamcore: asyncio, trio, anyio and threads; and what they need of the world around them."""
