"""Erasure requests: who asked, who allowed it, what is in scope, and how it ended."""
