"""What the server counts."""

import re
import threading
from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.vipylo_rag.server.conftest import RunningServer


def samples(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Every number by name and labels' values."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_route(server: RunningServer) -> None:
    before = samples(server.client)
    page = server.search("lease")[0]["id"]
    server.client.get(f"/api/pages/{page}")
    server.client.get("/api/pages/00000000-0000-0000-0000-000000000000")
    server.client.get("/no/such/place")
    after = samples(server.client)

    def more(*key: str) -> float:
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert more("vipylo_requests_total", "/api/search", "200", "POST") == 1
    assert more("vipylo_requests_total", "/api/pages/{id}", "200", "GET") == 1
    assert more("vipylo_requests_total", "/api/pages/{id}", "404", "GET") == 1
    assert more("vipylo_requests_total", "404", "GET", "none") == 1
    assert more("vipylo_request_seconds_count", "/api/search") == 1
    assert more("vipylo_model_batch_samples_count") == 1
    assert after["vipylo_pages",] == 7
    assert {("vipylo_searches_waiting",), ("vipylo_model_waiting",), ("vipylo_sessions",)} <= after.keys()


def test_no_path_or_query_makes_a_series_of_its_own(server: RunningServer) -> None:
    for number in range(20):
        server.client.get(f"/secret/{number}", params={"text": f"secret{number}"})
        server.client.request("PROPFIND", "/")
    text = server.client.get("/metrics").text
    assert "secret" not in text and "PROPFIND" not in text
    assert re.search(r'vipylo_requests_total\{method="other"', text)


def test_each_server_counts_for_itself(server: RunningServer, tenants_server: RunningServer) -> None:
    assert server.state.metrics.registry is not tenants_server.state.metrics.registry


def test_a_key_is_needed_where_there_are_keys(
    tenants_server: RunningServer, as_tenant: Callable[[str], httpx.Client]
) -> None:
    assert tenants_server.client.get("/metrics").status_code == 401
    assert as_tenant("blue").get("/metrics").status_code == 200


def test_counting_loses_nothing_under_many_callers(server: RunningServer) -> None:
    before = samples(server.client).get(("vipylo_requests_total", "/healthz", "200", "GET"), 0.0)

    def ask() -> None:
        for _ in range(10):
            server.client.get("/healthz")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert samples(server.client)["vipylo_requests_total", "/healthz", "200", "GET"] == before + 80
