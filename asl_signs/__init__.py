__version__ = "0.1.0"

__all__ = ['SignReader']


def __getattr__(name):
    "The face of the library, imported when it is first asked for: `import asl_signs` itself loads nothing"
    if name != 'SignReader': raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from asl_signs.inference import SignReader
    return SignReader
