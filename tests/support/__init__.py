"""Shared by tests: kinds of servers, a faulty network, and a client that owes nothing to the code under test."""
