"""Vectors of texts, pictures and both from a running `vipylo serve`, by the `openai` package and by plain HTTP.

    vipylo serve --index my-index                                      # in another terminal, or on another machine
    python examples/openai_client.py                                   # with samples of its own
    python examples/openai_client.py --text "a cat" --picture cat.jpg --both "a cat" dog.jpg

Prints the table of cosines and writes it with the pictures as cosines.html. Needs openai, httpx, numpy and Pillow, none
of ViPylo RAG itself. The server's key, if it has keys, comes from the environment: VIPYLO_SERVER_KEY.
"""

import argparse
import base64
import html
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
from PIL import Image, ImageDraw

Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(frozen=True)
class Sample:
    """What becomes one vector: a text, a picture (as a data: URI), or both."""

    text: str = ""
    picture: str = ""
    label: str = ""

    @property
    def content(self) -> str | list[dict[str, Any]]:
        """The sample as the server's `input` takes it: a text, or a list of parts."""
        parts: list[dict[str, Any]] = [{"type": "text", "text": self.text}] if self.text else []
        if self.picture:
            parts.append({"type": "image_url", "image_url": {"url": self.picture}})
        return parts if self.picture else self.text


def by_openai(base_url: str, key: str, samples: list[Sample]) -> Vectors:
    """[n, dim]: with OpenAI's client, which asks again by itself when the server is busy."""
    with openai.OpenAI(base_url=base_url, api_key=key) as client:
        model = client.models.list().data[0].id
        inputs: Any = [sample.content for sample in samples]  # the package's types know of texts only; it sends all
        answer = client.embeddings.create(model=model, input=inputs)
    dim, tokens = len(answer.data[0].embedding), answer.usage.total_tokens
    print(f"model {model}: {len(answer.data)} vectors of {dim} from {tokens} tokens")
    return np.array([row.embedding for row in answer.data], dtype=np.float32)


def by_httpx(base_url: str, key: str, samples: list[Sample]) -> Vectors:
    """[n, dim]: the same request by hand, for programs in any language; base64 is a third of the bytes of numbers."""
    asked = {"input": [sample.content for sample in samples], "encoding_format": "base64"}
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.post(f"{base_url}/embeddings", json=asked, headers=headers, timeout=120).raise_for_status().json()
    rows = [np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4") for row in answer["data"]]
    return np.stack(rows).astype(np.float32)


def data_uri(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """A picture as it is sent: inside the request, as no address is ever opened."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def own_samples() -> list[Sample]:
    """A sentence in three languages and another one; a drawing, a poor copy of it, another drawing; both at once."""
    chart, house = Image.new("RGB", (320, 240), "white"), Image.new("RGB", (320, 240), "#cfe8ff")
    pen = ImageDraw.Draw(chart)
    for number, height in enumerate((60, 110, 90, 170, 140)):
        pen.rectangle((30 + 54 * number, 220 - height, 64 + 54 * number, 220), fill="#0b6e6e")
    pen = ImageDraw.Draw(house)
    pen.rectangle((90, 110, 230, 220), fill="#c0392b")
    pen.polygon(((70, 110), (250, 110), (160, 40)), fill="#5d4037")
    lease, shrimp = "The tenant pays a deposit of two months' rent.", "Frozen shrimp is exported to Japan."
    copy = data_uri(chart.resize((288, 216)), "JPEG", quality=20)
    return [
        Sample("Bên thuê đặt cọc hai tháng tiền nhà."),
        Sample(lease),
        Sample("承租人支付两个月租金作为押金。"),
        Sample(shrimp),
        Sample(picture=data_uri(chart), label="chart"),
        Sample(picture=copy, label="chart, small and poor"),
        Sample(picture=data_uri(house), label="house"),
        Sample(lease, data_uri(house), label="house + lease"),
    ]


def asked_samples(asked: argparse.Namespace) -> list[Sample]:
    """The samples of the command line."""
    both = [*(("", file) for file in asked.picture), *asked.both]
    mixed = [Sample(text, data_uri(Image.open(file)), f"{text} {Path(file).name}".strip()) for text, file in both]
    return [Sample(text) for text in asked.text] + mixed


def table(samples: list[Sample], cosines: Vectors) -> str:
    """The cosines as an HTML page with the pictures, the nearer the darker."""
    heads = [
        f"<th>{html.escape(sample.text)}" + (f'<br><img src="{sample.picture}" alt="">' if sample.picture else "")
        for sample in samples
    ]
    rows = ""
    for head, row in zip(heads, cosines, strict=True):
        cells = (f'<td style="background:rgba(11,110,110,{max(0.0, float(one)) ** 2:.2f})">{one:.2f}' for one in row)
        rows += f"<tr>{head}{''.join(cells)}"
    style = "img{max-width:7em;max-height:7em}th{max-width:9em;font:13px system-ui}td{text-align:center;padding:1em}"
    head = f"<!doctype html><meta charset=utf-8><meta name=color-scheme content=light><style>{style}</style>"
    return f"{head}<table><tr><th>{''.join(heads)}{rows}</table>"


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 2 if the server cannot be asked, or a picture cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--url", default="http://127.0.0.1:8765", help="of the server (%(default)s)")
    option("--text", action="append", default=[], help="a sample of words; repeatable, as are the next two")
    option("--picture", action="append", default=[], metavar="FILE", help="a sample of one picture")
    option("--both", action="append", default=[], nargs=2, metavar=("TEXT", "FILE"), help="both as one sample")
    option("--out", type=Path, default=Path("cosines.html"), help="the table with its pictures (%(default)s)")
    asked = parser.parse_args(arguments)
    base_url, key = f"{asked.url.rstrip('/')}/v1", os.environ.get("VIPYLO_SERVER_KEY", "none")
    try:
        samples = asked_samples(asked) or own_samples()
        vectors = by_openai(base_url, key, samples)
        difference = float(np.abs(vectors - by_httpx(base_url, key, samples)).max())
    except (OSError, openai.OpenAIError, httpx.HTTPError) as error:
        print(f"{asked.url}: {error}", file=sys.stderr)
        return 2
    cosines: Vectors = vectors @ vectors.T  # they have unit length
    print(f"by httpx the same: largest difference {difference:.1e}\n")
    print("  ", *(f"{number:6}" for number in range(1, len(samples) + 1)))
    for number, (sample, row) in enumerate(zip(samples, cosines, strict=True), start=1):
        print(f"{number:3}", *(f"{one:6.2f}" for one in row), f"  {sample.label or sample.text}")
    asked.out.write_text(table(samples, cosines), encoding="utf-8")
    print(f"\nwith pictures: {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
