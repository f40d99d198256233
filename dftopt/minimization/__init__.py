"""Minimization: parametrizations without constraints, minimizers, the result."""
