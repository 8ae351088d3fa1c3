"""Virtual time, the network, the server, and the programs in it."""
