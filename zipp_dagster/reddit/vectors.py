"""Instructions over 32 bytes at once, and the few others that numba does not offer.

LLVM makes no vector operations of a search by itself, because its loop may end early: here they are
asked for, one function each. They look at `data[at : at + STEP]`; that so much is there, the caller
must know. None of them checks a bound.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

STEP = 32
QUOTE, BACKSLASH, SLASH, NEWLINE, SPACE = ord('"'), ord("\\"), ord("/"), ord("\n"), ord(" ")


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


def _loaded(context, builder, array_type, array, at):  # type: ignore[no-untyped-def]
    vector = ir.VectorType(ir.IntType(8), STEP)
    place = _pointer(context, builder, array_type, array, at)
    return builder.load(builder.bitcast(place, vector.as_pointer()), align=1)


def _splat(value):  # type: ignore[no-untyped-def]
    return ir.Constant(ir.VectorType(ir.IntType(8), STEP), [value] * STEP)


def _mask(builder, found):  # type: ignore[no-untyped-def]
    return builder.zext(builder.bitcast(found, ir.IntType(STEP)), ir.IntType(64))


@intrinsic
def stops(typing_context, data, at):  # type: ignore[no-untyped-def]
    """A bit for each quote, backslash and control byte; above them one for each byte over 127."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        loaded = _loaded(context, builder, signature.args[0], *arguments)
        stop = builder.or_(
            builder.icmp_unsigned("==", loaded, _splat(QUOTE)),
            builder.icmp_unsigned("==", loaded, _splat(BACKSLASH)),
        )
        stop = builder.or_(stop, builder.icmp_unsigned("<", loaded, _splat(SPACE)))
        high = _mask(builder, builder.icmp_unsigned(">=", loaded, _splat(128)))
        high = builder.shl(high, ir.Constant(ir.IntType(64), STEP))
        return builder.or_(_mask(builder, stop), high)

    return types.uint64(data, types.intp), generate


@intrinsic
def slashes(typing_context, data, at):  # type: ignore[no-untyped-def]
    """A bit for each slash."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        loaded = _loaded(context, builder, signature.args[0], *arguments)
        return _mask(builder, builder.icmp_unsigned("==", loaded, _splat(SLASH)))

    return types.uint64(data, types.intp), generate


@intrinsic
def newlines(typing_context, data, at):  # type: ignore[no-untyped-def]
    """How many of the bytes are newlines."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        loaded = _loaded(context, builder, signature.args[0], *arguments)
        return builder.ctpop(_mask(builder, builder.icmp_unsigned("==", loaded, _splat(NEWLINE))))

    return types.int64(data, types.intp), generate


@intrinsic
def differing(typing_context, data, one, other):  # type: ignore[no-untyped-def]
    """A bit for each byte that is not the same at two places."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        array, places = arguments[0], arguments[1:]
        loaded = [_loaded(context, builder, signature.args[0], array, at) for at in places]
        return _mask(builder, builder.icmp_unsigned("!=", *loaded))

    return types.uint64(data, types.intp, types.intp), generate


@intrinsic
def first_bit(typing_context, mask):  # type: ignore[no-untyped-def]
    """The number of the lowest bit that is set."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def copy(typing_context, target, to, source, start, count):  # type: ignore[no-untyped-def]
    """Copies so many bytes."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        written = _pointer(context, builder, signature.args[0], *arguments[:2])
        read = _pointer(context, builder, signature.args[2], *arguments[2:4])
        cgutils.raw_memcpy(builder, written, read, arguments[4], 1)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), generate


@intrinsic
def copy_step(typing_context, target, to, source, start):  # type: ignore[no-untyped-def]
    """Copies 32 bytes."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        loaded = _loaded(context, builder, signature.args[2], *arguments[2:])
        place = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(loaded, builder.bitcast(place, loaded.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), generate


@intrinsic
def eight_bytes(typing_context, data, at):  # type: ignore[no-untyped-def]
    """Eight bytes from a place on as one number, the first byte the lowest."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.intp), generate


@intrinsic
def prefetch(typing_context, data, at):  # type: ignore[no-untyped-def]
    """Asks for the cache line of a byte that is read a little later; `at` may lie anywhere."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = _pointer(context, builder, signature.args[0], *arguments)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # A read, to stay in all caches, of data.
        builder.call(function, [place, *(ir.Constant(number, n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(data, types.intp), generate
