"""Networks for the factors, critics and scores of a spec, and draws of its joints. Its modules import torch."""
