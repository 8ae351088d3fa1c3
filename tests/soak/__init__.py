"""A soak: workers of one group, a producer, and a nemesis that breaks everything around them; at the end, the account."""
