"""FT.SEARCH, as arguments and as bytes."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.query import Search
from app.search.command import Head, packed
from app.search.expression import search_plan


def bulks(message: bytes) -> list[bytes]:
    """The arguments of one command as the protocol (RESP) has it."""
    head, _, rest = message.partition(b"\r\n")
    found = []
    while rest:
        length, _, rest = rest.partition(b"\r\n")
        assert length[:1] == b"$"
        size = int(length[1:])
        found.append(rest[:size])
        assert rest[size : size + 2] == b"\r\n"
        rest = rest[size + 2 :]
    assert head == b"*%d" % len(found)
    return found


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30))
def test_packed_searches_are_the_same_commands(text: str) -> None:
    plan = search_plan(Search(text, {"sector": (text,), "status": ("active",)}))
    heads = tuple(Head(7, tier.expression, ("json", "rank"), "rank", 20, 250) for tier in plan.tiers)
    arguments = [[str(part).encode() for part in head.command(plan.parameters)] for head in heads]
    assert list(map(bulks, packed(heads, plan.parameters))) == arguments


def test_a_value_is_passed_once() -> None:
    plan = search_plan(Search("AAPL", {"status": ("active",)}))
    values = plan.parameters[1::2]
    assert len(set(values)) == len(values)
    assert values.count("AAPL") == 1
