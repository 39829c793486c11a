"For tests of several processes: they wait for what happens, however long that takes on a busy machine"
import time

LONG = 600 # seconds after which something hangs; no machine is as busy as that


def wait_for(happened, process=None):
    "Wait until `happened()` is true, as long as the process is alive that it depends on"
    end = time.monotonic() + LONG
    while not happened():
        assert process is None or process.poll() is None, f'it did not happen; the process ended: {process.returncode}'
        assert time.monotonic() < end, f'it has not happened within {LONG} seconds'
        time.sleep(.05)
