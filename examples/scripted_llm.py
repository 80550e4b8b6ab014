"""A language model that says what it is told to, behind an OpenAI-style HTTP server: for pictures of the web page."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def scripted_llm(name: str, answer: str) -> Iterator[str]:
    """The URL of a server whose model `name` gives `answer`, each "[words]" in it made the number of the page with
    these words."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._head("application/json")
            models = {"object": "list", "data": [{"id": name, "object": "model", "max_model_len": 32_768}]}
            self.wfile.write(json.dumps(models).encode())

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._head("text/event-stream")
            said = re.sub(r"\[([^\]]+)\]", lambda mark: f"[{_page_with(mark[1], asked)}]", answer)
            for word in re.findall(r"\S+\s*|\s+", said):
                self._event({"delta": {"content": word}, "finish_reason": None})
            self._event({"delta": {}, "finish_reason": "stop"})
            self.wfile.write(b"data: [DONE]\n\n")

        def _head(self, media_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.end_headers()

        def _event(self, choice: dict[str, Any]) -> None:
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": name}
            self.wfile.write(f"data: {json.dumps({**chunk, 'choices': [{'index': 0, **choice}]})}\n\n".encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _page_with(words: str, asked: dict[str, Any]) -> int:
    """The number of the page whose text holds `words`, as the prompt numbers them; 1 where none does."""
    content = asked["messages"][-1]["content"]
    said = content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)
    before = " ".join(said.split()).partition(words)[0]
    numbers = re.findall(r"⟦page (\d+)", before)
    return int(numbers[-1]) if numbers and words in " ".join(said.split()) else 1
