"""Trials of a world that is well: each breaks a single thing, and says which effect must follow."""
