"""Both clients with a real worker: handles, cancelled requests, and maps whose messages grow."""

from __future__ import annotations

import asyncio

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import (
    Answer,
    AsyncClient,
    Client,
    InvalidRequest,
    QueueClass,
    RequestRevoked,
    RequestStatus,
    TextClassificationRequest,
)

LABELS = ["delivery", "praise"]
QUESTION = ("Who designed it?", "The bridge, designed by Ingrid Halvorsen, opened in 1964.")
#: Work that outlasts the cancelling of what waits behind it, on a machine of any speed.
BACKLOG = [TextClassificationRequest.parse({"inputs": ["word " * 200] * 64}) for _ in range(2)]


def test_both_clients_get_the_same_answers(server: LocalServer, worker: LocalWorker, client: Client) -> None:
    assert worker.exit_status is None

    async def ask() -> list[object]:
        async with AsyncClient(server.url, timeout_s=PATIENCE_S) as other:
            handle = await other.submit_classify("a delight")
            return [
                await handle,
                await other.classify(["a", "b"]),
                await other.classify_zero_shot("It came late.", LABELS),
                await other.answer(*QUESTION),
            ]

    assert asyncio.run(ask()) == [
        client.submit_classify("a delight").result(),
        client.classify(["a", "b"]),
        client.submit_classify_zero_shot("It came late.", LABELS).result(),
        client.submit_answer(*QUESTION).result(),
    ]


def test_a_map_sends_fewer_messages_than_requests_and_answers_each(
    server: LocalServer, worker: LocalWorker, client: Client
) -> None:
    assert worker.exit_status is None
    texts = [f"text number {number}" for number in range(600)]
    requests = [TextClassificationRequest.parse({"inputs": text}) for text in texts]
    outcomes = list(client.map(requests, in_flight=4))
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert len(answers) == len(texts)
    assert len({answer.request_id for answer in answers}) < len(texts) / 2
    for number in (0, 299, 599):
        assert answers[number].result == client.classify(texts[number])

    async def ask() -> dict[int, object]:
        async with AsyncClient(server.url, timeout_s=PATIENCE_S) as other:
            return {number: outcome async for number, outcome in other.map_as_completed(requests[:100])}

    completed = asyncio.run(ask())
    assert sorted(completed) == list(range(100))
    results = [outcome.result for _, outcome in sorted(completed.items()) if isinstance(outcome, Answer)]
    assert results == [answer.result for answer in answers[:100]]


def test_one_bad_text_of_a_map_leaves_its_neighbours_their_answers(worker: LocalWorker, client: Client) -> None:
    assert worker.exit_status is None
    long = "word " * 2000
    texts = ["fine"] * 60 + [long] + ["fine"] * 20
    requests = [TextClassificationRequest.parse({"inputs": text, "truncation": False}) for text in texts]
    outcomes = list(client.map(requests, in_flight=2))
    assert [isinstance(outcome, Answer) for outcome in outcomes] == [text != long for text in texts]
    bad = outcomes[60]
    assert isinstance(bad, InvalidRequest)
    assert bad.field is not None
    assert "[" not in bad.field


def test_what_is_cancelled_while_it_waits_is_never_computed(
    own_server: LocalServer, own_environment: dict[str, str]
) -> None:
    async def cancel_all() -> None:
        async with AsyncClient(own_server.url, timeout_s=PATIENCE_S) as client:
            backlog = [await client.submit(request) for request in BACKLOG]
            waiting = [await client.submit_classify("a", queue_class=QueueClass.BULK) for _ in range(100)]
            await asyncio.gather(*(handle.cancel() for handle in waiting))
            ends = await asyncio.gather(*(handle.result() for handle in waiting), return_exceptions=True)
            assert [type(end) for end in ends] == [RequestRevoked] * 100
            assert {await handle.status() for handle in waiting} == {RequestStatus.CANCELLED}
            for request_id in backlog:
                assert len((await client.wait(request_id)).result) == 64

    with LocalWorker(["--concurrency=1"], own_environment) as worker:
        worker.wait_until_ready()
        asyncio.run(cancel_all())
