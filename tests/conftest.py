"Settings of all tests"
import sys
from pathlib import Path
from hypothesis import settings

# What is plain Python beside the package, imported by its name.
sys.path[:0] = [str(Path(__file__).resolve().parent.parent/folder) for folder in ('tools', 'bench')]

# How long an example takes says more about what else a machine is doing than about the example.
settings.register_profile('any machine', deadline=None)
settings.load_profile('any machine')
