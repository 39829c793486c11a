"""What each idea of the reader is worth: `python bench/measure/ablation.py FILM[:FILM ...] SECOND [ROW ...]`

FILM and SECOND are folders with (part of) grassknoted/asl-alphabet and danrasband/asl-alphabet-test; several copies
of the film are separated as in PATH. Each row is trained on the same frames as the reader, without the stretch that
the lessons hold out (every third frame of it, in the first copy, is what is read), and writes its numbers into
results/reader/ablation.json: the accuracy on the held-out film as it is and made harder, that on the second test set
with its interval, the seconds it took to train, and the milliseconds to read a picture; for the reader also how many
pictures it answers, and how many of these answers are right. Every row is a look at the second test set: count it in
results/README.md. Nothing is chosen by it."""
import json, os, time
from dataclasses import dataclass
from functools import cache, partial
import numpy as np
import torch
from fastai.vision.all import Callback, aug_transforms
from asl_signs.train.augment import RandomHandCrop, ReplaceBackground, SkinTone, draw_backgrounds, hard_tfms
from asl_signs.data import get_data
from asl_signs.evaluation import scene_names
from asl_signs.models.joints import (fit_kv_classifier, prior_without_hand, sign_loss, train_ensemble,
                                    train_landmarks)
from asl_signs.datasets.hands import find_hands, rows_of
from asl_signs.runtime.finder import HandFinder
from asl_signs.runtime.landmarks import Hands
from asl_signs.models.landmarker import LANDMARKER
from asl_signs.runtime.crops import look, read_pictures, whole_square
from asl_signs.runtime.fusion import apply_kv_classifier, landmark_log_probs
from asl_signs.core.pictures import to_rgb
from asl_signs.models.recipe import are_coarse, film_frames, harder_frames, load_reader, take_apart
from asl_signs.train.joint_augment import RandomHandWarp
from asl_signs.train.landmark_augment import RandomLandmarks
from asl_signs.metrics.report import score
from asl_signs.models.pixels import pixel_loss, pixel_tfms, train_pixels
from asl_signs.core.signs import SIGNS, sign_of
from asl_signs.core.cache import as_json
from measuring import RESULTS, parser

FILE = RESULTS/'reader'/'ablation.json'
ARCH, SIZE, STEPS, HAND_STEPS = 'tf_efficientnet_lite0', 96, 200, 750
READER = FILE.parent/'kept' # the reader that was trained by the command, for the last rows


@dataclass(eq=False) # networks are kept by what they were trained on
class Sets:
    "All frames, those to train on, and what is read: held-out film, the same made harder, the second test set"
    frames:list
    train:list
    read:dict

    @property
    def hands(self):
        "Of the frames to train on"
        return find_hands(self.frames).of(self.train)


def sets(film, second):
    copies = film.split(os.pathsep)
    frames, held_out = film_frames(copies), take_apart(film_frames(copies[:1]))[1][::3]
    read = {'held-out film': held_out, 'made harder': harder_frames(held_out),
            'second test set': get_data(second, sets=['second_test']).second_test}
    return Sets(frames, take_apart(frames)[0], read)


def signs_only(predictions, points, coarse, sign): return sign_loss(predictions[0].float(), sign, coarse)


# What varies in training, one idea after the other

PLAIN = [ReplaceBackground()]

def nothing(): return PLAIN
def usual(): return PLAIN + aug_transforms(size=SIZE)
def usual_without_mirror(): return PLAIN + aug_transforms(size=SIZE, do_flip=False)
def placed(): return [RandomHandCrop(SIZE), *PLAIN]
def lit(): return [tfm for tfm in hard_tfms(SIZE) if not isinstance(tfm, SkinTone)]
def everything(): return hard_tfms(SIZE, draw_backgrounds(3000, SIZE))
def other_hands(): return pixel_tfms(ARCH)

