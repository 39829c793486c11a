"""What each part of the recipe is worth: `python bench/measure/ablation.py FILM [FILM …] --people PERSON [PERSON …]`

The recipe is trained again and again, each time with one thing changed, and reads people who were left out. Pixels are
read at the hand that MediaPipe found, from one crop and from the crop and its mirror image. Every picture of the people
left out counts, and so do those without a hand."""
from functools import partial
import numpy as np
from asl_signs.core.signs import sign_of
from asl_signs.datasets.hands import find_hands
from asl_signs.datasets.people import even_weights, people_files, person_of
from asl_signs.metrics.people import by_person
from asl_signs.models.joints import train_ensemble
from asl_signs.models.pixels import get_squares, pixel_tfms, train_pixels
from asl_signs.models.recipe import FILM, film_frames, training_pictures
from asl_signs.runtime.config import ReadingConfig
from asl_signs.runtime.crops import read_pictures
from asl_signs.runtime.fusion import fused, landmark_log_probs, normalised
from asl_signs.train.augment import RandomMirror
from asl_signs.train.backdrop import RandomBackdrop
from measuring import RESULTS, parser, write

SIZE = 144 # pixels, side of what the recipe's pixel model sees


def without(kind):
    "The recipe's batch transforms, but for one kind"
    return [tfm for tfm in pixel_tfms(SIZE) if not isinstance(tfm, kind)]


def rows(first):
    "Description -> who is trained on (None: everybody), and how pixels are trained"
    return {'all people': (None, {}),
            'all people, another seed': (None, dict(seed=43)),
            'the film alone': ([FILM], {}),
            f'the film and {first}': ([FILM, first], {}),
            'not mirrored': (None, dict(tfms=partial(without, RandomMirror))),
            'no other colours behind hands': (None, dict(tfms=partial(without, RandomBackdrop))),
            'crops of 128 pixels': (None, dict(size=128)),
            'crops of 112 pixels': (None, dict(size=112))}


def read(logs, files):
    "Mean and lowest accuracy of people, in percent"
    found = by_person(np.exp(logs), files)
    return dict(mean=round(100*found.mean, 2), lowest=round(100*found.table.accuracy.min(), 2))


def pixel_row(hands, weights, strangers, squares, steps, tfms=None, **kwargs):
    "What a pixel model reads: log-probabilities by the way that crops are read"
    net = train_pixels(hands, weights, steps=steps, squares=squares, tfms=tfms and tfms(), **kwargs)
    config = {'one crop': (False, False), 'both ways': (True, False)}
    return {way: read_pictures(net, strangers.files, strangers, None, ReadingConfig(both_ways=both))
            for way, both in config.items()}


def main(argv=None):
    "Train one variant after the other, and keep what was read"
    args = parser(__doc__)
    args.add_argument('film', nargs='+', help='a folder')
    args.add_argument('--people', nargs='+', required=True, help='folders or zips')
    args.add_argument('--left-out', nargs='+', required=True, help='names of the people who are read')
    args.add_argument('--steps', type=int, default=800, help='batches of 64 pictures (default: 800)')
    args.add_argument('--only', nargs='*', help='rows to measure (default: all)')
    args = args.parse_args(argv)
    pictures = training_pictures(film_frames(args.film, 100), people_files(args.people))
    strangers = find_hands([file for file in pictures if person_of(file) in args.left_out])
    hands, squares = find_hands([*pictures]), get_squares([*pictures])
    names, found = [name for name in dict.fromkeys(pictures.values()) if name not in args.left_out], {}
    for name, (people, kwargs) in rows(next(name for name in names if name != FILM)).items():
        if args.only and name not in args.only: continue
        own = hands.of([file for file, who in pictures.items() if who in (people or names)])
        weights = even_weights([pictures[file] for file in own.files], [*map(sign_of, own.files)], {FILM: 2.})
        logs = pixel_row(own, weights, strangers, squares, args.steps, **kwargs)
        if not kwargs: # what differs is who is trained on, so landmarks differ, too
            net = train_ensemble(own, weights, 1, steps=3000, quiet=True)
            logs['landmarks'] = normalised(np.nan_to_num(landmark_log_probs(net, strangers, both_ways=True)[0]))
            logs['landmarks and pixels'] = fused([logs['landmarks'], logs['both ways']], [1, 1])
        found[name] = {way: read(log_probs, strangers.files) for way, log_probs in logs.items()}
    about = dict(left_out=sorted(args.left_out), pictures=len(strangers), steps=args.steps)
    write(RESULTS/'people'/'ablation.json', about | dict(rows=found))


if __name__ == '__main__': main()
