"""Answers in JSON, written by pydantic in one step: FastAPI would check and convert each answer a second time."""

from fastapi import Response

from vipylo_rag.server.schemas import Schema


def json_answer(body: Schema, status: int = 200) -> Response:
    """A schema's object as an answer."""
    return Response(body.model_dump_json(), status, media_type="application/json")
