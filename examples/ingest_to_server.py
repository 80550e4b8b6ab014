"""Ingest a folder into a running `vipylo serve` over HTTP, wait until it is read, search it and save the pages found.

    vipylo serve --index my-index                                      # in another terminal, or on another machine
    python examples/ingest_to_server.py documents/ --search "hợp đồng thuê nhà"

Needs only httpx and rich, none of ViPylo RAG itself. Run it again at any time: what the server has is not sent twice.
The server's key, if it has keys, comes from the environment: VIPYLO_SERVER_KEY.
"""

import argparse
import html
import os
import re
import sys
import time
import unicodedata
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from rich.progress import Progress, TaskID

IN_LINE = 4  # uploads that the server has at a time: it reads one, and the next are there already
NUMBER = re.compile(r" \(\d+\)(?=(\.[^.]*)?$)")  # "report (2).pdf": how the server keeps files of one name apart
Failure = tuple[str, str]  # name and reason
STYLE = "div{display:flex;flex-wrap:wrap;gap:1em}figure{margin:0;width:15em}img{width:100%;border:1px solid #888}"


class Patient(httpx.HTTPTransport):
    """Makes a request again, later each time, that the server is too busy for or that got lost on its way."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for pause in (0.2, 0.5, 1, 2, 5, 10, 20, 30, 60):
            try:
                answer = super().handle_request(request)  # files are read from their beginning each time
                if answer.status_code not in (429, 503):
                    return answer
                answer.close()
                time.sleep(float(answer.headers.get("Retry-After", pause)))
            except (httpx.ReadError, httpx.RemoteProtocolError):
                time.sleep(pause)
        return super().handle_request(request)


def plain(name: str) -> str:
    """A file's name as it is compared: in one Unicode form, without the number that the server may have given it."""
    return NUMBER.sub("", unicodedata.normalize("NFC", name))


def sorted_out(files: list[Path], server: httpx.Client, reading: list[Any]) -> tuple[list[Path], list[Failure]]:
    """The files that the server does not have, by name and size, and those that it could not read before, and why."""
    had = Counter((plain(file["name"]), -1) for upload in reading for file in upload["files"])
    reasons, listed, total = {}, 0, 1
    while listed < total:
        page = server.get("/api/documents", params={"offset": listed, "limit": 200}).raise_for_status().json()
        for document in page["documents"]:
            had[key := (plain(document["name"]), document["bytes"])] += 1
            reasons[key] = document["reason"]
        listed, total = listed + 200, page["total"]
    left, failed = [], []
    for file in files:
        keys = [(plain(file.name), size) for size in (file.stat().st_size, -1)]
        if found := [key for key in keys if had[key] > 0]:
            had[found[0]] -= 1
            failed += [(file.name, reasons[found[0]])] if reasons.get(found[0]) else []
        else:
            left.append(file)
    return left, failed


def batches(files: list[Path], most_bytes: int, most_files: int = 50) -> list[list[Path]]:
    """The files in groups, none of which is more than one upload may be."""
    groups: list[list[Path]] = [[]]
    for file in files:
        size = sum(one.stat().st_size for one in [*groups[-1], file])
        if groups[-1] and (len(groups[-1]) == most_files or size > most_bytes):
            groups.append([])
        groups[-1].append(file)
    return groups if files else []


def ingest(server: httpx.Client, files: list[Path], replace: bool, bar: Progress) -> list[Failure]:
    """Send what is missing and wait until all is read; what failed, as (name, reason)."""
    limits = server.get("/api/info").raise_for_status().json()["limits"]
    most, uploads = limits["file_bytes"], server.get("/api/uploads").raise_for_status().json()
    reading = [upload for upload in uploads if upload["state"] != "done"]  # of an earlier run
    large = [file for file in files if file.stat().st_size > most]
    wanted, failed = sorted_out([file for file in files if file not in large], server, reading)
    there = len(files) - len(large) - len(wanted)
    bar.console.print(f"{len(files)} files: {there} there already, {len(wanted)} to send, {len(large)} too large")
    failed += [(file.name, f"larger than the {most:,} bytes that the server takes") for file in large]
    following = {upload["id"]: 0 for upload in reading}  # uploads, with how many of their files are read
    task = bar.add_task("read by the server", total=len(wanted) + sum(len(upload["files"]) for upload in reading) or 1)
    for batch in batches(wanted, min(limits["upload_bytes"], 32 * 2**20)):
        while len(following) >= IN_LINE:
            failed += follow(server, following, bar, task)
        with ExitStack() as opened:
            parts = [("files", (file.name, opened.enter_context(file.open("rb")))) for file in batch]
            answer = server.post("/api/documents", files=parts, data={"replace": str(replace).lower()})
        following[answer.raise_for_status().json()["id"]] = 0
    while following:
        failed += follow(server, following, bar, task)
    bar.update(task, completed=bar.tasks[task].total)
    return failed