def same_hand():
    "What MediaPipe's backbone is trained on, without hands that were bent into others"
    return [tfm for tfm in pixel_tfms(LANDMARKER) if not isinstance(tfm, RandomHandWarp)]

def bent_hands(): return pixel_tfms(LANDMARKER)


# How pictures are read: each takes a network, pictures, and how to find hands

def whole(net, files, find):
    pictures = map(to_rgb, files)
    return np.concatenate([look(net, [picture], [whole_square(picture)])[0] for picture in pictures])

def until_sure(net, files, find): return read_pictures(net, files)
def at_hand(net, files, find): return read_pictures(net, files, find(files))


class MixUp(Callback):
    "Pictures laid over each other in pairs, and their losses likewise (Zhang et al. 2018, arXiv:1710.09412)"
    run_valid = False
    def before_batch(self):
        "Lay each picture over another one"
        self.share, self.pairs = float(np.random.default_rng().beta(.4, .4)), torch.randperm(len(self.x))
        self.learn.xb = (torch.lerp(self.x[self.pairs], self.x, self.share),)

    def after_loss(self):
        "What the other picture shows is right as well"
        other = self.learn.loss_func(self.pred, *(answer[self.pairs] for answer in self.yb))
        self.learn.loss_grad = torch.lerp(other, self.learn.loss_grad, self.share)


@cache
def pixel_network(data, tfms, loss, arch, lr, first, mixed):
    "A network for pixels, and the seconds it took to train; some rows read with the same one"
    hands, started = data.hands, time.time()
    net = train_pixels(hands, are_coarse(data.train), arch, lr, 42, *[MixUp()][:mixed], top_first=first, steps=STEPS,
                      tfms=tfms(), loss=loss)
    return net, time.time() - started


def pixels(tfms, read=whole, loss=signs_only, arch=ARCH, lr=None, first=False, mixed=False):
    "A row about pixels"
    def measure(data):
        net, seconds = pixel_network(data, tfms, loss, arch, lr, first, mixed)
        return seconds, partial(read, net)
    return measure


def mediapipe(tfms, read=whole, lr=None, first=False):
    "A row about MediaPipe's backbone"
    return pixels(tfms, read, pixel_loss, LANDMARKER, lr, first)


@cache
def joint_network(data, ensemble, vary):
    "A network for joints, or three, and the seconds it took to train; some rows read with the same one"
    hands, started = data.hands, time.time()
    train = train_ensemble if ensemble else train_landmarks
    net = train(hands, are_coarse(data.train), steps=HAND_STEPS, vary=RandomLandmarks(**dict(vary)))
    return net, time.time() - started


def joints(views=None, kv=False, ensemble=False, **vary):
    "A row about joints: which views, K and V by the thumb or not, one network or three, how hands vary in training"
    def measure(data):
        net, seconds = joint_network(data, ensemble, tuple(vary.items()))
        prior, coefficients = prior_without_hand(data.hands), kv and fit_kv_classifier(data.hands) or None
        def read(files, find):
            log_probs, _ = landmark_log_probs(net, found := find(files), views)
            return apply_kv_classifier(np.where(np.isnan(log_probs), prior, log_probs), found, coefficients)
        return seconds, read
    return measure


def kept(read):
    "A row about the reader that was kept, trained longer than the others and on more frames"
    def measure(data):
        reader = load_reader(READER)
        return reader.facts.get('seconds', 0), lambda files, find: np.log(read(reader, files, find) + 1e-12)
    return measure


