"""Mock services: asynchronous, connected or not, and with a journal."""

import asyncio
from typing import Any

import pytest

from poolproof.errors import UsageError
from poolproof.isolation.mocks import Call, mock_service

pytestmark = pytest.mark.unit


class Kafka:
    topic = "jobs"

    async def connect(self) -> None: ...
    async def send(self, topic: str, *, key: str = "") -> int:
        return len(topic + key)

    def count(self) -> int:
        return 0


def answer(work: Any) -> Any:
    async def main() -> Any:
        return await work()

    return asyncio.run(main())


def test_any_method_of_one_without_a_class_can_be_awaited() -> None:
    kafka = mock_service("kafka_service", send=7)

    assert answer(lambda: kafka.send("jobs", key="a")) == 7
    answer(kafka.whatever)
    assert kafka.journal == [Call("send", ("jobs",), {"key": "a"})]
    kafka.send.assert_awaited_once_with("jobs", key="a")
    assert kafka.name == "kafka_service"


def test_it_is_connected_until_it_is_told_otherwise() -> None:
    kafka: Any = mock_service("kafka_service")

    states = [kafka.is_connected]
    for method in (kafka.disconnect, kafka.connect):
        answer(method)
        states.append(kafka.is_connected)

    assert states == [True, False, True]
    assert mock_service("other", connected=False).is_connected is False
    assert [call.method for call in kafka.journal] == ["disconnect", "connect"]


def test_one_with_a_class_takes_what_the_class_takes() -> None:
    kafka = mock_service("kafka_service", Kafka, send=3, count=4)

    assert answer(lambda: kafka.send("jobs")) == 3
    assert kafka.count() == 4
    with pytest.raises(TypeError):
        kafka.send()
    with pytest.raises(AttributeError):
        kafka.sned("jobs")


def test_an_answer_that_is_an_error_is_raised() -> None:
    kafka = mock_service("kafka_service", send=ConnectionError("gone"), poll=TimeoutError)

    with pytest.raises(ConnectionError, match="gone"):
        answer(lambda: kafka.send("jobs"))
    with pytest.raises(TimeoutError):
        answer(kafka.poll)


def test_an_answer_for_a_method_that_the_class_has_not_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^expected answers for methods of k, got sned$"):
        mock_service("k", Kafka, sned=1)


def test_two_mocks_share_nothing() -> None:
    one, other = mock_service("k", Kafka), mock_service("k", Kafka)
    answer(lambda: one.send("jobs"))

    assert other.journal == []
    other.send.assert_not_called()
