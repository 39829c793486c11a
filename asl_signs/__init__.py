from .core.cache import no_telemetry

__version__ = "0.1.0"

__all__ = ['SignReader']

no_telemetry()  # some libraries look at these variables once, when they are imported


def __getattr__(name):
    "The face of the library, imported when it is first asked for: `import asl_signs` itself loads nothing heavy"
    if name != 'SignReader': raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from .inference import SignReader
    return SignReader
