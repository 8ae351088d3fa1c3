"""What tests of programs on streamcore need: a model of the server, in memory and in virtual time."""
