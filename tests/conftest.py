"Settings of all tests"
from hypothesis import settings

# How long an example takes says more about what else a machine is doing than about the example.
settings.register_profile('any machine', deadline=None)
settings.load_profile('any machine')
