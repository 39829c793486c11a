"""What looking again is worth, and how often it is needed: `python bench/measure/looks.py FILM ...`

FILM are the folders that the reader was trained on. Whole pictures are read, by the network for pixels alone: held-
out film as it is, made harder, and with the hand smaller than it was, in the middle and aside. Nothing here looks at
the second test set. The numbers go to results/reader/looks.json; `near`, `enough` and `max_crops` of
`ReadingConfig` were chosen on them."""
import json, time
from functools import partial
import numpy as np
from asl_signs.runtime.bundle import load_bundle, read_bundle, shipped_bundle
from asl_signs.metrics.distortions import elsewhere, moved
from asl_signs.runtime.crops import look, read_in_crops, parts_of, squares_after, whole_square
from asl_signs.core.pictures import to_rgb
from asl_signs.models.recipe import film_frames, harder_frames, take_apart
from asl_signs.core.signs import SIGNS, sign_of
from measuring import RESULTS, parser

FILE = RESULTS/'reader'/'looks.json'
SIZES, ASIDE = (1, .7, .5, .35, .25), (0, .2, -.2)


class Counting:
    "A network, and how many squares it was asked about"
    def __init__(self, net): self.net, self.size, self.asked = net, net.size, 0
    def predict(self, pictures):
        "What the network sees"
        self.asked += len(pictures)
        return self.net.predict(pictures)


def fixed(number, pool):
    "A way to read: so many looks, whose opinions are put together by `pool`"
    def read(net, pictures):
        squares, told = np.array([whole_square(picture) for picture in pictures]), []
        for _ in range(number):
            logs, joints = look(net, pictures, squares)
            told, squares = [*told, logs], squares_after(joints, squares, pictures)
        return pool(told)
    return read


WAYS = {'one look': fixed(1, lambda told: told[0]), 'two looks, both count': fixed(2, sum),
        'three looks, the first and the last count': fixed(3, lambda told: told[0] + told[2]),
        'four looks, all count': fixed(4, sum), 'until sure': lambda net, pictures: read_in_crops(net, pictures)[0]}


def smaller(files, factor):
    "Frames before drawn backgrounds, their hands so much smaller, in the middle and aside"
    def small(file, i, right): return moved(elsewhere(to_rgb(file).resize((200, 200)), True, [0, i]), 0, factor, right)
    return [(partial(small, file, i, right), sign_of(file)) for right in ASIDE for i, file in enumerate(files)]


def sets(films):
    "Name -> pairs of what makes a picture, and its sign"
    held_out = take_apart(film_frames(films))[1]
    hands = [file for file in take_apart(film_frames(films[:1]))[1][::5] if sign_of(file) != 'nothing']
    def opened(files): return [(partial(to_rgb, file), sign_of(file)) for file in files]
    read = {'held-out film': opened(held_out), 'made harder': opened(harder_frames(held_out))}
    return read | {f'the hand {factor} times as large': smaller(hands, factor) for factor in SIZES}


def measure(net, pairs):
    "Accuracy and looks a picture, for each way to read"
    right, asked = dict.fromkeys(WAYS, 0), dict.fromkeys(WAYS, 0)
    for rows in parts_of(len(pairs), 64):
        pictures, signs = [pairs[row][0]() for row in rows], [pairs[row][1] for row in rows]
        for name, read in WAYS.items():
            counting = Counting(net)
            best = read(counting, pictures).argmax(1)
            right[name] += sum(SIGNS[one] == sign for one, sign in zip(best, signs))
            asked[name] += counting.asked
    return {name: dict(accuracy=right[name]/len(pairs), looks=asked[name]/len(pairs)) for name in WAYS}


def main(argv=None):
    "Read by each way, and write down how well"
    args = parser(__doc__)
    args.add_argument('films', nargs='+', metavar='film', help='a folder')
    pairs = sets(args.parse_args(argv).films)
    net = load_bundle(read_bundle(shipped_bundle())).sight
    found = {name: dict(pictures=len(some)) | measure(net, some) for name, some in pairs.items()}
    FILE.write_text(json.dumps(dict(date=time.strftime('%Y-%m-%d'), sets=found), indent=1)+'\n')
    print(FILE.read_text())


if __name__ == '__main__': main()
