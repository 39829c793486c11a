"""What cropping again is worth, and how often it is needed: `python bench/measure/crops.py FILM ...`

FILM are the folders that the bundle's networks were trained on. The pixel model alone reads whole pictures: held-out
film as it is, made harder, and with the hand smaller than it was, in the middle and aside. The second test set is not
used. The numbers go to results/reader/crops.json; `near`, `enough` and `max_crops` of `ReadingConfig` were chosen on
them."""
import json, time
from functools import partial
import numpy as np
from asl_signs.core.pictures import to_rgb
from asl_signs.core.signs import SIGNS, sign_of
from asl_signs.metrics.distortions import elsewhere, moved
from asl_signs.models.recipe import film_frames, harder_frames, take_apart
from asl_signs.runtime.bundle import load_bundle, read_bundle, shipped_bundle
from asl_signs.runtime.crops import next_squares, predict_squares, read_in_crops, whole_square
from measuring import RESULTS, parser

FILE = RESULTS/'reader'/'crops.json'
SIZES, ASIDE = (1, .7, .5, .35, .25), (0, .2, -.2)


class Counting:
    "A network, and how many crops it was given"
    def __init__(self, net): self.net, self.size, self.crops = net, net.size, 0
    def predict(self, pictures):
        "What the network predicts"
        self.crops += len(pictures)
        return self.net.predict(pictures)


def fixed(net, pictures, counted, number):
    "Log-probabilities from so many crops, of which those that are counted are added up"
    squares, log_probs = np.array([whole_square(picture) for picture in pictures]), []
    for _ in range(number):
        predicted, landmarks = predict_squares(net, pictures, squares)
        log_probs, squares = [*log_probs, predicted], next_squares(landmarks, squares, pictures)
    return sum(log_probs[i] for i in counted)


def until_enough(net, pictures): return read_in_crops(net, pictures)[0]


WAYS = {
    'one crop': partial(fixed, counted=[0], number=1),
    'two crops, both count': partial(fixed, counted=[0, 1], number=2),
    'three crops, the first and the last count': partial(fixed, counted=[0, 2], number=3),
    'four crops, all count': partial(fixed, counted=[0, 1, 2, 3], number=4),
    'until `enough`': until_enough}


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
    "Accuracy and crops a picture, for each way to read"
    right, crops = dict.fromkeys(WAYS, 0), dict.fromkeys(WAYS, 0)
    for start in range(0, len(pairs), 64):
        some = pairs[start:start + 64]
        pictures, signs = [make() for make, _ in some], [sign for _, sign in some]
        for name, read in WAYS.items():
            counting = Counting(net)
            best = read(counting, pictures).argmax(1)
            right[name] += sum(SIGNS[one] == sign for one, sign in zip(best, signs))
            crops[name] += counting.crops
    return {name: dict(accuracy=right[name]/len(pairs), crops=crops[name]/len(pairs)) for name in WAYS}


def main(argv=None):
    "Read by each way, and write down how well"
    args = parser(__doc__)
    args.add_argument('films', nargs='+', metavar='film', help='a folder')
    pairs = sets(args.parse_args(argv).films)
    net = load_bundle(read_bundle(shipped_bundle())).pixel_model
    found = {name: dict(pictures=len(some)) | measure(net, some) for name, some in pairs.items()}
    FILE.write_text(json.dumps(dict(date=time.strftime('%Y-%m-%d'), sets=found), indent=1)+'\n')
    print(FILE.read_text())


if __name__ == '__main__': main()