# Name -> how it is measured; those about pixels add to the one before, but for mixup, which was left out again.
ROWS = {
    'pixels, nothing varied': pixels(nothing),
    "fastai's usual variations, mirroring included": pixels(usual),
    'the same without mirroring': pixels(usual_without_mirror),
    'place, size and tilt of the hand': pixels(placed),
    'light, lens and file': pixels(lit),
    'skin and background': pixels(everything),
    'pictures mixed in pairs (mixup)': pixels(everything, mixed=True),
    'joints as a second task': pixels(everything, loss=pixel_loss),
    'hands bent into others': pixels(other_hands, loss=pixel_loss),
    'looking until sure': pixels(other_hands, until_sure, pixel_loss),
    "MediaPipe's backbone, all of it as fast": mediapipe(same_hand, lr=2e-3),
    'the same, slowly': mediapipe(same_hand),
    'the same, hands bent into others': mediapipe(bent_hands),
    'the same, the layers on top first': mediapipe(bent_hands, first=True),
    'the same, looking until sure': mediapipe(bent_hands, until_sure, first=True),
    'the same, where MediaPipe finds the hand': mediapipe(bent_hands, at_hand, first=True),
    'joints, one view, nothing varied': joints([0], lengths=0, apart=(0, 0), degrees=(0, 0, 0), shake=0, left=0),
    'joints, one view': joints([0]),
    'joints, four views': joints(),
    'joints, four views, K and V told apart by the thumb': joints(kv=True),
    'the same, by a committee of three': joints(kv=True, ensemble=True),
    'the reader, whole picture': kept(lambda reader, files, find: reader.read(files)),
    'the reader, joints alone': kept(lambda reader, files, find: np.exp(reader.joints(find(files))[0])),
    'the reader, pixels at the hand': kept(lambda reader, files, find: np.exp(reader.pixels(files, find(files)))),
    'the reader, both': kept(lambda reader, files, find: reader.read(files, find(files)))}


ANSWERS = {'the reader, both': 0, 'the reader, whole picture': 1} # which of its thresholds counts

def given(probs, signs, threshold):
    "Which share of the pictures is answered above a threshold, and which share of these answers is right"
    covered, right = probs.max(1) >= threshold, np.array(SIGNS)[probs.argmax(1)] == np.array(signs)
    return dict(threshold=threshold, answered=float(covered.mean()), right=float(right[covered].mean()))


def accuracies(name, read, data):
    "Accuracy and pictures; for the second test set the interval as well, and for the reader how many answers it gives"
    found = {}
    for which, files in data.read.items():
        second, signs, probs = which == 'second test set', [*map(sign_of, files)], np.exp(read(files, find_hands))
        report = score(probs, signs, files, scene_names(files) if second else np.arange(len(files)))
        found[which] = dict(value=report.accuracy, pictures=len(files))
        if second: found[which] |= dict(interval=report.interval())
        if name not in ANSWERS: continue
        threshold = load_reader(READER).config.thresholds[ANSWERS[name]]
        found[which] |= dict(given=given(probs, signs, threshold))
    return found


def milliseconds(read, files):
    "How long a picture takes, one at a time, hands found anew"
    with HandFinder() as finder:
        def anew(files): return Hands([*files], np.stack([rows_of(file, finder) for file in files]))
        read(files[:1], anew) # what is loaded first is not counted
        started = time.time()
        for file in files: read([file], anew)
        return 1e3*(time.time() - started)/len(files)


def measure(name, data):
    seconds, read = ROWS[name](data)
    row = dict(accuracies=accuracies(name, read, data), seconds=round(seconds),
               ms=round(milliseconds(read, data.read['second test set'][:40]), 1), date=time.strftime('%Y-%m-%d'))
    rows = (json.loads(FILE.read_text()) if FILE.exists() else {}) | {name: row}
    FILE.write_text(as_json({known: rows[known] for known in ROWS if known in rows}))
    shares = {key: f'{value["value"]:.2%}' for key, value in row['accuracies'].items()}
    print(name, shares, f'{seconds:.0f} s, {row["ms"]} ms', flush=True)


def main(argv=None):
    "Measure the rows that were asked for"
    args = parser(__doc__)
    for name in ('film', 'second'): args.add_argument(name, help='a folder')
    args.add_argument('rows', nargs='*', metavar='row', help='default: all')
    args = args.parse_args(argv)
    data = sets(args.film, args.second)
    for name in args.rows or ROWS: measure(name, data)


if __name__ == '__main__': main()
