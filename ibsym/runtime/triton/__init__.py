"""The parts of emitted Triton kernels: text that is copied, never imported here."""
