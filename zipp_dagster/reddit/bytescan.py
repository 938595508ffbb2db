"""Compiled steps over bytes: find the end of a JSON string, check UTF-8, resolve escapes, copy.

What lives here: loops over single strings, 32 bytes at a time. What a line means is in `scanner`.
All of it runs without the interpreter lock. Compiled code is cached beside this file, or where
NUMBA_CACHE_DIR says.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

STEP = 32
QUOTE, BACKSLASH, SLASH, NEWLINE = ord('"'), ord("\\"), ord("/"), ord("\n")
SPACE, ZERO, NINE, LETTER_U = ord(" "), ord("0"), ord("9"), ord("u")

PLAIN, ESCAPED, DOUBT = 1, 2, -1
"""How a string is written: as it is, with escapes; or not to be judged here."""

_ESCAPES = np.zeros(256, dtype=np.uint8)
for _letter, _meaning in zip('"\\/bfnrt', '"\\/\b\f\n\r\t'):
    _ESCAPES[ord(_letter)] = ord(_meaning)


def _pointer(context, builder, array_type, array, index):  # type: ignore[no-untyped-def]
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


@intrinsic
def borrowed(typing_context, array):  # type: ignore[no-untyped-def]
    """The same array without an owner: passing it on costs no reference count (60 % of a scan).

    For arguments, which the caller keeps alive. An array made in the same function is freed after
    the last use of its own name, and its memory given to another thread.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), generate


@intrinsic
def _stops(typing_context, data, at):  # type: ignore[no-untyped-def]
    # 32 bytes in one comparison; LLVM finds no such loop by itself, because it may end early.
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector, bits = ir.VectorType(ir.IntType(8), STEP), ir.IntType(STEP)
        place = _pointer(context, builder, signature.args[0], *arguments)
        loaded = builder.load(builder.bitcast(place, vector.as_pointer()), align=1)

        def splat(value):  # type: ignore[no-untyped-def]
            return ir.Constant(vector, [value] * STEP)

        stop = builder.or_(
            builder.icmp_unsigned("==", loaded, splat(QUOTE)),
            builder.icmp_unsigned("==", loaded, splat(BACKSLASH)),
        )
        stop = builder.or_(stop, builder.icmp_unsigned("<", loaded, splat(SPACE)))
        high = builder.icmp_unsigned(">=", loaded, splat(128))
        wide = ir.IntType(64)
        low_half = builder.zext(builder.bitcast(stop, bits), wide)
        high_half = builder.zext(builder.bitcast(high, bits), wide)
        return builder.or_(low_half, builder.shl(high_half, ir.Constant(wide, STEP)))

    return types.uint64(data, types.intp), generate


@intrinsic
def _first_bit(typing_context, mask):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def _copy(typing_context, target, to, source, start, count):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        written = _pointer(context, builder, signature.args[0], *arguments[:2])
        read = _pointer(context, builder, signature.args[2], *arguments[2:4])
        cgutils.raw_memcpy(builder, written, read, arguments[4], 1)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), generate


@njit(cache=True, nogil=True)
def next_stop(data, at):  # type: ignore[no-untyped-def]
    """Position of the next quote, backslash or control byte, and whether non-ASCII lies before.

    `data` must end with a control byte (a newline), else the search would leave the array.
    """
    high = False
    size = len(data)
    while at + STEP <= size:
        mask = _stops(data, at)
        stop, above = mask & np.uint64(0xFFFFFFFF), mask >> np.uint64(STEP)
        if stop != 0:
            place = _first_bit(stop)
            if above & ((np.uint64(1) << place) - np.uint64(1)) != 0:
                high = True
            return at + np.int64(place), high
        if above != 0:
            high = True
        at += STEP
    while data[at] >= SPACE and data[at] != QUOTE and data[at] != BACKSLASH:
        high |= data[at] >= 128
        at += 1
    return at, high


@njit(cache=True, nogil=True)
def line_end(data, at):  # type: ignore[no-untyped-def]
    """Position of the next newline."""
    while data[at] != NEWLINE:
        at, _ = next_stop(data, at + 1)
    return at


