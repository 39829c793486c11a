#| hide
#@title Install the library, where it is missing
# Written by `make prepare` from nbs/_pages/install.py. It adds what this lesson needs, and leaves torch as it is.
def install():
    import os, socket, subprocess, sys
    from importlib import import_module, invalidate_caches
    from importlib.metadata import PackageNotFoundError, packages_distributions, version
    from importlib.util import find_spec
    from pathlib import Path
    from tempfile import TemporaryDirectory

    ADDRESS, EXTRA, ROOT = '@ADDRESS@', '@EXTRA@', Path(os.environ.get('ASL_SIGNS_ROOT', '/'))
    KAGGLE = 'KAGGLE_KERNEL_RUN_TYPE' in os.environ

    class Stop(Exception):
        def _render_traceback_(self): return [str(self)] # a sentence, without a traceback

    def source(): # a wheel that lies there, or else the project's address
        places = '.', ROOT/'content', *(ROOT/'kaggle'/'input').glob('*'), *(ROOT/'kaggle'/'input').glob('datasets/*/*')
        if wheels := [wheel for place in places for wheel in Path(place).glob('asl_signs-*.whl')]:
            return wheels[0].resolve().as_uri()
        if ADDRESS: return f'{ADDRESS}/archive/refs/heads/main.zip'
        how = 'add it to this notebook as a data set' if KAGGLE else 'upload it beside this notebook'
        raise Stop('The library has no public address yet, so nothing was installed: run `make wheel` in a copy of the '
                   f'repository, {how}, and run this cell again; or run `make lab` in the copy, which needs no wheel.')

    def check_network():
        try: socket.create_connection(('pypi.org', 443), 10).close()
        except OSError:
            way = ('open Session options on the right, switch Internet on (Kaggle asks once for a phone number)'
                   if KAGGLE else 'connect this machine to the internet')
            why = f'pypi.org cannot be reached, so nothing was installed: {way}, and run this cell again.'
            raise Stop(why) from None

    def versions(names):
        for name in names:
            try: yield name, version(name)
            except PackageNotFoundError: pass

    def loaded(): # what this Python has imported, with its versions: only a restart can exchange it
        packages = packages_distributions()
        return dict(versions({name for module in [*sys.modules] for name in packages.get(module, ())}))

    def pip_install(what):
        with TemporaryDirectory() as folder:
            kept = Path(folder)/'constraints.txt' # torch fits the graphics card there
            kept.write_text('\n'.join(f'{name}=={v}' for name, v in versions(('torch', 'torchvision', 'torchaudio'))))
            pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input']
            done = subprocess.run([*pip, '-c', str(kept), what], capture_output=True, text=True)
        if not done.returncode: return
        last = next((line for line in reversed(done.stderr.splitlines()) if 'ERROR' in line), 'no reason given')
        if ADDRESS and 'HTTP error 404' in last:
            raise Stop(f'There is nothing to install at {ADDRESS}: correct the address in this cell and run it again.')
        raise Stop(f'pip could not install the library ({last.strip()}): restart the session, and run this cell again.')

    if find_spec('asl_signs'): return
    what, before = source(), loaded()
    check_network()
    pip_install(f'asl_signs{EXTRA} @ {what}')
    invalidate_caches()
    if changed := [name for name, v in versions(before) if v != before[name]]:
        raise Stop(f'The library is installed, but {", ".join(sorted(changed))} had been imported in an older version: '
                   'restart the session (in the menu Runtime or Run), and run all cells from the top.')
    import_module('asl_signs')

install()
del install
