"""What readers of streams have in common, with a group and without."""
