"""Who an admin is and what he may, with a real verifier and an API server that a test bends."""

from __future__ import annotations

import asyncio

import pytest

from node.admin.rights import Right
from node.errors import Rejected, Retry
from node.tokens.gate import NEW_BURST, Gate
from node.tokens.kube import Access, Away, Reviewed
from node.tokens.lane import Lane
from node.tokens.person import Person
from node.tokens.verify import Verifier, issuer_of

AUDIENCE = "raftsafe-admin"
SA = Person("system:serviceaccount:shop:web", "u1", ("system:authenticated",))
ALICE = Person("alice", "", ("devs",))
GET = Right("get", "safesecrets", "", "pay", "db")


class Api:
    """`tokens`: (token, audience) -> who. `rights`: what is allowed."""

    def __init__(self) -> None:
        self.tokens: dict[tuple[str, str | None], Reviewed] = {}
        self.rights: set[tuple[str, Access]] = set()
        self.away = False
        self.reviewed: list[tuple[str, str | None]] = []
        self.accessed: list[Access] = []

    async def review(self, token, audience):
        self.reviewed.append((token, audience))
        if self.away:
            raise Away("gone")
        return self.tokens.get((token, audience))

    async def access(self, person, asked):
        self.accessed.append(asked)
        if self.away:
            raise Away("gone")
        return (person.name, asked) in self.rights


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def gate(api, keys, issuer, clock):
    lane = Lane("tests", clock, rate=1e6, at_once=8, queue=64)
    verifier = Verifier(keys, issuer.url, AUDIENCE, clock)
    return Gate(api, lane, verifier, clock, issuer=issuer.url, audience=AUDIENCE, group="raftsafe.io")


def access(verb="get", subresource="", namespace="pay", name=""):
    return Access("raftsafe.io", "safesecrets", subresource, verb, namespace, name)


async def refused(gate, token):
    with pytest.raises(Rejected) as caught:
        await gate.who(token)
    assert token not in caught.value.message + caught.value.hint
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    return caught.value.code


async def test_a_service_account_with_a_token_for_this_door(gate, api, issuer, rsa_signer):
    token = rsa_signer.sign(issuer.claims(aud=[AUDIENCE]))
    api.tokens[token, AUDIENCE] = Reviewed(SA, (AUDIENCE,))
    assert await gate.who(token) == SA
    assert await gate.who(token) == SA and api.reviewed == [(token, AUDIENCE)]


async def test_a_workloads_token_is_refused_offline(gate, api, issuer, rsa_signer):
    assert await refused(gate, rsa_signer.sign(issuer.claims())) == "token_audience"
    forged = rsa_signer.sign(issuer.claims(aud=[AUDIENCE]))[:-8] + "AAAAAAAA"
    assert await refused(gate, forged) == "token_signature"
    assert api.reviewed == []


async def test_a_service_account_whose_token_was_revoked(gate, issuer, rsa_signer):
    assert await refused(gate, rsa_signer.sign(issuer.claims(aud=[AUDIENCE]))) == "token_rejected"


async def test_an_authenticator_that_knows_no_audiences_does_not_count_for_ours(gate, api, issuer, rsa_signer):
    token = rsa_signer.sign(issuer.claims(aud=[AUDIENCE]))
    api.tokens[token, AUDIENCE] = Reviewed(SA, ())
    assert await refused(gate, token) == "token_rejected"


async def test_a_person_of_an_identity_provider(gate, api, other_rsa, issuer):
    token = other_rsa.sign({"iss": "https://login.example", "sub": "alice"})
    api.tokens[token, None] = Reviewed(ALICE, ("https://kubernetes.default.svc",))
    assert await gate.who(token) == ALICE
    assert issuer.fetches == 0  # it costs the issuer of service accounts nothing


@pytest.mark.parametrize("name", ["system:serviceaccount:shop:web", "system:node:n1", "system:anonymous", "system:x"])
async def test_the_token_every_pod_carries_for_the_api_server_opens_nothing(gate, api, name):
    api.tokens["opaque", None] = Reviewed(Person(name), ())
    assert await refused(gate, "opaque") == "token_audience"


