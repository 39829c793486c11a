"""How people are read whom the model has never seen: `python bench/measure/strangers.py PERSON [PERSON …]`

Every picture counts. Each person is read with MediaPipe (in as many views as the bundle says, and in four), without it,
and all that in a mirror. `--photographs` names a folder with danrasband/asl-alphabet-test: one more person."""
import numpy as np
from PIL import ImageOps
from asl_signs.core.pictures import to_rgb
from asl_signs.core.signs import SIGNS, sign_of
from asl_signs.data import get_data
from asl_signs.datasets.people import people_files, person_of
from asl_signs.metrics.people import by_person
from asl_signs.runtime.reader import SignReader
from measuring import RESULTS, parser, write

WAYS = {'with MediaPipe': dict(hands=True), 'with MediaPipe, four views': dict(hands=True, views=4),
        'without': dict(hands=False)}
SHOWN = 'mean', 'worst_tenth', 'lowest', 'answered', 'right_when_answered'


def mirrored(file):
    "A picture as a mirror shows it"
    return ImageOps.mirror(to_rgb(file))


def summary(probs, threshold, files, people):
    "The mean over people, the worst tenth, each person, each sign, and what is answered"
    found, given = by_person(probs, files, people), probs.max(1) >= threshold
    right = found.report.right
    return dict(mean=found.mean, interval=found.interval(), worst_tenth=found.worst_tenth,
                lowest=float(found.table.accuracy.min()), pictures=len(files), people=found.table.accuracy.to_dict(),
                signs=found.signs.accuracy.to_dict(), answered=float(given.mean()), threshold=threshold,
                right_when_answered=float(right[given].mean()) if given.any() else None)


def confusions(probs, answers, most=12):
    "The most frequent mistakes: (sign, taken for, times)"
    table = np.zeros((len(SIGNS), len(SIGNS)), int)
    np.add.at(table, (answers, probs.argmax(1)), 1)
    np.fill_diagonal(table, 0)
    often = [divmod(int(i), len(SIGNS)) for i in (-table.ravel()).argsort()[:most]]
    return [(SIGNS[sign], SIGNS[taken], int(table[sign, taken])) for sign, taken in often]


def measured(files, people, bundle=None):
    "All ways of reading these pictures"
    answers, found = np.array([SIGNS.index(sign_of(file)) for file in files]), {}
    for way, settings in WAYS.items():
        reader = SignReader(bundle, **settings)
        for mirror in ('', ', in a mirror'):
            probs = reader.probabilities([*map(mirrored, files)] if mirror else files)
            one = summary(probs, reader.threshold, files, people) | dict(mistakes=confusions(probs, answers))
            print(way + mirror, *(f'{name} {one[name]:.2%}' for name in SHOWN), flush=True)
            found[way + mirror] = one
    return found


def main(argv=None):
    "Read strangers, and keep what was read"
    args = parser(__doc__)
    args.add_argument('people', nargs='*', help='folders or zips')
    args.add_argument('--photographs', help='a folder with danrasband/asl-alphabet-test')
    args.add_argument('--bundle', help='another bundle than the one that ships')
    args.add_argument('--name', default='strangers', help='of the file in results/people (default: strangers)')
    args = args.parse_args(argv)
    found = {}
    if args.people:
        files = people_files(args.people)
        found['people'] = measured(files, [*map(person_of, files)], args.bundle)
    if args.photographs:
        files = get_data(args.photographs, sets=['second_test']).second_test
        found['danrasband'] = measured(files, ['danrasband']*len(files), args.bundle)
    write(RESULTS/'people'/f'{args.name}.json', found)


if __name__ == '__main__': main()
