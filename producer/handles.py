"""Handles of submitted requests: what has become of one, its result, and the way to cancel it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from producer.outcomes import Answer, RequestStatus

if TYPE_CHECKING:
    from producer.expectations import Expectation

__all__ = ["AsyncRequestHandle", "RequestHandle"]

T_co = TypeVar("T_co", covariant=True)


class _ById(Protocol):
    """What a handle needs of its client."""

    def status(self, request_id: str, *, timeout_s: float | None = None) -> RequestStatus: ...

    def wait(self, request_id: str, *, timeout_s: float | None = None) -> Answer: ...

    def cancel(self, request_id: str, *, timeout_s: float | None = None) -> None: ...


class _AsyncById(Protocol):
    """What a handle needs of its asyncio client."""

    async def status(self, request_id: str, *, timeout_s: float | None = None) -> RequestStatus: ...

    async def wait(self, request_id: str, *, timeout_s: float | None = None) -> Answer: ...

    async def cancel(self, request_id: str, *, timeout_s: float | None = None) -> None: ...


class RequestHandle(Generic[T_co]):
    """A request that was submitted with a :class:`~producer.client.Client`. It holds no connection.

    Attributes:
        id: of the request, with which another process can make a handle too: ``client.handle(id)``.
    """

    def __init__(self, client: _ById, request_id: str, expectation: Expectation | None = None) -> None:
        self.id = request_id
        self._client = client
        # As long as it is referred to, the client keeps the result that is pushed to it.
        self._expectation = expectation

    def status(self, *, timeout_s: float | None = None) -> RequestStatus:
        """How far the request has come, as the result backend knows it.

        Raises:
            ResultBackendUnavailable: the result backend did not reply in time.
        """
        return self._client.status(self.id, timeout_s=timeout_s)

    def result(self, timeout_s: float | None = None) -> T_co:
        """Wait for the result. It may be asked for again.

        Args:
            timeout_s: how long to wait, in seconds; None for the client's default.

        Raises:
            CeleriacError: as from :meth:`producer.client.Client.wait`.
        """
        result: T_co = self.answer(timeout_s).result
        return result

    def answer(self, timeout_s: float | None = None) -> Answer:
        """Wait for the result and the model that gave it, as :meth:`result` does."""
        return self._client.wait(self.id, timeout_s=timeout_s)

    def cancel(self, *, timeout_s: float | None = None) -> None:
        """Have the request dropped, unless a worker has started it; see :meth:`producer.client.Client.cancel`."""
        self._client.cancel(self.id, timeout_s=timeout_s)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"


class AsyncRequestHandle(Generic[T_co]):
    """A request that was submitted with an :class:`~producer.async_client.AsyncClient`. ``await`` gives its result.

    Attributes:
        id: of the request, with which another process can make a handle too: ``client.handle(id)``.
    """

    def __init__(self, client: _AsyncById, request_id: str, expectation: Expectation | None = None) -> None:
        self.id = request_id
        self._client = client
        # As long as it is referred to, the client keeps the result that is pushed to it.
        self._expectation = expectation

    async def status(self, *, timeout_s: float | None = None) -> RequestStatus:
        """How far the request has come, as the result backend knows it.

        Raises:
            ResultBackendUnavailable: the result backend did not reply in time.
        """
        return await self._client.status(self.id, timeout_s=timeout_s)

    async def result(self, timeout_s: float | None = None) -> T_co:
        """Wait for the result. It may be asked for again, and by several tasks at once.

        Args:
            timeout_s: how long to wait, in seconds; None for the client's default.

        Raises:
            CeleriacError: as from :meth:`producer.async_client.AsyncClient.wait`.
        """
        result: T_co = (await self.answer(timeout_s)).result
        return result

    async def answer(self, timeout_s: float | None = None) -> Answer:
        """Wait for the result and the model that gave it, as :meth:`result` does."""
        return await self._client.wait(self.id, timeout_s=timeout_s)

    async def cancel(self, *, timeout_s: float | None = None) -> None:
        """Have the request dropped, unless a worker has started it; see :meth:`producer.client.Client.cancel`."""
        await self._client.cancel(self.id, timeout_s=timeout_s)

    def __await__(self) -> Generator[Any, None, T_co]:
        return self.result().__await__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"
