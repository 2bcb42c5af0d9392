"""Server settings: ``GOVERN_*`` variables, checked."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings"]


class Settings(BaseSettings):
    """What the environment says. ``GOVERN_URL`` wins over ``GOVERN_HOME``."""

    model_config = SettingsConfigDict(env_prefix="GOVERN_", extra="ignore")

    home: Path = Path(".govern")
    """Where keys and stores lie when no server is named."""
    url: str | None = None
    """The server that clients speak to."""
    api_key: str | None = None
    runner_threads: int = Field(default=1, ge=1, le=64)
    """Threads of a served model."""
    audit_threads: int = Field(default=2, ge=1, le=64)
    """Threads of the warm audit process."""
