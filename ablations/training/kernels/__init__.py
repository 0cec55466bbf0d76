"""Loops over feature maps that make one pass where torch makes several.

A map is an array of its values in memory's order, float32 or the bits of bfloat16 (uint16). All
arithmetic is float32, with sums over many pixels in float64.
"""
