"""Subscribers of channels, and their publishers."""
