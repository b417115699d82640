"""Files for a process of their own, where Triton interprets: `test_kernels` runs them there, and the run of mutants."""

collect_ignore = ["cases.py", "functions.py", "compiled.py"]
