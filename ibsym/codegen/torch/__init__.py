"""The PyTorch target: a module that a reader may check against its derivation."""
