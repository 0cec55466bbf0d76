"""Ablations of the U-Net: plan them, train them, store what came out, and report it."""

import unet  # noqa: F401  # which refuses a Python that is too old for either