@pytest.mark.parametrize("token", ["", "x" * 20_000, "a\nb", "ä"])
async def test_what_cannot_be_a_token_is_not_asked_about(gate, api, token):
    with pytest.raises(Rejected) as caught:
        await gate.who(token)
    assert caught.value.code == "token_malformed" and api.reviewed == []


async def test_strangers_cannot_use_up_the_questions(gate, api, clock):
    api.tokens["alice", None] = Reviewed(ALICE, ())
    assert await gate.who("alice") == ALICE
    for number in range(NEW_BURST - 1):
        assert await refused(gate, f"guess{number}") == "token_rejected"
    with pytest.raises(Retry) as caught:
        await gate.who("one more")
    assert caught.value.code == "too_many_requests"
    assert await gate.who("alice") == ALICE  # she is known
    clock.monotonic += 1.0
    assert await refused(gate, "later") == "token_rejected"
    assert len(api.reviewed) == NEW_BURST + 1


async def test_one_person_cannot_use_up_the_questions_of_the_others(gate, api):
    """Who has no right to anything may ask about a thousand namespaces at once."""
    api.rights.add((ALICE.name, access()))
    answer, asked = asyncio.Event(), api.access

    async def slow(person, right):
        if person == SA:
            await answer.wait()
        return await asked(person, right)

    api.access = slow
    flood = [asyncio.create_task(gate.may(SA, Right("get", "safesecrets", "", f"n{i}", "x"))) for i in range(200)]
    await asyncio.sleep(0.05)
    waiting = sum(not task.done() for task in flood)
    assert 0 < waiting < 8
    assert await gate.may(ALICE, GET)
    answer.set()
    said = await asyncio.gather(*flood, return_exceptions=True)
    assert said.count(False) >= waiting and sum(isinstance(one, Retry) for one in said) == 200 - said.count(False)
    assert await gate.may(SA, Right("get", "safesecrets", "", "later", "x")) is False


async def test_nobody_is_let_in_who_was_not_reviewed(gate, api):
    api.away = True
    with pytest.raises(Retry) as caught:
        await gate.who("token")
    assert caught.value.code == "unavailable" and "token" not in caught.value.message.split(": ")[1]


async def test_a_right_is_asked_for_the_namespace_then_for_the_name(gate, api):
    assert not await gate.may(ALICE, GET)
    assert api.accessed == [access(), access(name="db")]
    api.rights.add(("alice", access(name="db")))
    assert not await gate.may(SA, GET)


async def test_a_role_limited_to_names_is_found(gate, api):
    api.rights.add(("alice", access(name="db")))
    assert await gate.may(ALICE, GET)
    assert not await gate.may(ALICE, Right("get", "safesecrets", "", "pay", "other"))
    assert not await gate.may(ALICE, Right("get", "safesecrets", "value", "pay", "db"))
    assert not await gate.may(ALICE, Right("get", "safesecrets", "", "shop", "db"))


async def test_one_answer_is_good_for_every_secret_of_the_namespace(gate, api):
    api.rights.add(("alice", access()))
    for number in range(100):
        assert await gate.may(ALICE, Right("get", "safesecrets", "", "pay", f"n{number}"))
    assert len(api.accessed) == 1


async def test_a_right_that_was_taken_away_is_gone_in_seconds(gate, api, clock):
    api.rights.add(("alice", access()))
    assert await gate.may(ALICE, GET)
    api.rights.clear()
    clock.monotonic += 10.1
    assert not await gate.may(ALICE, GET)


async def test_rights_that_are_known_survive_a_short_outage_only(gate, api, clock):
    api.rights.add(("alice", access()))
    assert await gate.may(ALICE, GET)
    api.away = True
    clock.monotonic += 200
    assert await gate.may(ALICE, GET)
    with pytest.raises(Retry):
        await gate.may(SA, GET)
    clock.monotonic += 101
    with pytest.raises(Retry):
        await gate.may(ALICE, GET)


async def test_other_groups_are_another_person(gate, api):
    api.rights.add(("alice", access()))
    assert await gate.may(ALICE, GET)
    assert await gate.may(Person("alice", "", ()), GET)
    assert len(api.accessed) == 2


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "a.e30.c", "a.W10.c", "a.!!!.c", "x." + "A" * 20_000 + ".y"])
def test_who_says_nothing_of_his_issuer(token):
    assert issuer_of(token) is None
