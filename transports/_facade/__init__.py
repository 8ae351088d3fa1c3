"""The public face: one set of classes for async runtimes, one for threads, with the same names and parameters."""
