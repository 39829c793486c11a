"""The bundle that comes with the library: `python bench/measure/ship.py FILM`

Made from results/reader/kept, with the figures of results/reader/ablation.json on its card. FILM is a folder with
(part of) the film, to compare both readers on."""
import json, shutil
from asl_signs.runtime.bundle import shipped_bundle
from asl_signs.data import get_data
from asl_signs.models.export import export_reader
from asl_signs.models.recipe import load_reader
from measuring import RESULTS, parser

READER = RESULTS/'reader'
WAYS = {'the reader, whole picture': 'without MediaPipe', 'the reader, both': 'with MediaPipe, four views'}


def told(row):
    "An accuracy with its interval"
    found = row['accuracies']['second test set']
    return '{:.1%} (95 % interval by scenes: {:.1%} to {:.1%})'.format(found['value'], *found['interval'])


def answered(row):
    "How many photographs are answered, and how many of the answers are right"
    found = row['accuracies']['second test set']['given']
    return '{answered:.0%} of the photographs are answered, {right:.0%} of the answers are right'.format(**found)


def measured(rows):
    "What the card says that the bundle was measured on"
    second = 'the second test set (danrasband/asl-alphabet-test, one other person: 420 of its photographs, 28 signs)'
    read = {f'{second}, {how}': told(rows[name]) for name, how in WAYS.items()}
    return read | {f'the same, answers given at all, {how}': answered(rows[name]) for name, how in WAYS.items()}


def main(argv=None):
    "Export the kept reader, and put it in the place of the bundle that ships"
    args = parser(__doc__)
    args.add_argument('film', help='a folder')
    files = get_data(args.parse_args(argv).film, sets=['train']).train[::97]
    bundle = shipped_bundle()
    new = bundle.with_name('shipped_new')
    card = measured(json.loads((READER/'ablation.json').read_text()))
    print(export_reader(load_reader(READER/'kept'), new, files, measured=card))
    if bundle.exists(): shutil.rmtree(bundle)
    new.rename(bundle)


if __name__ == '__main__': main()
