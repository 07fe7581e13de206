from __future__ import annotations

import json
import logging

import pytest

from node.audit import STRANGERS
from node.delivery.audit import Audit


class Clock:
    seconds = 100.0

    def now(self):
        return self.seconds

    def wall_ms(self):
        return 1_700_000_000_000


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def audit(clock):
    return Audit("safe-0", clock)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="audit")
    return lambda: [json.loads(record.message) for record in caplog.records]


def test_shape_of_the_two_lines(audit, lines):
    audit.refused("10.0.0.1", "", "", "", "token_expired", "the token has expired")
    audit.withheld("10.0.0.1", "shop", "web", "web-1", "not_granted", "shop/db")
    common = {"at_ms": 1_700_000_000_000, "node": "safe-0", "peer": "10.0.0.1"}
    nobody = {"namespace": "", "serviceaccount": "", "pod": ""}
    somebody = {"namespace": "shop", "serviceaccount": "web", "pod": "web-1"}
    assert lines() == [
        {"event": "delivery.refused", **common, **nobody, "code": "token_expired", "reason": "the token has expired"},
        {"event": "delivery.withheld", **common, **somebody, "code": "not_granted", "secret": "shop/db"},
    ]


def test_strangers_get_so_many_lines_a_second_and_the_rest_is_counted(audit, clock, lines):
    for _ in range(STRANGERS + 40):
        audit.refused("10.0.0.1", "", "", "", "token_malformed", "no")
    assert len(lines()) == STRANGERS
    audit.refused("10.0.0.2", "shop", "web", "web-1", "token_expired", "known ones are always written")
    assert lines()[-1]["lines_left_out"] == 40
    clock.seconds += 1
    audit.refused("10.0.0.1", "", "", "", "token_malformed", "no")
    assert len(lines()) == STRANGERS + 2 and "lines_left_out" not in lines()[-1]


def test_a_line_cannot_be_forged_by_what_is_in_it(audit, lines, caplog):
    audit.refused("10.0.0.1", "", "", 'x"}\n{"event":"fake', "invalid", "no")
    (record,) = caplog.records
    assert "\n" not in record.message and lines()[0]["pod"] == 'x"}\n{"event":"fake'


def test_every_refusal_is_counted_also_those_without_a_line(audit, lines):
    for _ in range(STRANGERS + 40):
        audit.refused("10.0.0.1", "", "", "", "token_malformed", "no")
    audit.withheld("10.0.0.1", "shop", "web", "web-1", "not_granted", "shop/db")
    assert len(lines()) == STRANGERS + 1
    assert audit.refusals == {"delivery.refused token_malformed": STRANGERS + 40, "delivery.withheld not_granted": 1}
