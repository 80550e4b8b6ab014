"""Settings from the environment (`VIPYLO_...`), the defaults of the command line."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read when made.

    Attributes:
        embedder: VIPYLO_EMBEDDER, as in `embedder.load.load_embedder`; None: the one that made the index.
        device: VIPYLO_DEVICE, such as "cpu" or "cuda".
        qdrant_api_key: VIPYLO_QDRANT_API_KEY, for an index on a server.
    """

    model_config = SettingsConfigDict(env_prefix="VIPYLO_", extra="ignore")

    embedder: str | None = None
    device: str | None = None
    qdrant_api_key: str | None = None
