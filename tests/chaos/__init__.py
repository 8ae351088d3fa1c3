"""Chaos on real servers: every runtime, a faulty network, crashes and failovers with a seed, and the oracles of the contract."""
