"""The chaos on real clusters: slots move, primaries are replaced, killed and stopped, nodes join and leave; and the account of it."""
