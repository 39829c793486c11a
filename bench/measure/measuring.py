"What the scripts in this folder share: where results lie, and a command line that explains itself"
import argparse, shutil, sys
from pathlib import Path
from asl_signs.core.cache import as_json, atomic_path

ROOT = Path(__file__).resolve().parents[2]
RESULTS, MEASURED = ROOT/'results', ROOT/'asl_signs'/'metrics'/'measured'

# What lies beside the package is imported by its name, by those scripts that import this one first.
sys.path += [str(ROOT/folder) for folder in ('tools', 'bench', 'tests') if str(ROOT/folder) not in sys.path]


def parser(doc:str # a script's docstring
          ) -> argparse.ArgumentParser: # without arguments yet
    "A command line whose help is the script's docstring"
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def write(path:Path, # in `results`
          found      # what JSON can hold
         ):
    "Keep what was measured; the file appears whole or not at all, and its copy for the lessons with it"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part: part.write_text(as_json(found))
    if RESULTS in path.parents and (copy := MEASURED/path.relative_to(RESULTS)).exists(): shutil.copy(path, copy)
