from __future__ import annotations

import json
import tracemalloc

from orchestrator.status import EncodedStatus
from orchestrator.status.cache.encoded_status import LINES_PER_CHUNK
from orchestrator.status.cache.job_line import JobLine

LINE_BYTES = 2000


def a_line(number: int) -> JobLine:
    text = json.dumps({"account": f"a{number}", "filler": "x" * LINE_BYTES}).encode()
    return JobLine(
        pieces=(text[:10], text[10:]), digest=b"%016d" % number, state="running", settled=False, built_at=0.0
    )


def a_document(count: int) -> EncodedStatus:
    return EncodedStatus(b'{"jobs":[', [a_line(number) for number in range(count)], b"]}")


def test_document_has_every_line_and_its_length() -> None:
    for count in (0, 1, 2, LINES_PER_CHUNK, LINES_PER_CHUNK + 1, 3 * LINES_PER_CHUNK):
        document = a_document(count)
        whole = document.join()
        assert [each["account"] for each in json.loads(whole)["jobs"]] == [f"a{number}" for number in range(count)]
        assert document.length == len(whole)


def test_digest_is_that_of_the_content() -> None:
    digests = [a_document(count).digest for count in (0, 1, 2, 1)]
    assert digests[1] == digests[3]
    assert len(set(digests)) == 3
    assert EncodedStatus(b"ab", b"c").digest != EncodedStatus(b"a", b"bc").digest


def test_a_reader_costs_one_chunk_of_memory() -> None:
    document = a_document(20 * LINES_PER_CHUNK)
    tracemalloc.start()
    try:
        for chunk in document.iter_chunks():
            assert len(chunk) < 2 * LINES_PER_CHUNK * LINE_BYTES
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert document.length > 20 * LINES_PER_CHUNK * LINE_BYTES
    assert peak < document.length / 4
