"""The bundle that comes with the library: `python results/inference/ship.py FILM`

Made from results/reader/kept, with the figures of results/reader/ablation.json on its card. FILM is a folder with (part of) the film, to compare both readers on."""
import json, shutil, sys
from pathlib import Path
from asl_signs.runtime.bundle import shipped_bundle
from asl_signs.data import get_data
from asl_signs.models.export import export_reader
from asl_signs.models.recipe import load_reader

READER = Path(__file__).parent.parent/'reader'
WAYS = {'the reader, whole picture': 'without MediaPipe', 'the reader, both': 'with MediaPipe, four views'}


def told(row):
    "An accuracy with its interval"
    found = row['accuracies']['second test set']
    return '{:.1%} (95 % interval by scenes: {:.1%} to {:.1%})'.format(found['value'], *found['interval'])


def answered(row):
    "How many photographs are answered, and how many of the answers are right"
    found = row['accuracies']['second test set']['given']
    return '{answered:.0%} of the photographs are answered, {right:.0%} of the answers are right'.format(**found)


if __name__ == '__main__':
    rows, bundle = json.loads((READER/'ablation.json').read_text()), shipped_bundle()
    measured = {f"the second test set (danrasband/asl-alphabet-test, one other person: 420 of its photographs, 28 signs), {how}": told(rows[name]) for name, how in WAYS.items()}
    measured |= {f'the same, answers given at all, {how}': answered(rows[name]) for name, how in WAYS.items()}
    new = bundle.with_name('shipped_new')
    print(export_reader(load_reader(READER/'kept'), new, get_data(sys.argv[1], sets=['train']).train[::97], measured=measured))
    if bundle.exists(): shutil.rmtree(bundle)
    new.rename(bundle)
