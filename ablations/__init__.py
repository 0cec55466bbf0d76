"""Ablations of the U-Net: plan them, train them, store what came out, and report it."""
