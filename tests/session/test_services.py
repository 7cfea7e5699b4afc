"""What runs beside COMMAND ends the session when it fails, and never cuts its undo short."""

import asyncio

import pytest

from interceptor.errors import InterceptorError
from interceptor.session.services import Services, with_services


async def _fail() -> None:
    raise InterceptorError("lost the lock")


async def _wait() -> None:
    await asyncio.Event().wait()


async def test_failed_service_ends_the_session() -> None:
    async with asyncio.TaskGroup() as group:
        services = Services(group)
        services.raise_if_over()
        services.start("renew the lease", _fail())
        services.start("watch the pods", _wait())
        assert str(await services.until_over()) == "lost the lock"
        services.end(InterceptorError("deleted by somebody"))
        with pytest.raises(InterceptorError, match="lost the lock"):
            services.raise_if_over()
        with pytest.raises(InterceptorError, match="lost the lock"):
            await services.raise_when_over()
        services.stop()


async def test_waiting_for_the_end_may_be_cancelled() -> None:
    async with asyncio.TaskGroup() as group:
        services = Services(group)
        waiting = group.create_task(services.raise_when_over(), name="end of the session")
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        services.end(InterceptorError("lost the lock"))
        assert str(await services.until_over()) == "lost the lock"


async def test_services_see_the_undo() -> None:
    seen: list[str] = []

    async def serve() -> None:
        try:
            await _wait()
        finally:
            seen.append("service ended")

    async def act(services: Services) -> int:
        services.start("serve", serve())
        await asyncio.sleep(0)
        raise InterceptorError("no right")

    async def take_back() -> None:
        seen.append("taken back")

    with pytest.raises(ExceptionGroup) as failed:
        await with_services(act, take_back)
    assert failed.group_contains(InterceptorError, match="no right")
    assert seen == ["taken back", "service ended"]