@njit(cache=True, nogil=True)
def hex4(data, at):  # type: ignore[no-untyped-def]
    """The value of four hexadecimal digits; -1 where one of them is something else."""
    value = 0
    for place in range(at, at + 4):
        byte = data[place]
        if ZERO <= byte <= NINE:
            value = value * 16 + byte - ZERO
        elif 97 <= byte | 32 <= 102:
            value = value * 16 + (byte | 32) - 87
        else:
            return -1
    return value


@njit(cache=True, nogil=True)
def string_end(data, at):  # type: ignore[no-untyped-def]
    """End of the JSON string that begins after a quote: (position after it, form, non-ASCII).

    The form is PLAIN, ESCAPED, or DOUBT for control bytes, bad escapes and lone surrogates.
    """
    form, high = PLAIN, False
    while True:
        at, above = next_stop(data, at)
        high |= above
        if data[at] == QUOTE:
            return at + 1, form, high
        if data[at] != BACKSLASH:
            return at, DOUBT, high
        form = ESCAPED
        if data[at + 1] == LETTER_U:
            code = hex4(data, at + 2)
            if code < 0:
                return at, DOUBT, high
            at += 6
            if 0xD800 <= code < 0xE000:
                if code >= 0xDC00 or data[at] != BACKSLASH or data[at + 1] != LETTER_U:
                    return at, DOUBT, high
                low = hex4(data, at + 2)
                if low < 0xDC00 or low >= 0xE000:
                    return at, DOUBT, high
                at += 6
        elif _ESCAPES[data[at + 1]] != 0:
            at += 2
        else:
            return at, DOUBT, high


@njit(cache=True, nogil=True)
def is_utf8(data, at, end):  # type: ignore[no-untyped-def]
    """True where the bytes are UTF-8 (Unicode 15, table 3-7), as Python's decoder has it."""
    while at < end:
        byte = data[at]
        if byte < 0x80:
            at += 1
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= byte <= 0xDF:
            more = 1
        elif 0xE0 <= byte <= 0xEF:
            more = 2
            if byte == 0xE0:
                low = 0xA0
            elif byte == 0xED:
                high = 0x9F
        elif 0xF0 <= byte <= 0xF4:
            more = 3
            if byte == 0xF0:
                low = 0x90
            elif byte == 0xF4:
                high = 0x8F
        else:
            return False
        if at + more >= end or not low <= data[at + 1] <= high:
            return False
        for place in range(at + 2, at + more + 1):
            if data[place] & 0xC0 != 0x80:
                return False
        at += more + 1
    return True


@njit(cache=True, nogil=True)
def _put_code(target, to, code):  # type: ignore[no-untyped-def]
    if code < 0x80:
        target[to] = code
        return to + 1
    if code < 0x800:
        target[to] = 0xC0 | code >> 6
        target[to + 1] = 0x80 | code & 63
        return to + 2
    if code < 0x10000:
        target[to] = 0xE0 | code >> 12
        target[to + 1] = 0x80 | code >> 6 & 63
        target[to + 2] = 0x80 | code & 63
        return to + 3
    target[to] = 0xF0 | code >> 18
    target[to + 1] = 0x80 | code >> 12 & 63
    target[to + 2] = 0x80 | code >> 6 & 63
    target[to + 3] = 0x80 | code & 63
    return to + 4


@njit(cache=True, nogil=True)
def put_text(target, to, source, at, count, form):  # type: ignore[no-untyped-def]
    """Copies a string that `string_end` accepted, escapes resolved; returns the new end.

    An escaped string must be followed by its quote in `source`, as it is in a line.
    """
    if form == PLAIN:
        _copy(target, to, source, at, count)
        return to + count
    end = at + count
    while at < end:
        stop, _ = next_stop(source, at)
        _copy(target, to, source, at, stop - at)
        to += stop - at
        at = stop
        if at >= end:
            break
        if source[at + 1] != LETTER_U:
            target[to] = _ESCAPES[source[at + 1]]
            to += 1
            at += 2
            continue
        code = hex4(source, at + 2)
        at += 6
        if 0xD800 <= code < 0xDC00:
            code = 0x10000 + ((code - 0xD800) << 10) + hex4(source, at + 2) - 0xDC00
            at += 6
        to = _put_code(target, to, code)
    return to
