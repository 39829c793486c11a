"""How people are read whom the model has never seen: `python bench/measure/strangers.py PERSON [PERSON …]`

Every picture counts. Each person is read with MediaPipe (as many views as the bundle says, and in one), without it, and
all that in a mirror. `--photographs` names a folder with danrasband/asl-alphabet-test, which counts as one more person."""
import numpy as np
from PIL import ImageOps
from asl_signs.core.pictures import to_rgb
from asl_signs.core.signs import SIGNS, sign_of
from asl_signs.data import get_data
from asl_signs.datasets.people import people_files, person_of
from asl_signs.models.recipe import accuracy_by_person
from asl_signs.runtime.reader import SignReader
from measuring import RESULTS, parser, write

WAYS = {'with MediaPipe': dict(hands=True), 'with MediaPipe, one view': dict(hands=True, views=1),
        'with MediaPipe, four views': dict(hands=True, views=4), 'without': dict(hands=False)}


def mirrored(file):
    "A picture as a mirror shows it"
    return ImageOps.mirror(to_rgb(file))


def interval(each, draws=2000):
    "95 % for the mean, by drawing people"
    each, rng = np.array(each), np.random.default_rng(0)
    return np.quantile(each[rng.integers(len(each), size=(draws, len(each)))].mean(1), (.025, .975)).round(4).tolist()


def summary(probs, threshold, answers, people):
    "The mean over people, the worst tenth, each person, each sign, and what is answered"
    right = probs.argmax(1) == answers
    each, given = accuracy_by_person(right, people), probs.max(1) >= threshold
    ordered = sorted(each.values())
    signs = {sign: float(right[answers == i].mean()) for i, sign in enumerate(SIGNS) if (answers == i).any()}
    return dict(mean=float(np.mean(ordered)), interval=interval(ordered), lowest=ordered[0], pictures=len(right),
                worst_tenth=float(np.mean(ordered[:max(1, len(ordered)//10)])), people=each, signs=signs,
                answered=float(given.mean()), right_when_answered=float(right[given].mean()) if given.any() else None)


def confusions(probs, answers, most=12):
    "The most frequent mistakes: (sign, taken for, times)"
    table = np.zeros((len(SIGNS), len(SIGNS)), int)
    np.add.at(table, (answers, probs.argmax(1)), 1)
    np.fill_diagonal(table, 0)
    return [(SIGNS[i//len(SIGNS)], SIGNS[i % len(SIGNS)], int(table.flat[i])) for i in (-table.ravel()).argsort()[:most]]


def measured(files, people, bundle=None):
    "All ways of reading these pictures"
    answers, found = np.array([SIGNS.index(sign_of(file)) for file in files]), {}
    for way, settings in WAYS.items():
        reader = SignReader(bundle, **settings)
        for mirror in ('', ', in a mirror'):
            probs = reader.probabilities([*map(mirrored, files)] if mirror else files)
            found[way + mirror] = summary(probs, reader.threshold, answers, people) | dict(mistakes=confusions(probs, answers))
            print(way + mirror, {name: round(found[way + mirror][name], 4) for name in ('mean', 'worst_tenth', 'lowest', 'answered')}, flush=True)
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
