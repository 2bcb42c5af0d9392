"""Predictions of the released version, each with a receipt."""
