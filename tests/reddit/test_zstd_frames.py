from __future__ import annotations

import io

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from zipp_dagster.reddit.zstd_frames import FollowedFile

SKIPPABLE = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"

frames = st.builds(
    lambda data, times, checksum, size, level: zstandard.ZstdCompressor(
        level=level, write_checksum=checksum, write_content_size=size
    ).compress(data * times),
    st.binary(max_size=300),
    st.sampled_from([1, 1, 7, 2000]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([-5, 1, 9]),
)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(frames | st.just(SKIPPABLE), min_size=1, max_size=4), data=st.data())
def test_a_file_is_complete_exactly_where_a_frame_ends(parts, data):
    whole = b"".join(parts)
    ends = {sum(map(len, parts[:n])) for n in range(len(parts) + 1)}
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=20)) + sorted(ends)
    step = data.draw(st.integers(1, 64))
    for cut in cuts:
        followed = FollowedFile(io.BytesIO(whole[:cut]))
        while followed.read(step):
            pass
        assert (followed.complete, followed.done) == (cut in ends, cut)
