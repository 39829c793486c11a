"""How the speller's settings were chosen: `python bench/measure/speller.py [--every N]`

Simulated hands spell words, with fast and slow signers, good and bad readers, slow and fast cameras. Readers err in
bursts, cameras lose frames, and hands open between equal letters. What is counted is the letter error rate, for
settings of the speller, and beside two simpler ways: writing every change, and the most common of ten readings. This
says how rules behave under known disturbances, and not how people will fare. `--every 20` takes a part of it, to try
the script. The numbers go to results/inference/speller.json."""
import json, math, time
from collections import Counter, deque
import numpy as np
from asl_signs.core.signs import SIGNS
from asl_signs.runtime.speller import Speller, edited
from measuring import RESULTS, parser

FILE = RESULTS/'inference'/'speller.json'
MOVE, OPEN, REST = .2, .4, 1. # seconds: the hand moves on, opens between equal letters, rests before and after
BURST = .15 # seconds that a burst of misreadings lasts, on average
DOUBLES = {a: b for pair in ('MN', 'KV', 'CO', 'RU', 'ES') for a, b in (pair, pair[::-1])}
TEXTS = ('HELLO,BALLOON,COFFEE,LETTER,MISSISSIPPI,BUBBLE,SUMMER,JAZZ,VACUUM,ADDRESS,QUICK,BROWN,FOX,JUMPS,OVER,LAZY,'
         'DOG,SPHINX,BLACK,QUARTZ,JUDGE,VOW,GOOD NIGHT,SEE YOU').split(',')


def schedule(text, seconds=1., seed=0):
    "What a hand shows: (sign or None for a moving hand, seconds at which it ends); letters' durations vary by a fifth"
    rng, shown, before = np.random.default_rng(seed), [('nothing', REST)], None
    for sign in ('space' if letter == ' ' else letter for letter in text):
        shown += [('nothing', OPEN) if sign == before else (None, MOVE), (sign, (seconds - MOVE)*rng.uniform(.8, 1.2))]
        before = sign
    signs, lengths = zip(*shown, (None, MOVE), ('nothing', REST))
    return [*zip(signs, np.cumsum(lengths).tolist())]


def bursts(seconds, noise, rng):
    "Seconds at which bursts of misreadings begin and end (Gilbert 1960, doi:10.1002/j.1538-7305.1960.tb03959.x)"
    if not noise: return np.array([])
    count = math.ceil(2*seconds*noise/BURST) + 20
    return np.cumsum(rng.exponential((BURST*(1 - noise)/noise, BURST), (count, 2)))


def misread(sign, rng):
    "What a sign is taken for: its double in half of the cases, else any"
    if sign in DOUBLES and rng.random() < .5: return DOUBLES[sign]
    others = [other for other in SIGNS if other != sign]
    return others[rng.integers(len(others))]


def frame_times(seconds, fps, drop, rng):
    "When an unsteady camera takes its frames, of which a share is lost"
    at = np.arange(0, seconds, 1/fps)
    at = at + rng.uniform(0, 1/3, len(at))/fps
    return at[(rng.random(len(at)) >= drop) & (at < seconds)]


def simulate(text, seconds=1., fps=15, noise=.1, drop=0., seed=0):
    "(sign, seconds) of each frame of a hand that spells a text; `noise` is the share of the time that is misread"
    rng, shown = np.random.default_rng([seed, 1]), schedule(text, seconds, seed)
    signs, ends = zip(*shown)
    at = frame_times(ends[-1], fps, drop, rng)
    burst = np.searchsorted(bursts(ends[-1], noise, rng), at)
    mistaken = {} # within a burst, a sign is taken for the same other one
    def read(place, burst):
        "What is read at this place of the text; a moving hand is any sign in half of the frames"
        sign = signs[place]
        if sign is None: return misread('nothing', rng) if rng.random() < .5 else 'nothing'
        if burst % 2 == 0: return sign
        if (place, burst) not in mistaken: mistaken[place, burst] = misread(sign, rng)
        return mistaken[place, burst]
    return [(read(place, b), float(t)) for place, b, t in zip(np.searchsorted(ends, at, side='right'), burst, at)]


