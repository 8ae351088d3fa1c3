"""One module per library. A contestant is a function of a :class:`benchmarks.job.Job`; tables name it as a string, so
that only the process which runs it imports its library."""
