"""The driver contract of engines: links, scripts, timers and events."""