def levenshtein(said, meant):
    "How many letters must be inserted, deleted or replaced to make one text of the other (doi:10.1145/321796.321811)"
    row = [*range(len(meant) + 1)]
    for above, letter in enumerate(said, 1):
        last, row = row, [above]
        for i, wanted in enumerate(meant): row.append(min(row[i] + 1, last[i + 1] + 1, last[i] + (letter != wanted)))
    return row[-1]


def typed(signs):
    "Write a sign whenever it differs from the one before"
    text, before = '', 'nothing'
    for sign in signs:
        if sign != before: text = edited(text, sign)
        before = sign
    return text


def most_common(signs, last=10):
    "The most common of the last readings, at each reading"
    kept = deque(maxlen=last)
    return [kept.append(sign) or Counter(kept).most_common(1)[0][0] for sign in signs]


def by_speller(stream, **settings):
    "The text that a speller makes of a stream"
    speller = Speller(**settings)
    for sign, at in stream: speller.see(sign, at)
    return speller.text


WAYS = {'every change': lambda stream: typed(sign for sign, _ in stream),
        'most common of ten': lambda stream: typed(most_common(sign for sign, _ in stream)),
        'Speller': by_speller}


def error_rate(way, streams):
    "Wrong letters as a share of those that were meant, over streams: pairs of the text and the readings"
    wrong = sum(levenshtein(way(stream), text) for text, stream in streams)
    return round(wrong/sum(len(text) for text, _ in streams), 4)


def of_settings(every):
    "Rows: some settings, and their error rate; the streams' seeds begin at 10,000, others than the comparison's"
    conditions = [dict(seconds=seconds, noise=noise, fps=fps, drop=drop)
                  for seconds in (.8, 1, 1.3) for noise in (0, .1, .25, .4) for fps in (5, 10, 30) for drop in (0, .3)]
    trial = [(TEXTS[i % 24], simulate(TEXTS[i % 24], **conditions[i % 72], seed=10_000 + i))
             for i in range(0, 72*24, 11*every)]
    tried = [dict(window=window, hold=hold) for window in (.5, .6, .7, .8, 1) for hold in (.1, .2, .3)]
    tried += [dict(enter=enter, leave=leave) for enter in (.4, .5, .6) for leave in (.1, .25, .35)]
    return [row | dict(error_rate=error_rate(lambda stream: by_speller(stream, **row), trial)) for row in tried]


def of_ways(every):
    "Rows: a condition, and the error rate of each way; each text is signed twice"
    conditions = [dict(seconds=1, noise=noise, fps=fps, drop=drop)
                  for noise in (0, .1, .25, .4) for fps in (5, 10, 30) for drop in (0, .3)]
    conditions += [dict(seconds=seconds, noise=.1, fps=15, drop=0) for seconds in (.5, .7, 1, 1.5, 2)]
    rows = []
    for condition in conditions:
        streams = [(text, simulate(text, **condition, seed=i)) for i, text in enumerate(2*TEXTS)][::every]
        rows.append(condition | dict(error_rates={name: error_rate(way, streams) for name, way in WAYS.items()}))
    return rows


def main(argv=None):
    "Try settings and ways, and write down how wrong the texts are"
    args = parser(__doc__)
    args.add_argument('--every', type=int, default=1, help='take every Nth stream only, and write nothing (default: 1)')
    every = args.parse_args(argv).every
    found = dict(settings=of_settings(every), ways=of_ways(every), date=time.strftime('%Y-%m-%d'))
    text = json.dumps(found, indent=1)
    if every == 1: FILE.write_text(text+'\n')
    print(text)


if __name__ == '__main__': main()
