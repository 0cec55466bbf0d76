"""Loops over feature maps that make one pass where torch makes several."""
