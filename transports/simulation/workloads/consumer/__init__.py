"""Readers without a group."""
