# pragma version 0.4.3
# SPDX-License-Identifier: Apache-2.0
"""
The growing line of each channel's checkpoints. A checkpoint joins the line once `threshold` of the `anchors` have
signed it; anybody may bring signatures. Nothing is ever changed or taken out.
"""

struct Place:
    size: uint64
    root: bytes32

struct Entry:
    root: bytes32
    statement: bytes32  # what the anchors have signed
    previous: uint64  # the size before it in the line; 0 for the first
    block: uint64  # in which it joined the line

struct Proposal:
    channel: bytes32
    size: uint64
    root: bytes32
    block: uint64  # of its first signature

event Proposed:
    channel: indexed(bytes32)
    statement: indexed(bytes32)
    size: uint64
    root: bytes32
    note: Bytes[8192]

event Signed:
    statement: indexed(bytes32)
    anchor: indexed(address)
    signature: Bytes[65]

event Anchored:
    channel: indexed(bytes32)
    statement: indexed(bytes32)
    size: uint64
    root: bytes32
    note: Bytes[8192]

anchors: DynArray[address, 32]
threshold: public(uint256)
is_anchor: HashMap[address, bool]
heads: public(HashMap[bytes32, Place])
line: public(HashMap[bytes32, HashMap[uint64, Entry]])
proposals: public(HashMap[bytes32, Proposal])  # by statement
waiting: public(HashMap[bytes32, bytes32])  # the statement that was proposed last in a channel
signed: HashMap[bytes32, HashMap[address, bool]]
signatures: public(HashMap[bytes32, uint256])

@deploy
def __init__(_anchors: DynArray[address, 32], _threshold: uint256):
    assert 0 < _threshold and _threshold <= len(_anchors), "threshold"
    for anchor: address in _anchors:
        assert anchor != empty(address) and not self.is_anchor[anchor], "anchors"
        self.is_anchor[anchor] = True
    self.anchors = _anchors
    self.threshold = _threshold

@view
@external
def all_anchors() -> DynArray[address, 32]:
    return self.anchors

@view
@internal
def _statement(channel: bytes32, size: uint64, root: bytes32, note: bytes32) -> bytes32:
    # SHA-256, so that a verifier needs nothing that is special to this chain.
    return sha256(
        concat(
            b"hawsepipe/evm-anchor/v1\x00",
            convert(chain.id, bytes32),
            convert(self, bytes32),
            channel,
            convert(size, bytes32),
            root,
            note,
        )
    )

@view
@external
def statement(channel: bytes32, size: uint64, root: bytes32, note: Bytes[8192]) -> bytes32:
    return self._statement(channel, size, root, sha256(note))

@external
def publish(
    channel: bytes32,
    size: uint64,
    root: bytes32,
    expected_size: uint64,
    expected_root: bytes32,
    note: Bytes[8192],
    given: DynArray[Bytes[65], 32],
):
    held: bytes32 = self.line[channel][size].root
    if held != empty(bytes32):
        assert held == root, "fork"
        return
    assert root != empty(bytes32) and size > 0, "checkpoint"
    head: Place = self.heads[channel]
    assert head.size == expected_size and head.root == expected_root, "stale"
    assert size > head.size, "smaller"
    assert len(given) > 0, "unsigned"
    statement: bytes32 = self._statement(channel, size, root, sha256(note))
    if self.proposals[statement].block == 0:
        self.proposals[statement] = Proposal(
            channel=channel, size=size, root=root, block=convert(block.number, uint64)
        )
        self.waiting[channel] = statement
        log Proposed(channel=channel, statement=statement, size=size, root=root, note=note)
    for signature: Bytes[65] in given:
        assert len(signature) == 65, "signature"
        anchor: address = ecrecover(
            statement,
            convert(slice(signature, 64, 1), uint8),
            convert(slice(signature, 0, 32), bytes32),
            convert(slice(signature, 32, 32), bytes32),
        )
        assert self.is_anchor[anchor], "anchor"
        if not self.signed[statement][anchor]:
            self.signed[statement][anchor] = True
            self.signatures[statement] += 1
            log Signed(statement=statement, anchor=anchor, signature=signature)
    if self.signatures[statement] >= self.threshold:
        self.line[channel][size] = Entry(
            root=root, statement=statement, previous=head.size, block=convert(block.number, uint64)
        )
        self.heads[channel] = Place(size=size, root=root)
        log Anchored(channel=channel, statement=statement, size=size, root=root, note=note)
