"""min E[loss] along parameters: one run for every point of a grid and every seed, in parallel processes, gone on with after a kill.

Torch, Optuna and PyArrow are imported by the modules of this package that need them, never here.
"""
