"""Members of a consumer group, and the producers that feed them."""
