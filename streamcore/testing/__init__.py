"""Harnesses in virtual time, for tests of engines.

``pair`` joins an engine and a scripted peer, ``net`` an engine and the model server over a network that breaks, ``cluster_net`` an
engine and several model servers; ``model`` is the model of a server, by command family, ``model.cluster`` that of a cluster and of
Sentinels.
"""
