"""Measurements, each beside a baseline of the same run: ratios survive another machine, seconds do not."""
