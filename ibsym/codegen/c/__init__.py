"""[LossProgram] -> C: the loss and its gradients in one pass, for the terms that fuse."""
