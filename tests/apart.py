"Environments in which the repository is not: with this environment's packages, but without what a .pth brings in"
import os, sys, venv
from pathlib import Path
import nbformat

PYTHON = ('Scripts', 'python.exe') if os.name == 'nt' else ('bin', 'python')


def variables():
    "The variables of this process that say nothing about the project; Jupyter's templates lie beside its packages"
    ours = 'PYTHON', 'ASL_SIGNS_', 'PIP_'
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {'JUPYTER_PATH': str(Path(sys.prefix)/'share'/'jupyter')}


def environment(place, with_pip=False):
    "The Python of a new environment, and its folder of packages"
    venv.create(place, with_pip=with_pip)
    site = next(Path(place).rglob('site-packages'))
    # As a plain folder: the .pth files in it, by which the repository is installed in place, are not looked at.
    (site/'packages.pth').write_text(f'{Path(nbformat.__file__).parent.parent}\n')
    return Path(place).joinpath(*PYTHON), site
