"""How a server is set up: where it listens, and what it takes."""

from pydantic import BaseModel, ConfigDict, Field

MIB = 2**20


class ServerOptions(BaseModel):
    """Limits of a server; every one is there so that no request can make it grow without bound.

    Attributes:
        host, port: where it listens; another host than this machine's own needs keys.
        writable: whether documents can be uploaded and deleted.
        tenant: whose documents are served where no keys are asked for.
        graphs: whether each tenant who has documents gets a page graph without asking for it.
        upload_bytes: of one upload, all files together. file_bytes: of one file. upload_files: in one upload.
        uploads: being received, waiting or being read; more are answered 429.
        upload_pages: of one file, or of one in an archive; what comes after is not read.
        upload_seconds: reading one upload may take so long.
        image_bytes, image_pixels, images: of a query's pictures.
        text_characters: of a query.
        top_k: most hits.
        waiting: requests that wait for the model; more are answered 429.
        request_seconds: a request may take so long, uploads and answers apart.
        answer_seconds: an answer may take so long. answers: at a time; more are answered 429.
        explanations: of pages, at a time; more are answered 429.
        embedding_inputs: of one call of /v1/embeddings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    writable: bool = True
    tenant: str = ""
    graphs: bool = False
    upload_bytes: int = Field(default=200 * MIB, ge=1)
    file_bytes: int = Field(default=100 * MIB, ge=1)
    uploads: int = Field(default=16, ge=1)
    upload_files: int = Field(default=500, ge=1)
    upload_pages: int = Field(default=2000, ge=1)
    upload_seconds: float = Field(default=3600, gt=0)
    image_bytes: int = Field(default=20 * MIB, ge=1)
    image_pixels: int = Field(default=50_000_000, ge=1)
    images: int = Field(default=5, ge=1)
    text_characters: int = Field(default=8000, ge=1)
    top_k: int = Field(default=100, ge=1)
    waiting: int = Field(default=512, ge=1)
    request_seconds: float = Field(default=60, gt=0)
    answer_seconds: float = Field(default=300, gt=0)
    answers: int = Field(default=8, ge=1)
    explanations: int = Field(default=8, ge=1)
    embedding_inputs: int = Field(default=256, ge=1)
