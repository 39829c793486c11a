"""What a few taught pictures bring: `python bench/measure/teaching.py PERSON [PERSON …]`

Each person is read as a stranger, taught with some pictures of each sign from one end of the list, and read again on
the pictures at the other end, and then the other way round. A tested picture is the neighbour of a taught one only
where nothing else is left of a sign; `neighbours` says how often. Every tested picture counts. Then half of the signs
are taught, to see what happens to the others."""
from collections import defaultdict
import numpy as np
from scipy.stats import bootstrap
from asl_signs.core.signs import SIGNS, number_of, sign_of
from asl_signs.datasets.people import people_files, person_of
from asl_signs.runtime.reader import SignReader
from measuring import RESULTS, parser, write

WAYS = {'with MediaPipe': True, 'without': False}
COUNTS = 1, 2, 3, 5
SEEDS = 42, 43 # for which half of the signs is taught


def split(answers, count, backwards):
    "Rows to teach, rows to test, and how many of these are neighbours; of each sign that has enough"
    teach, test, neighbours = [], [], 0
    for answer in np.unique(answers):
        rows = np.flatnonzero(answers == answer)[::-1 if backwards else 1]
        if len(rows) <= count: continue
        apart = rows[count + 1:]
        neighbours += len(apart) == 0
        teach, test = [*teach, *rows[:count]], [*test, *(apart if len(apart) else rows[count:])]
    return np.array(teach, int), np.array(test, int), neighbours


def right(log_probs, answers):
    "The share that is read rightly"
    return float((log_probs.argmax(1) == answers).mean())


def taught(person, count):
    "Accuracies of tested pictures before and after, what leaving out promised, and neighbours; None: too few pictures"
    rows = []
    for backwards in (False, True):
        teach, test, neighbours = split(person.answers, count, backwards)
        if not len(test): return None
        own, others = person.of(teach), person.of(test)
        rows.append([right(others.log_probs, others.answers), right(own.correction.apply(others), others.answers),
                     right(own.left_out, own.answers), neighbours/len(np.unique(others.answers))])
    return np.mean(rows, 0).tolist()


def half_taught(person, count):
    "Accuracies before and after of signs that were taught, and of the others"
    rows = []
    for seed in SEEDS:
        signs = np.random.default_rng(seed).permutation(np.unique(person.answers))
        teach, test, _ = split(person.answers, count, seed % 2 == 1)
        chosen = np.isin(person.answers, signs[:len(signs)//2])
        own, others = person.of(teach[chosen[teach]]), person.of(test)
        if not len(own): return None
        after, known = own.correction.apply(others), chosen[test]
        rows.append([right(log_probs[which], others.answers[which])
                     for which in (known, ~known) for log_probs in (others.log_probs, after)])
    return np.mean(rows, 0).tolist()


def interval(values):
    "Bounds for the mean, by drawing people with replacement"
    if len(values) < 2 or np.ptp(values) == 0: return [float(np.mean(values))]*2
    found = bootstrap((values,), np.mean, n_resamples=5000, method='percentile', rng=42).confidence_interval
    return [float(bound) for bound in found]


def curve(people):
    "How well people are read by how many pictures of each sign were taught; `people`: name -> `Person`"
    found = {}
    for count in COUNTS:
        rows = {name: row for name, person in people.items() if (row := taught(person, count))}
        if not rows: continue
        before, after, promised, neighbours = np.transpose([*rows.values()])
        mistakes = 1 - before.mean()
        found[str(count)] = dict(
            people=len(rows), before=before.mean(), before_interval=interval(before), after=after.mean(),
            after_interval=interval(after), gone=(after - before).mean()/mistakes if mistakes else 0.,
            worst_change=(after - before).min(), worse=int((after < before - .02).sum()), promised=promised.mean(),
            neighbours=neighbours.mean(), by_person={name: row[:2] for name, row in rows.items()})
    return found


def untaught(people):
    "What becomes of signs that were not taught; `people`: name -> `Person`"
    rows = {name: row for name, person in people.items() if (row := half_taught(person, 2))}
    names = 'taught_before', 'taught_after', 'others_before', 'others_after'
    means = dict(zip(names, np.mean([*rows.values()], 0).tolist()))
    return means | dict(worst_change=min(row[3] - row[2] for row in rows.values()), people=len(rows))


def measured(files, bundle=None):
    "Both ways of reading these people"
    people, found = defaultdict(list), {}
    for file in sorted(files, key=number_of): people[person_of(file)].append((file, sign_of(file)))
    for way, hands in WAYS.items():
        reader = SignReader(bundle, hands=hands)
        seen = {name: reader.see(pairs, progress=False)[0] for name, pairs in people.items()}
        found[way] = dict(curve=curve(seen), half=untaught(seen))
        for count, one in found[way]['curve'].items():
            print(f'{way}, {count}: {one["before"]:.2%} to {one["after"]:.2%}, gone {one["gone"]:.0%}, worst change '
                  f'{one["worst_change"]:+.2%}', flush=True)
        print(way, found[way]['half'], flush=True)
    return found


def main(argv=None):
    "Teach strangers, and keep how they are read"
    args = parser(__doc__)
    args.add_argument('people', nargs='+', help='folders or zips')
    args.add_argument('--bundle', help='another bundle than the one that ships')
    args.add_argument('--name', default='strangers', help='of the file in results/teaching (default: strangers)')
    args = args.parse_args(argv)
    found = measured(people_files(args.people), args.bundle)
    write(RESULTS/'teaching'/f'{args.name}.json', dict(signs=len(SIGNS), ways=found))


if __name__ == '__main__': main()
