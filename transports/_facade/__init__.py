"""The public face: classes written for async runtimes, and generated from them for threads, with the same names and parameters."""
