"""Loss and gradients on a GPU: the same passes as in C, as Triton kernels."""
