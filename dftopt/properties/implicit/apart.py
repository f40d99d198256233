"""A derivative in a program of its own."""

import jax


def apart(function, *arguments):
    """`function(*arguments)`, whose forward derivative is not compiled into one program with it.

    XLA's Fourier transforms on a CPU share one pool of threads, and two that may run at the same time can wait for each
    other for ever: those of a function and of its derivative do not depend on each other.
    """

    @jax.custom_jvp
    def value(*x):
        return function(*x)

    @value.defjvp
    def _value_jvp(primals, tangents):
        out, push = jax.linearize(function, *primals)
        return out, push(*tangents)

    return value(*arguments)
