"""Settings from the environment (`VIPYLO_...`), the defaults of the command line."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read when made.

    Attributes:
        embedder: VIPYLO_EMBEDDER, as in `embedder.load.load_embedder`; None: the one that made the index.
        device: VIPYLO_DEVICE, such as "cpu" or "cuda".
        qdrant_api_key: VIPYLO_QDRANT_API_KEY, for an index on a server.
        llm: VIPYLO_LLM, what answers questions: URL of an OpenAI-style server, or directory of a Qwen2-VL checkpoint.
        llm_model: VIPYLO_LLM_MODEL, the model's name on that server.
        llm_key: VIPYLO_LLM_KEY, that server's key.
        graph_user: VIPYLO_GRAPH_USER, for a page graph on a Neo4j server.
        graph_password: VIPYLO_GRAPH_PASSWORD, that user's.
        server_key: VIPYLO_SERVER_KEY, the key that `vipylo serve` asks its callers for.
    """

    model_config = SettingsConfigDict(env_prefix="VIPYLO_", extra="ignore")

    embedder: str | None = None
    device: str | None = None
    qdrant_api_key: str | None = None
    llm: str | None = None
    llm_model: str | None = None
    llm_key: str | None = None
    graph_user: str = "neo4j"
    graph_password: str | None = None
    server_key: str | None = None
