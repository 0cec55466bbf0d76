"""Sweeps that are killed, starved and blown up, with everything real but the training."""
