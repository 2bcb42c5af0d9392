"""What is decided: policy, gate, registry, serving, erasure, incidents, the API and the CLI."""

__version__ = "0.1.0"
