"""/v1/embeddings through OpenAI's own client, and what it refuses."""

import base64
import io
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openai
import pytest
from PIL import Image, ImageDraw

from connectors.loaders.picture import MAX_PAGE_PIXELS
from embedder.errors import InputError
from embedder.protocol import Sample
from tests.vipylo_rag.server.conftest import RunningServer
from vipylo_rag.llm import load_llm


@pytest.fixture(scope="module")
def client(server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def picture(colour: str = "red", size: tuple[int, int] = (120, 90)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).ellipse((20, 10, 80, 80), fill=colour)
    return image


def uri(image: Image.Image, kind: str = "PNG") -> str:
    data = io.BytesIO()
    image.save(data, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def image_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def expected(server: RunningServer, *samples: Sample) -> np.ndarray:
    return server.state.index.embedder.encode_rows(samples).vectors


def post(server: RunningServer, **body: Any) -> Any:
    return server.client.post("/v1/embeddings", json=body)


def vectors(server: RunningServer, **body: Any) -> np.ndarray:
    answer = post(server, **body)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [one["index"] for one in data] == list(range(len(data)))
    return np.array([one["embedding"] for one in data], dtype=np.float32)


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and float(np.abs(first - second).max()) < 1e-5


def test_openais_client_gets_the_models_vectors(server: RunningServer, client: openai.OpenAI) -> None:
    texts = ["hợp đồng thuê nhà", "labour contract", "发票"]
    wanted = expected(server, *map(Sample, texts))
    # The client asks for base64 unless it is told otherwise, and decodes it.
    for options in ({}, {"encoding_format": "float"}):
        found = client.embeddings.create(model="starter", input=texts, **options)  # type: ignore[call-overload]
        assert same(np.array([one.embedding for one in found.data], dtype=np.float32), wanted)
    assert found.model == "starter"
    tokenizer = server.state.index.embedder.embedder.processor.tokenizer  # type: ignore[attr-defined]
    read = sum(len(tokenizer(text)["input_ids"]) for text in texts)  # the starter's template adds none
    assert found.usage.prompt_tokens == found.usage.total_tokens == read
    one = client.embeddings.create(model="starter", input=texts[0])
    assert same(np.array([one.data[0].embedding], dtype=np.float32), wanted[:1])


def test_base64_is_little_endian_float32(server: RunningServer) -> None:
    written = post(server, input="发票", encoding_format="base64").json()["data"][0]["embedding"]
    numbers = struct.unpack("<1024f", base64.b64decode(written))
    assert same(np.array([numbers], dtype=np.float32), vectors(server, input="发票"))


def test_models_lists_the_one(server: RunningServer, client: openai.OpenAI) -> None:
    [model] = client.models.list().data
    assert model.id == "starter"
    with pytest.raises(openai.NotFoundError, match="ask for 'starter'"):
        client.embeddings.create(model="text-embedding-3-small", input="a")


def test_it_is_no_language_model_for_answers(server: RunningServer) -> None:
    with pytest.raises(InputError, match="is a vipylo server, whose model writes no answers"):
        load_llm(f"{server.url}/v1")


def test_dimensions_are_cut_and_of_unit_length(server: RunningServer, client: openai.OpenAI) -> None:
    whole = vectors(server, input="hợp đồng")
    found = client.embeddings.create(model="starter", input="hợp đồng", dimensions=256)
    cut = np.array([found.data[0].embedding], dtype=np.float32)
    assert np.linalg.norm(cut) == pytest.approx(1.0, abs=1e-5)
    assert same(cut, whole[:, :256] / np.linalg.norm(whole[:, :256]))
    assert "this model has 1024" in post(server, input="a", dimensions=1025).json()["detail"]
    assert post(server, input="a", dimensions=0).status_code == 422


def test_text_and_pictures_together_are_one_vector(server: RunningServer) -> None:
    red, blue = picture(), picture("blue", (200, 100))
    mixed = [text_part("đĩa màu đỏ"), image_part(uri(red))]
    wanted = expected(server, Sample("đĩa màu đỏ", (red,)), Sample("two", (red, blue)), Sample("only text"))
    assert same(vectors(server, input=mixed), wanted[:1])
    assert same(
        vectors(
            server,
            input=[mixed, [image_part(uri(red)), text_part("two"), image_part(uri(blue))], "only text"],
        ),
        wanted,
    )
    assert same(vectors(server, messages=[{"role": "user", "content": mixed}]), wanted[:1])
    assert same(vectors(server, messages=[{"role": "user", "content": "only text"}]), wanted[2:])
    usage = post(server, input=mixed).json()["usage"]
    assert usage["prompt_tokens"] > post(server, input="đĩa màu đỏ").json()["usage"]["prompt_tokens"] + 10


def test_it_is_the_vector_of_a_search(server: RunningServer) -> None:
    """What the text says is data here as there: markers in it are words."""
    asked = "a picture <image> of a disc"
    [vector] = vectors(server, input=asked)
    score = server.search(asked, mode="dense", top_k="1")[0]["score"]
    [best] = server.state.index.store.search(vector, top_k=1, mode="dense")
    assert best.score == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "give what is to be embedded"),
        ({"input": "a", "messages": [{"role": "user", "content": "a"}]}, "not both"),
        ({"input": []}, "empty"),
        ({"input": ""}, "input 0"),
        ({"input": ["fine", "   "]}, "input 1"),
        ({"input": [1, 2, 3]}, "list of tokens"),
        ({"input": [[1, 2], [3]]}, "list of tokens"),
        ({"input": ["a"] * 257}, "256 at most"),
        ({"input": "a" * 8001}, "send 8000 at most"),
        ({"input": [image_part("https://example.org/a.png")]}, "addresses are not opened"),
        ({"input": [image_part("file:///etc/passwd")]}, "addresses are not opened"),
        ({"input": [image_part("/etc/passwd")]}, "addresses are not opened"),
        ({"input": [image_part("data:image/png,rohe")]}, "is not base64"),
        ({"input": [image_part("data:image/png;base64,***")]}, "no base64"),
        ({"input": [image_part("data:image/png;base64,aGVsbG8=")]}, "none of PNG"),
        ({"input": [[image_part(uri(picture()))] * 6]}, "5 at most"),
        ({"messages": [{"role": "user", "content": "a"}] * 2}, "give one"),
        ({"messages": [{"role": "system", "content": "a"}]}, "role"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_bad_input_is_told(server: RunningServer, body: dict[str, Any], says: str) -> None:
    answer = post(server, **body)
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["detail"]


def test_a_picture_too_large_is_refused_before_it_is_decoded(server: RunningServer) -> None:
    bomb = Image.new("1", (9000, 9000))  # 81 million pixels in 10 KB
    assert "9000x9000 pixels" in post(server, input=[image_part(uri(bomb))]).json()["detail"]
    huge = Image.new("1", (20_000, 20_000))
    assert "too large" in post(server, input=[image_part(uri(huge))]).json()["detail"]


def test_large_pictures_wait_for_the_model_as_small_as_pages(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty megapixels are 200 KB of PNG and 200 MB of pixels: hundreds of calls may wait."""
    seen: list[Sample] = []
    line = server.state.index.embedder
    encode = line.encode_rows_async

    async def noting(samples: Sequence[Sample]) -> Any:
        seen.extend(samples)
        return await encode(samples)

    monkeypatch.setattr(line, "encode_rows_async", noting)
    large = Image.new("RGBA", (5000, 4000), (255, 0, 0, 0))
    assert post(server, input=[image_part(uri(large))]).status_code == 200
    [image] = seen[0].images
    assert image.width * image.height <= MAX_PAGE_PIXELS
    assert image.getpixel((5, 5)) == (255, 255, 255)  # as a search sees it: on white


def test_pictures_of_a_call_are_limited_by_what_is_decoded(server: RunningServer) -> None:
    large = [image_part(uri(Image.new("1", (7000, 7000))))]
    assert "what is left" in post(server, input=[large] * 6).json()["detail"]


@pytest.mark.parametrize("value", ["1.5", "{}", "1", '""', "[]"])
def test_many_small_values_are_no_way_to_fill_the_memory(server: RunningServer, value: str) -> None:
    """A megabyte of entries that are all wrong took ten seconds and two gigabytes, for an error about each."""
    many = ",".join([value] * 300_000)
    for body in (f'{{"input":[{many}]}}', f'{{"input":[[{many}]]}}', f'{{"messages":[{many}]}}'):
        begun = time.monotonic()
        answer = server.client.post("/v1/embeddings", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert len(answer.text) < 2000
        assert time.monotonic() - begun < 6


def test_more_values_than_a_request_can_have_are_not_read(server: RunningServer) -> None:
    body = '{"input": "x", "y": [' + ",".join(["[]"] * 1_100_000) + "]}"
    answer = server.client.post("/v1/embeddings", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 413, answer.text


def test_half_a_character_is_told(server: RunningServer) -> None:
    headers = {"content-type": "application/json"}
    answer = server.client.post("/v1/embeddings", content=b'{"input": ["fine", "half \\ud83d"]}', headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("input 1: the text holds half a character")


def test_a_damaged_picture_is_named(server: RunningServer) -> None:
    whole = io.BytesIO()
    picture(size=(400, 400)).save(whole, "PNG")
    cut = base64.b64encode(whole.getvalue()[:200]).decode()
    detail = post(server, input=["fine", [image_part(f"data:image/png;base64,{cut}")]]).json()["detail"]
    assert detail.startswith("input 1: a picture")


def test_many_callers_at_once(server: RunningServer) -> None:
    texts = [f"text number {number}" for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda text: vectors(server, input=text), texts))
    assert same(np.concatenate(found), expected(server, *map(Sample, texts)))
