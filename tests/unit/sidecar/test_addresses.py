"""Names: asked anew, remembered when nobody answers, forgotten when they are gone."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sidecar.addresses import PATIENCE, Addresses
from sidecar.dialer import Route
from sidecar.settings import Node

ONE, TWO = Node("safe-0.safe", 8400), Node("safe-1.safe", 8400)


class Resolver:
    """In place of the loop's getaddrinfo: what a name resolves to, an error, or None to hang."""

    def __init__(self, loop, **answers):
        self.answers, self.asked = answers, []
        loop.getaddrinfo = self.ask

    async def ask(self, host, port, *, type):
        name = host.decode().partition(".")[0].replace("-", "_")
        self.asked.append(name)
        answer = self.answers[name]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, type, 6, "", (address, port)) for address in answer]


@pytest.fixture
async def resolver():
    return Resolver(asyncio.get_running_loop(), safe_0=["10.0.0.2", "10.0.0.1", "10.0.0.1"], safe_1=["10.0.0.3"])


async def test_all_addresses_of_all_names(resolver):
    found = await Addresses().find((ONE, TWO))
    assert found == [Route(ONE, "10.0.0.1"), Route(ONE, "10.0.0.2"), Route(TWO, "10.0.0.3")]


async def test_numeric_addresses_need_no_resolver(resolver):
    nodes = (Node("127.0.0.1", 1), Node("::1", 2))
    assert await Addresses().find(nodes) == [Route(nodes[0], "127.0.0.1"), Route(nodes[1], "::1")]
    assert resolver.asked == []


async def test_asked_anew_each_time(resolver):
    book = Addresses()
    await book.find((ONE,))
    resolver.answers["safe_0"] = ["10.0.0.9"]
    assert await book.find((ONE,)) == [Route(ONE, "10.0.0.9")]


async def test_a_resolver_that_hangs_costs_its_patience_and_what_was_known_is_used(resolver):
    book, loop = Addresses(), asyncio.get_running_loop()
    before = await book.find((ONE, TWO))
    resolver.answers.update(safe_0=None, safe_1=None)
    began = loop.time()
    assert await book.find((ONE, TWO)) == before
    assert loop.time() - began >= PATIENCE * 0.9
    asked = len(resolver.asked)
    began = loop.time()
    assert await book.find((ONE, TWO)) == before
    assert loop.time() - began < PATIENCE / 2, "asked for already, and the patience is over"
    assert len(resolver.asked) == asked, "one question at a time"


async def test_a_refresh_before_takes_the_waiting_away(resolver):
    book, loop = Addresses(), asyncio.get_running_loop()
    await book.find((ONE,))
    resolver.answers["safe_0"] = None
    book.refresh((ONE,))
    await asyncio.sleep(PATIENCE)
    began = loop.time()
    assert len(await book.find((ONE,))) == 2
    assert loop.time() - began < PATIENCE / 2


async def test_the_first_answer_is_waited_for(resolver):
    resolver.answers["safe_0"] = None
    finding = asyncio.ensure_future(Addresses().find((ONE, TWO)))
    assert await finding == [Route(TWO, "10.0.0.3")]


async def test_a_name_that_is_gone_is_forgotten_and_one_without_an_answer_is_not(resolver):
    book = Addresses()
    await book.find((ONE, TWO))
    resolver.answers["safe_0"] = socket.gaierror(socket.EAI_NONAME, "gone")
    resolver.answers["safe_1"] = socket.gaierror(socket.EAI_AGAIN, "away")
    assert await book.find((ONE, TWO)) == [Route(TWO, "10.0.0.3")]


async def test_nothing_known_and_nothing_found(resolver):
    resolver.answers["safe_0"] = socket.gaierror(socket.EAI_AGAIN, "away")
    with pytest.raises(socket.gaierror):
        await Addresses().find((ONE,))
    resolver.answers["safe_1"] = UnicodeError("label too long")
    with pytest.raises(ValueError):
        await Addresses().find((TWO,))
