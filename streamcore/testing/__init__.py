"""Harnesses in virtual time, for tests of engines.

``pair`` joins an engine and a scripted peer, ``net`` an engine and the model server over a network that breaks;
``model`` is the model of a server, by command family.
"""
