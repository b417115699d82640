"""-log2 p(code) bits: images as files through a trained compression model, and back.

A code is quantised, so that its entropy model gives every symbol a probability, and an entropy coder turns those into bits. Whatever
the decoder needs in order to read a file is computed in whole numbers (``fixed.py``, ``tables.py``), so that a file written on one machine
is read on any other, with any number of threads. Torch and the coder are imported by the modules of this package, never here.
"""
