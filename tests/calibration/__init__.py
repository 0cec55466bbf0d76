"""Experiments whose truth is known, judged by our statistics and by those that we warn of."""