def follow(server: httpx.Client, following: dict[str, int], bar: Progress, task: TaskID) -> list[Failure]:
    """Look once how far the uploads are. Those that ended leave `following`; what failed in them is returned."""
    failed: list[Failure] = []
    for id_, before in list(following.items()):
        upload = server.get(f"/api/uploads/{id_}").raise_for_status().json()
        following[id_] = sum(file["state"] not in ("waiting", "reading") for file in upload["files"])
        bar.advance(task, following[id_] - before)
        if upload["state"] == "done":
            del following[id_]
            for file in upload["files"]:
                failed += [(file["name"], file["reason"])] if file["state"] == "failed" else []
                failed += [(f"{file['name']}, page {page['page']}", page["reason"]) for page in file["failed_pages"]]
    time.sleep(0.3 if following else 0)
    return failed


def search(server: httpx.Client, text: str, picture: Path | None, out: Path, top_k: int) -> str:
    """Search, save the pictures of the pages found, and return them as a part of an HTML page."""
    files = [("images", (picture.name, picture.read_bytes()))] if picture else None
    answer = server.post("/api/search", data={"text": text, "top_k": str(top_k)}, files=files).raise_for_status().json()
    asked, figures = text or (picture.name if picture else ""), ""
    print(f"\n{asked}")
    for hit in answer["hits"]:
        print(f"  {hit['rank']}. {hit['score']:.3f}  {hit['name']}, page {hit['page']}  {hit['snippet'][:60]}")
        shown = f"<pre>{html.escape(hit['snippet'])}</pre>"
        if hit["image"]:
            image = server.get(hit["image"]).raise_for_status()
            suffix = image.headers["content-type"].rpartition("/")[2]
            saved = out / f"{plain(asked)[:40].replace('/', '_')}-{hit['rank']}.{suffix}"
            saved.write_bytes(image.content)
            shown = f'<img src="{quote(saved.name)}" alt="">'
        caption = html.escape(f"{hit['rank']}. {hit['name']}, page {hit['page']} ({hit['score']:.3f})")
        figures += f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"
    return f"<h2>{html.escape(asked)}</h2><div>{figures}</div>"


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if something could not be read, 2 if the server cannot be asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("folder", type=Path, help="what to ingest: a folder, with all below it, or one file")
    option("--url", default="http://127.0.0.1:8765", help="of the server (%(default)s)")
    option("--search", action="append", default=[], metavar="TEXT", help="then look for this; repeatable")
    option("--picture", action="append", default=[], metavar="FILE", type=Path, help="look for this; repeatable")
    option("--top-k", type=int, default=5, help="pages for each search (%(default)s)")
    option("--out", type=Path, default=Path("found"), help="folder for the pages found (%(default)s)")
    option("--replace", action="store_true", help="a changed file replaces the one of its name")
    asked = parser.parse_args(arguments)
    found = asked.folder.rglob("*") if asked.folder.is_dir() else [asked.folder]
    files = sorted(file for file in found if file.is_file() and not file.name.startswith("."))
    if not files:
        parser.error(f"{asked.folder} holds no file")
    key = os.environ.get("VIPYLO_SERVER_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(base_url=asked.url, headers=headers, timeout=120, transport=Patient()) as server:
            with Progress() as bar:
                failed = ingest(server, files, asked.replace, bar)
            for name, reason in failed:
                print(f"not indexed: {name}: {reason}")
            asked.out.mkdir(parents=True, exist_ok=True)
            searches = [(text, None) for text in asked.search] + [("", picture) for picture in asked.picture]
            parts = [search(server, text, picture, asked.out, asked.top_k) for text, picture in searches]
    except httpx.HTTPStatusError as error:
        print(f"{asked.url}: {error.response.json()['detail']}", file=sys.stderr)
        return 2
    except httpx.TransportError as error:
        print(f"{asked.url} does not answer ({error}): start `vipylo serve`, or name it with --url", file=sys.stderr)
        return 2
    if parts:
        sheet = asked.out / "found.html"
        sheet.write_text(f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{''.join(parts)}", encoding="utf-8")
        print(f"\npages as pictures: {sheet}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
