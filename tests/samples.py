"""What tests begin with: the checkout, and a plan that trains in a moment."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent

TINY = """
question = "Does it run?"
seeds = 2

[axes]
skip = ["concat", "none"]

[spec]
depth = 1
base_channels = 4
norm = "batch"
dropout_levels = 0

[task]
name = "labels"
size = 36
scored = 20
noise = 0.1

[training]
steps = 3
batch = 2
learning_rate = 0.005
test_images = 5
"""
