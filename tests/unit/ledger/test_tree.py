"""The Merkle tree: published roots, and every proof against its definition."""

import hashlib
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.ledger import tree

# The test data of Certificate Transparency (RFC 6962): leaves and the roots over the first n.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
MOST = 70
HASHES = [hashlib.sha256(str(n).encode()).digest() for n in range(MOST)]


@cache
def subtree(level, index):
    first = index << level
    return tree.fold([tree.leaf_hash(one) for one in HASHES[first : first + (1 << level)]])


def by_definition(hashes):
    """MTH of RFC 6962, word by word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashlib.sha256(b"\0" + hashes[0]).digest()
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    left, right = by_definition(hashes[:k]), by_definition(hashes[k:])
    return hashlib.sha256(b"\1" + left + right).digest()


@cache
def root(size):
    return by_definition(tuple(HASHES[:size]))


def test_published_roots():
    for size, wanted in enumerate(ROOTS):
        growth = tree.Growth()
        for leaf in LEAVES[:size]:
            growth.add(leaf)
        assert growth.root().hex() == wanted
        assert by_definition(LEAVES[:size]).hex() == wanted


def test_a_growing_tree_tells_each_complete_subtree_once():
    seen = {}

    def note(level, index, digest):
        assert (level, index) not in seen
        seen[level, index] = digest

    growth = tree.Growth(note)
    for size in range(1, MOST + 1):
        growth.add(HASHES[size - 1])
        assert growth.size == size
        assert growth.root() == root(size) == tree.root(size, subtree)
    wanted = {(level, i) for level in range(7) for i in range(MOST >> level)}
    assert seen.keys() == wanted
    assert all(digest == subtree(*place) for place, digest in seen.items())


def test_a_tree_grows_by_whole_subtrees():
    growth = tree.Growth()
    for index in range(3):
        growth.add_subtree(4, subtree(4, index))
    assert growth.root() == root(48)


@given(st.data())
def test_what_lies_in_the_tree_can_be_proven_and_nothing_else(data):
    size = data.draw(st.integers(1, MOST))
    indices = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=8)))
    proof = tree.inclusion(indices, size, subtree)
    leaves = {index: HASHES[index] for index in indices}

    assert tree.included_root(leaves, size, proof) == root(size)

    changed = data.draw(st.sampled_from(indices))
    assert tree.included_root({**leaves, changed: b"x" * 32}, size, proof) != root(size)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = (*proof[:at], b"y" * 32, *proof[at + 1 :])
        assert tree.included_root(leaves, size, bent) != root(size)
        with pytest.raises(InputError, match="does not fit"):
            tree.included_root(leaves, size, proof[:-1])
    with pytest.raises(InputError, match="does not fit"):
        tree.included_root(leaves, size, (*proof, b"z" * 32))


def test_the_proof_of_one_leaf_is_no_longer_than_the_tree_is_high():
    for size in range(1, MOST + 1):
        high = (size - 1).bit_length()
        assert all(len(tree.inclusion([i], size, subtree)) <= high for i in range(size))


def test_every_tree_goes_on_from_every_earlier_one():
    for new in range(MOST + 1):
        for old in range(new + 1):
            proof = tree.consistency(old, new, subtree)
            assert tree.consistent(old, root(old), new, root(new), proof) == ""
            assert len(proof) <= 1 + new.bit_length()


@given(st.data())
def test_a_fork_is_found(data):
    new = data.draw(st.integers(1, MOST))
    old = data.draw(st.integers(1, new))
    proof = tree.consistency(old, new, subtree)
    other = b"o" * 32

    assert tree.consistent(old, other, new, root(new), proof)
    assert tree.consistent(old, root(old), new, other, proof)
    assert tree.consistent(old, root(old), new, root(new), (*proof, other))
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = (*proof[:at], other, *proof[at + 1 :])
        assert tree.consistent(old, root(old), new, root(new), bent)
        assert tree.consistent(old, root(old), new, root(new), proof[:-1])


def test_a_tree_that_shrank():
    assert "shrunk" in tree.consistent(5, root(5), 4, root(4), ())
    with pytest.raises(InputError, match="does not go on"):
        tree.consistency(5, 4, subtree)


@pytest.mark.parametrize("indices", [[], [3], [-1], [1, 1], [2, 1]])
def test_leaves_that_cannot_be_proven(indices):
    with pytest.raises(InputError):
        tree.inclusion(indices, 3, subtree)


def test_a_first_tree_of_nothing_has_the_empty_root():
    assert tree.consistent(0, root(0), 7, root(7), ()) == ""
    assert "no entries" in tree.consistent(0, root(1), 7, root(7), ())
