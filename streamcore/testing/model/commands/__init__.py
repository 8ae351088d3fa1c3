"""The commands of the model server, by family."""
