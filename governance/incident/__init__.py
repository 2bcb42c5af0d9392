"""Incidents: what went wrong, what it holds, and the regression case that stays."""
