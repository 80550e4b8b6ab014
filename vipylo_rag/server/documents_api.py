"""Documents over HTTP: list, upload with progress, delete."""

from fastapi import APIRouter

router = APIRouter(tags=["documents"])
