"""What a loss that exists is, in the terms of a spec: weights, deformations, gradients, extremes."""
