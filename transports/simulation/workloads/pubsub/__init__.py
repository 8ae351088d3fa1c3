"""Subscribers of pub/sub."""
