"""The demo: the whole river on real data, through public doors alone."""

from __future__ import annotations

from governance.cli.demo.run import run_demo

__all__ = ["run_demo"]
